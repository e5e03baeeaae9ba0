"""The command `worldkv train`: trains the demo world's model, and goes on where it stopped."""

from pathlib import Path
from typing import Literal

from ports.demo_world.model_choice import FamilyName, Past
from worldkv_jax.sessions.options import option, options_class

HELP = "train the demo world's model; goes on where it stopped"


_COUNTS = ("steps", "batch", "chunks", "worlds", "report_every", "dim", "heads", "layers", "ffn_dim", "frequency_dim")


@options_class
class TrainCommand:
    """Train the demo world's model; what is not given is as in `TrainConfig` and `DemoConfig`, or in ``begin``."""

    out: Path = option(Path("outputs/train"), "folder of state, curve and weights; resumes from it", metavar="DIR")
    world: FamilyName | None = option(None, "family of worlds (default: rooms)")
    past: Past | None = option(None, "what chunks see of the past (default: clips)")
    begin: str | None = option(None, "weights to go on from (default: drawn ones)", metavar="FILE")
    visible: float | None = option(None, "0: latent errors count alike (default), to 1: as in pixels", metavar="R")
    steps: int | None = option(None, "steps of the optimizer", metavar="N")
    batch: int | None = option(None, "worlds of a step", metavar="N")
    chunks: int | None = option(None, "chunks of a walk", metavar="N")
    worlds: int | None = option(None, "worlds that walks are taken in", metavar="N")
    learning_rate: float | None = option(None, "largest, after warming up", metavar="R")
    seed: int | None = option(None, "of weights and walks", metavar="N")
    report_every: int | None = option(None, "steps between two points of the curve", metavar="N")
    dim: int | None = option(None, "width of the model", metavar="N")
    heads: int | None = option(None, "attention heads", metavar="N")
    layers: int | None = option(None, "depth of the model", metavar="N")
    ffn_dim: int | None = option(None, "hidden width of a block's MLP", metavar="N")
    predicts: Literal["flow", "residual"] | None = option(None, "what the model's head gives (default: flow)")
    frequency_dim: int | None = option(None, "width of the diffusion time's embedding", metavar="N")

    def __post_init__(self):
        for name in _COUNTS:
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"`{name}` {count}: give at least 1")
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise ValueError(f"`learning_rate` {self.learning_rate:g}: give a positive number")

    def run(self) -> None:
        """Train, and write the weights whenever the curve gets a point."""
        import dataclasses

        from ports.demo_world.model import DemoConfig
        from ports.demo_world.training.train import TrainConfig, train
        from ports.demo_world.weights import read_config

        def with_given(usual):
            asked = {field.name: getattr(self, field.name) for field in dataclasses.fields(usual)}
            return dataclasses.replace(usual, **{name: value for name, value in asked.items() if value is not None})

        model = DemoConfig() if self.begin is None else read_config(Path(self.begin))
        train(with_given(TrainConfig()), with_given(model), self.out, log=lambda text: print(text, flush=True))
