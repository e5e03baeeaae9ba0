"""InSpatio-World: a source video, or a few images, seen from a new camera path (v1 and v1.5)."""

from typing import TYPE_CHECKING

from worldkv_jax.lazy import lazy

if TYPE_CHECKING:
    from ports.inspatio_world.backbone import InSpatioWorld, Source
    from ports.inspatio_world.config import InSpatioConfig
    from ports.inspatio_world.options import InSpatioOptions

HELP = "InSpatio-World, 1.3 billion parameters: a video or images seen from a new camera path"

__all__ = ["InSpatioConfig", "InSpatioOptions", "InSpatioWorld", "Source"]

__getattr__ = lazy(__name__, dict.fromkeys(__all__, "backbone") | {"InSpatioOptions": "options"})
