"""The command `worldkv demo`: one world under four memories, scored against the renderer."""

import argparse
import sys
from pathlib import Path

# Only what is light: the command line reads this module to list its commands.
HELP = "show the memory at work in a small trained world (about a minute on a laptop)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--out", type=Path, default=Path("outputs/demo"), help="folder for what the demo makes")
    parser.add_argument("--worlds", type=int, default=6, help="held-out worlds to average over")
    parser.add_argument("--seed", type=int, default=3, help="which held-out worlds (1 and 2 are training's)")
    parser.add_argument("--checkpoint", type=Path, default=None, help="other weights than the shipped ones")


def run(args: argparse.Namespace) -> None:
    """Run the demo and write demo.mp4, memory.png, revisits.png and report.json."""
    from ports.demo_world.backbone import DemoWorld
    from ports.demo_world.compare import MODES, PRUNED, run_mode
    from ports.demo_world.results import print_results, write_results
    from ports.demo_world.scenario import make_scenario
    from ports.demo_world.training_data import TRAIN_SEED, VALIDATION_SEED
    from worldkv_jax.sessions.results import prepare_output

    if args.worlds < 1:
        raise ValueError(f"--worlds {args.worlds}: at least one world is needed")
    if args.seed in (TRAIN_SEED, VALIDATION_SEED):
        raise ValueError(f"--seed {args.seed}: the model was trained on these worlds; use any seed but 1 and 2")
    out = prepare_output(args.out)
    backbone, params = DemoWorld.load(args.checkpoint)
    scenario = make_scenario(args.seed, args.worlds)
    print(
        f"{args.worlds} rooms the model has never seen. A true tour of {scenario.tour} chunks is remembered, then "
        f"{scenario.chunks - scenario.tour} chunks look at the same places again."
    )
    outcomes = {}
    for name, config in {**MODES, **PRUNED}.items():
        print(f"\n{name}", flush=True)
        bar = sys.stderr.isatty()  # in a log a bar is only noise
        outcomes[name] = run_mode(backbone, params, scenario, config, seed=args.seed, progress=bar)
    print_results(outcomes, scenario)
    for path in write_results(out, outcomes, scenario, seed=args.seed):
        print(path)
