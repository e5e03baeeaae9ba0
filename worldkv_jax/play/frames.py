"""Frames of a chunk as they are sent: WebP, JPEG or raw."""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from worldkv_jax.media.frames import as_bytes, as_float

QUALITY = {"webp": 90, "jpeg": 95}
THUMBNAIL_WIDTH = 96
_AT_ONCE = {"webp": 6, "jpeg": 6, "raw": 16}
_TINY = 128 * 128
_TYPES = {"webp": "image/webp", "jpeg": "image/jpeg", "raw": "application/octet-stream"}


class Encoded(NamedTuple):
    """Frames of a chunk, encoded."""

    form: str
    width: int
    height: int
    frames: list[bytes]

    @property
    def content_type(self) -> str:
        """What HTTP would call a frame."""
        return _TYPES[self.form]

    @property
    def raw_bytes(self) -> int:
        """Bytes of the frames before they were encoded."""
        return len(self.frames) * self.width * self.height * 3

    def batches(self) -> list[list[bytes]]:
        """Cut the frames into what one message holds."""
        size = _AT_ONCE[self.form]
        return [self.frames[at : at + size] for at in range(0, len(self.frames), size)]


def encode(frames: np.ndarray, form: str, quality: int | None = None) -> Encoded:
    """Encode frames ``[n, height, width, 3]`` in [0, 1]; tiny WebP loses nothing unless a quality is given."""
    pixels = as_bytes(as_float(np.asarray(frames)))
    _, height, width, _ = pixels.shape
    if form == "raw":
        return Encoded(form, width, height, [frame.tobytes() for frame in pixels])
    if form == "webp" and quality is None and height * width <= _TINY:
        how = {"lossless": True, "quality": 0, "method": 0}
    else:
        how = {"quality": quality or QUALITY[form]} | ({"method": 0} if form == "webp" else {})
    return Encoded(form, width, height, [_picture(Image.fromarray(frame), form, how) for frame in pixels])


def thumbnail(frames: np.ndarray) -> bytes:
    """Return the middle frame as a small WebP."""
    image = Image.fromarray(as_bytes(as_float(np.asarray(frames[len(frames) // 2]))))
    if image.width > THUMBNAIL_WIDTH:
        image = image.resize((THUMBNAIL_WIDTH, max(1, round(image.height * THUMBNAIL_WIDTH / image.width))))
    return _picture(image, "webp", {"quality": 80, "method": 0})


def _picture(image: Image.Image, form: str, how: dict) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **how)
    return file.getvalue()
