"""LingBot-World-Fast: a 14-billion-parameter world model that is steered by camera poses, or by poses and keys."""

from worldkv_jax.lazy import lazy

HELP = "LingBot-World-Fast, 14 billion parameters, steered by camera poses; needs its checkpoint"

__all__ = ["Given", "Lens", "LingBotConfig", "LingBotOptions", "LingBotWorld"]

__getattr__ = lazy(__name__, dict.fromkeys(__all__, "backbone") | {"LingBotOptions": "options"})
