"""Which trained demo model a command takes: one of the shipped ones, or that of a file."""

from pathlib import Path
from typing import Literal

from worldkv_jax.sessions.options import option, options_class

FamilyName = Literal["rooms", "apartments"]
"""Names of families of worlds, see `ports.demo_world.worlds.families`."""
Past = Literal["gaps", "clips"]
"""What a model sees of the past while it is trained, see `ports.demo_world.training.training_data.sample_batch`."""


@options_class
class ModelChoice:
    """Take a trained model."""

    world: FamilyName = option("rooms", "family of worlds")
    past: Past = option("clips", "what the model saw of the past while it was trained")
    checkpoint: Path | None = option(None, "other weights than the shipped ones")

    def weights_file(self) -> Path:
        """Return the file of the model's weights.

        Raises:
            ValueError: none of this kind are shipped.
        """
        from ports.demo_world.weights import shipped_weights

        return self.checkpoint or shipped_weights(self.world, self.past)
