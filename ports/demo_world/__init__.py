"""The demo world: procedural rooms with exact cameras, and a small world model trained on them."""

__all__ = ["DemoParams", "DemoWorld"]


def __getattr__(name: str):
    # Lazy, so that `worldkv --help` can look into this package without loading JAX.
    if name in __all__:
        from ports.demo_world import backbone

        return getattr(backbone, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
