"""Matrix-Game 2.0: a 1.6-billion-parameter game world model that is played with keys and mouse, in three variants."""

__all__ = ["Given", "MatrixGame2", "MatrixGameConfig"]


def __getattr__(name: str):
    # Lazy, so that `worldkv --help` can look into this package without loading JAX.
    if name in __all__:
        from ports.matrix_game2 import backbone

        return getattr(backbone, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
