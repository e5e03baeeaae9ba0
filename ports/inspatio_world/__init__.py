"""InSpatio-World: a source video, or a few images, seen from a new camera path (v1 and v1.5)."""

__all__ = ["InSpatioConfig", "InSpatioWorld", "Source"]


def __getattr__(name: str):
    # Lazy, so that `worldkv --help` can look into this package without loading JAX.
    if name in __all__:
        from ports.inspatio_world import backbone

        return getattr(backbone, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
