"""Pictures that clients send, decoded with limits."""

import hashlib
import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from worldkv_jax.media import read_picture

MOST_PIXELS = 25_000_000


def decode_picture(data: bytes) -> np.ndarray:
    """Decode a picture to uint8 ``[height, width, 3]``.

    Raises:
        ValueError: it is none, is damaged, or is too large.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = image.width * image.height
    except Exception:  # of a decoder that is fed arbitrary bytes
        raise ValueError("the picture cannot be read; send a whole PNG or JPEG") from None
    if pixels > MOST_PIXELS:
        raise ValueError(f"the picture has more than {MOST_PIXELS:,} pixels; make it smaller")
    # The one reader of pictures takes files; its errors name them, which is nobody else's business.
    with tempfile.NamedTemporaryFile(prefix="worldkv-upload-") as file:
        file.write(data)
        file.flush()
        try:
            return read_picture(Path(file.name), tell=lambda note: None)
        except (ValueError, OSError):
            raise ValueError("the picture cannot be read; send a whole PNG or JPEG") from None


def checksum(data: bytes) -> str:
    """Return what names a picture."""
    return hashlib.sha256(data).hexdigest()[:32]
