"""The demo world: procedural rooms with exact cameras, and a small world model trained on them."""

from worldkv_jax.lazy import lazy

HELP = "the small trained world that is shipped; needs no download"

__all__ = ["DemoOptions", "DemoParams", "DemoWorld"]

__getattr__ = lazy(__name__, dict.fromkeys(__all__, "backbone") | {"DemoOptions": "options"})
