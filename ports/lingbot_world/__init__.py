"""LingBot-World-Fast: a 14-billion-parameter world model that is steered by camera poses, or by poses and keys."""

__all__ = ["Given", "Lens", "LingBotConfig", "LingBotWorld"]


def __getattr__(name: str):
    # Lazy, so that `worldkv --help` can look into this package without loading JAX.
    if name in __all__:
        from ports.lingbot_world import backbone

        return getattr(backbone, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
