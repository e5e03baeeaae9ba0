"""The command `worldkv demo`: one world under four memories, scored against the renderer."""

import sys
from pathlib import Path

from ports.demo_world.model_choice import ModelChoice
from worldkv_jax.sessions.options import option, options_class

HELP = "show the memory at work in a small trained world (about a minute on a laptop)"


@options_class
class DemoCommand(ModelChoice):
    """Compare memories in worlds that the model has never seen, at several times the length it was trained on."""

    out: Path = option(Path("outputs/demo"), "folder for what the demo makes")
    worlds: int = option(4, "held-out worlds to average over")
    seed: int = option(3, "which held-out worlds (1 and 2 are training's)")
    laps: int = option(4, "of the camera after the tour: one of first revisits, then late ones", metavar="N")

    def run(self) -> None:
        """Run the demo and write demo.mp4, memory.png, revisits.png and report.json."""
        from ports.demo_world.backbone import DemoWorld
        from ports.demo_world.demo.compare import MODES, PUBLISHED, run_mode
        from ports.demo_world.demo.results import WRITES, print_results, write_results
        from ports.demo_world.scenario import make_scenario
        from ports.demo_world.training.training_data import TRAIN_SEED, VALIDATION_SEED
        from worldkv_jax.sessions.results import prepare_output
        from worldkv_jax.sessions.seeds import check_seed

        if self.worlds < 1:
            raise ValueError(f"`worlds` {self.worlds}: at least one world is needed")
        if self.laps < 2:
            raise ValueError(f"`laps` {self.laps}: one of first revisits and one of late ones are needed")
        check_seed(self.seed)
        if self.seed in (TRAIN_SEED, VALIDATION_SEED):
            raise ValueError(f"`seed` {self.seed}: the model was trained on these worlds; use any seed but 1 and 2")
        out = prepare_output(self.out, writes=WRITES)
        backbone, params = DemoWorld.load(self.weights_file())
        family = backbone.config.family
        scenario = make_scenario(self.seed, self.worlds, family=family, laps=family.tour_laps + self.laps)
        print(
            f"{self.worlds} {family.name} the model has never seen. A true tour of {scenario.tour} chunks is "
            f"remembered, then {scenario.chunks - scenario.tour} chunks look at the same places again."
        )
        outcomes = {}
        for name, config in {**MODES, **PUBLISHED}.items():
            print(f"\n{name}", flush=True)
            bar = sys.stderr.isatty()  # in a log a bar is only noise
            outcomes[name] = run_mode(backbone, params, scenario, config, seed=self.seed, progress=bar)
        print_results(outcomes, scenario)
        for path in write_results(out, outcomes, scenario, seed=self.seed):
            print(path)
