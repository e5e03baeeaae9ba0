"""Media: pictures, video files, captioned panels and the memory figure."""

from worldkv_jax.extras import told

with told():
    from worldkv_jax.media.captions import label, side_by_side
    from worldkv_jax.media.figures import memory_figure, save_figure
    from worldkv_jax.media.pictures import read_picture
    from worldkv_jax.media.traces import MemoryTrace
    from worldkv_jax.media.video import VideoWriter, read_video, write_video, writing_video

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
