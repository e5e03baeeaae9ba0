"""Media: pictures, video files, captioned panels and the memory figure."""

from typing import TYPE_CHECKING

from worldkv_jax.extras import optional_imports
from worldkv_jax.lazy import lazy

with optional_imports():
    from worldkv_jax.media.captions import label, side_by_side
    from worldkv_jax.media.pictures import read_picture
    from worldkv_jax.media.traces import MemoryTrace
    from worldkv_jax.media.video import VideoWriter, read_video, write_video, writing_video

if TYPE_CHECKING:
    from worldkv_jax.media.figures import memory_figure, save_figure

__all__ = [
    "MemoryTrace",
    "VideoWriter",
    "label",
    "memory_figure",
    "read_picture",
    "read_video",
    "save_figure",
    "side_by_side",
    "write_video",
    "writing_video",
]

# Who reads a picture need not wait for what draws axes.
__getattr__ = lazy(__name__, {"memory_figure": "figures", "save_figure": "figures"})
