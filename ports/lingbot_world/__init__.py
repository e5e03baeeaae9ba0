"""LingBot-World-Fast: a 14-billion-parameter world model that is steered by camera poses, or by poses and keys."""

from typing import TYPE_CHECKING

from worldkv_jax.lazy import lazy

if TYPE_CHECKING:
    from ports.lingbot_world.backbone import Given, LingBotWorld
    from ports.lingbot_world.camera import Lens
    from ports.lingbot_world.config import LingBotConfig
    from ports.lingbot_world.options import LingBotOptions

HELP = "LingBot-World-Fast, 14 billion parameters, steered by camera poses; needs its checkpoint"

__all__ = ["Given", "Lens", "LingBotConfig", "LingBotOptions", "LingBotWorld"]

__getattr__ = lazy(__name__, dict.fromkeys(__all__, "backbone") | {"LingBotOptions": "options"})
