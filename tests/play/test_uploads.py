"""Pictures of clients: read within limits, and never from a place."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from worldkv_jax.play.uploads import MOST_PIXELS, decode_picture


def encoded(form, size=(8, 6)):
    file = io.BytesIO()
    Image.new("RGB", size, (200, 10, 30)).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_pictures_are_read(form):
    pixels = decode_picture(encoded(form))
    assert pixels.shape == (6, 8, 3) and pixels.dtype == np.uint8 and abs(int(pixels[0, 0, 0]) - 200) < 8


def bomb(side):
    """A small PNG that says it is enormous."""

    def piece(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", head) + piece(b"IDAT", zlib.compress(b"")) + piece(b"IEND", b"")


_OTHERS = {
    "nothing": b"",
    "text": b"hello",
    "cut PNG": encoded("PNG")[:40],
    "cut JPEG": encoded("JPEG")[:-200],
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "large": bomb(5001),
    "bomb": bomb(60_000),
}


@pytest.mark.parametrize("data", _OTHERS.values(), ids=_OTHERS)
def test_others_are_refused_without_a_word_of_the_inside(data):
    with pytest.raises(ValueError) as error:
        decode_picture(data)
    assert "/" not in str(error.value) and "worldkv-upload" not in str(error.value)
    assert MOST_PIXELS == 25_000_000
