"""Matrix-Game 2.0: a 1.6-billion-parameter game world model that is played with keys and mouse, in three variants."""

from worldkv_jax.lazy import lazy

HELP = "Matrix-Game 2.0, 1.6 billion parameters: game worlds played with keys and mouse"

__all__ = ["Given", "MatrixGame2", "MatrixGameConfig", "MatrixGameOptions"]

__getattr__ = lazy(__name__, dict.fromkeys(__all__, "backbone") | {"MatrixGameOptions": "options"})
