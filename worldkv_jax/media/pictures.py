"""Pictures from files: one reader for all models, which says what it cannot read right."""

import os
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from worldkv_jax.readers import check_file, what_it_is

MOST_PIXELS = 100_000_000
"""Of a picture; a larger one is refused before memory is taken."""
WHITE = (255, 255, 255)
# All that hold photographs or frames. Not EPS and its like, for which Pillow starts other programs.
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "JPEG2000", "TIFF", "BMP", "GIF", "PPM", "TGA")
_MOVING = {"GIF": "frames", "PNG": "frames", "WEBP": "frames", "AVIF": "frames", "TIFF": "pages"}
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


def read_picture(
    path: str | os.PathLike[str],
    *,
    upright: bool = True,
    background: tuple[int, int, int] = WHITE,
    tell: Callable[[str], object] = warnings.warn,
) -> np.ndarray:
    """Read a picture as uint8 ``[height, width, 3]``: red, green and blue.

    Grey, palette and CMYK pictures become RGB, 16 bits are scaled to 8. What is transparent shows the background, not
    the hidden colours below it. Of several frames or pages the first counts.

    Args:
        path: PNG, JPEG, WebP, AVIF, JPEG 2000, TIFF, BMP, GIF, PPM or TGA, whatever its name says.
        upright: turn it as its EXIF orientation asks, as every viewer does.
        background: red, green and blue behind what is transparent, 0 to 255.
        tell: is told of what is left out of a picture of several frames, of colours that are not those of sRGB, and
            of what Pillow finds odd.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is another kind of file, damaged or cut short, larger than 100 million pixels, or has numbers
            that are neither 8 nor 16 bits nor fractions of white; the text names the file.
        OSError: it cannot be read.
    """
    path = check_file(path, "a picture")
    open(path, "rb").close()  # a file that may not be read is no damaged picture
    try:
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always")
            pixels, notes = _read(path, upright, background)
    except _RefusedError as error:
        raise ValueError(f"{path} {error}") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{path} has more than {MOST_PIXELS:,} pixels; make it smaller") from None
    except MemoryError:
        raise
    except Exception as error:  # of a decoder that is fed arbitrary bytes: whatever its helpers raise
        found = what_it_is(path) or "of no kind known here"
        unknown = isinstance(error, Image.UnidentifiedImageError)
        reason = f"it is {found}" if unknown else f"it is damaged or cut short ({error})"
        raise ValueError(f"{path} is not a picture that can be read: {reason}; give a whole PNG or JPEG") from None
    # Pillow doubts whole pictures of more than 90 million pixels, too; the limit here is our own.
    odd = {f": {doubt.message}" for doubt in doubts if doubt.category is not Image.DecompressionBombWarning}
    for note in (*notes, *sorted(odd)):
        tell(f"{path}{note}")
    return pixels


class _RefusedError(ValueError):
    """A whole picture that would be read wrong."""


def _read(path, upright: bool, background: tuple[int, int, int]) -> tuple[np.ndarray, list[str]]:
    Image.init()
    notes = []
    formats = [name for name in _FORMATS if name in Image.OPEN]
    with Image.open(path, formats=formats) as image:
        if image.width * image.height > MOST_PIXELS:
            raise Image.DecompressionBombError
        image.verify()  # checksums, where the format has some; the file must be opened anew after it
    with Image.open(path, formats=formats) as image:
        count = getattr(image, "n_frames", 1) if image.format in _MOVING else 1
        if count > 1:
            notes.append(f" has {count} {_MOVING[image.format or '']}; the first one is used")
        image.load()
        profile = image.info.get("icc_profile") or b""
        if profile and not any("sRGB".encode(code) in profile for code in ("ascii", "utf-16-be")):
            notes.append(" has a colour profile that is not sRGB, and is taken for it; convert it for its true colours")
        if upright:
            image = ImageOps.exif_transpose(image)
        if image.mode in _DEEP:
            return _shallow(np.asarray(image)), notes
        if image.has_transparency_data:
            front = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", front.size, (*background, 255)), front)
        return np.array(image.convert("RGB")), notes


def _shallow(pixels: np.ndarray) -> np.ndarray:
    """Bring grey pixels ``[h, w]`` of 16 bits, or fractions of white, to 8 bits."""
    low, high = pixels.min(), pixels.max()
    if pixels.dtype.kind == "f":
        if not (low >= 0 and high <= 1):  # nor NaN
            raise _RefusedError(
                f"has floating numbers from {low:g} to {high:g}, expected 0 to 1; what is white in it is not known: "
                "save it as 8 bits"
            )
        grey = np.rint(pixels * 255)
    else:
        if low < 0 or high > 65535:
            raise _RefusedError(
                f"has whole numbers from {low} to {high}, expected 16 bits; what is white in it is not known: save it "
                "as 8 bits"
            )
        grey = np.rint(pixels.astype(np.float32) / 257)
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)
