"""The demo world: procedural rooms with exact cameras, and a small world model trained on them."""

from typing import TYPE_CHECKING

from worldkv_jax.lazy import lazy

if TYPE_CHECKING:
    from ports.demo_world.backbone import DemoParams, DemoWorld
    from ports.demo_world.options import DemoOptions

HELP = "the small trained world that is shipped; needs no download"

__all__ = ["DemoOptions", "DemoParams", "DemoWorld"]

__getattr__ = lazy(__name__, dict.fromkeys(__all__, "backbone") | {"DemoOptions": "options"})
