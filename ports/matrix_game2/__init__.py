"""Matrix-Game 2.0: a 1.6-billion-parameter game world model that is played with keys and mouse, in three variants."""

from typing import TYPE_CHECKING

from worldkv_jax.lazy import lazy

if TYPE_CHECKING:
    from ports.matrix_game2.backbone import Given, MatrixGame2
    from ports.matrix_game2.config import MatrixGameConfig
    from ports.matrix_game2.options import MatrixGameOptions

HELP = "Matrix-Game 2.0, 1.6 billion parameters: game worlds played with keys and mouse"

__all__ = ["Given", "MatrixGame2", "MatrixGameConfig", "MatrixGameOptions"]

__getattr__ = lazy(__name__, dict.fromkeys(__all__, "backbone") | {"MatrixGameOptions": "options"})
