"""Pinhole intrinsics (fx, fy, cx, cy) in pixels: check, hold against a picture, rescale, and read the field of view."""

import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

DEFAULT_SIZE = (480, 832)  # height, width at which the intrinsics of LingBot-World are given
DEFAULT_INTRINSICS = (415.5298, 415.6922, 415.77786, 239.77779)  # of WorldKV's generate_traj.py


def validate_intrinsics(intrinsics: ArrayLike, *, name: str = "intrinsics") -> Float64[np.ndarray, "*n 4"]:
    """Check pinhole intrinsics.

    Args:
        intrinsics: fx, fy, cx, cy in pixels, ``[4]`` or one row a frame ``[n, 4]``.
        name: how error messages call the argument.

    Returns:
        The same as float64.

    Raises:
        ValueError: wrong shape, a number that is not finite, or a focal length that is not positive.
    """
    try:
        array = np.asarray(intrinsics, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: not an array of numbers ({error}); give [4] or [n, 4]") from None
    if array.ndim not in (1, 2) or array.shape[-1] != 4 or array.size == 0:
        advice = "; take (K[0, 0], K[1, 1], K[0, 2], K[1, 2])" if array.shape[-2:] == (3, 3) else ""
        raise ValueError(f"{name}: got shape {array.shape}, expected fx, fy, cx, cy as [4] or [n, 4]{advice}")
    rows = array.reshape(-1, 4)
    wrong = ~np.isfinite(rows).all(axis=1) | ~(rows[:, :2] > 0).all(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{name}: row {row} is {rows[row].tolist()}, expected finite fx, fy, cx, cy in pixels "
            "with fx > 0 and fy > 0"
        )
    return array


def check_lens(
    intrinsics: ArrayLike,
    size: tuple[int, int],
    *,
    name: str = "intrinsics",
    tell: Callable[[str], object] = warnings.warn,
) -> Float64[np.ndarray, "*n 4"]:
    """Hold intrinsics against the picture they are of.

    Args:
        intrinsics: fx, fy, cx, cy in pixels, ``[4]`` or ``[n, 4]``.
        size: height and width of the picture.
        name: how error messages call the argument.
        tell: is told of a principal point so far from the middle that the lens may be of a picture of another size.

    Returns:
        The same as float64.

    Raises:
        ValueError: what `validate_intrinsics` refuses, shares of the picture's sides in place of pixels, height and
            width swapped, a principal point outside of the picture, or an angle of view next to 0 or 180 degrees.
    """
    array = validate_intrinsics(intrinsics, name=name)
    height, width = size
    for row, (fx, fy, cx, cy) in enumerate(array.reshape(-1, 4)):
        got = f"{name}: row {row} is {[round(float(v), 4) for v in (fx, fy, cx, cy)]} for a picture of {height}x{width}"
        pixels = "expected fx, fy, cx, cy in its pixels; rescale them as the frames were"
        if 0 < cx <= 1 and 0 < cy <= 1 and max(fx, fy) < 20:
            raise ValueError(
                f"{got}: these are shares of its sides; multiply fx and cx by the width, fy and cy by the height, and "
                "rescale them as the frames were"
            )
        if not (0 < cx < width and 0 < cy < height):
            swapped = 0 < cy < width and 0 < cx < height
            raise ValueError(f"{got}: {'cx and cy are swapped, or height and width; ' if swapped else ''}{pixels}")
        if max(abs(cx / height - 0.5), abs(cy / width - 0.5)) < 0.05 and max(height, width) > 1.2 * min(height, width):
            raise ValueError(f"{got}: cx and cy are swapped, or the height and width of the picture; {pixels}")
        if min(fx, fy) < 0.05 * max(size) or max(fx, fy) > 100 * max(size):
            raise ValueError(f"{got}: no lens has such a focal length; {pixels}")
    middle = np.median(array.reshape(-1, 4)[:, 2:] / (width, height), axis=0)
    if (np.abs(middle - 0.5) > 0.15).all():
        tell(
            f"{name}: the principal point lies at {middle[0]:.0%} of the width and {middle[1]:.0%} of the height of a "
            f"picture of {height}x{width}; if the lens is of another size, rescale it"
        )
    return array


def rescale_intrinsics(
    intrinsics: ArrayLike,
    size: tuple[int, int],
    *,
    original: tuple[int, int] = DEFAULT_SIZE,
    crop: tuple[int, int] | None = None,
) -> Float64[np.ndarray, "*n 4"]:
    """Follow an image through a resize and, if given, a centre crop.

    Args:
        intrinsics: fx, fy, cx, cy in pixels of the original image, ``[4]`` or ``[n, 4]``.
        size: height and width after the resize.
        original: height and width at which the intrinsics hold (480 x 832 for LingBot-World).
        crop: height and width of the centre that is kept; half of what goes is taken off cx and cy.

    Returns:
        Intrinsics of the new image, same shape, float64.

    Raises:
        ValueError: invalid intrinsics, or a crop larger than the resized image.
    """
    array = validate_intrinsics(intrinsics)
    height, width = size
    kept_height, kept_width = crop or size
    if min(height, width, *original, kept_height, kept_width) < 1:
        raise ValueError(f"image sizes must be positive, got size={size}, original={original}, crop={crop}")
    if kept_height > height or kept_width > width:
        raise ValueError(f"crop={crop} is larger than the resized image {size}; resize to at least the crop")
    zoom_y, zoom_x = height / original[0], width / original[1]
    shift = (0.0, 0.0, (width - kept_width) / 2, (height - kept_height) / 2)
    return array * (zoom_x, zoom_y, zoom_x, zoom_y) - shift


def field_of_view(intrinsics: ArrayLike, size: tuple[int, int]) -> tuple[float, float]:
    """Compute the full opening angles of a camera, as ``view_overlap`` takes them.

    Args:
        intrinsics: fx, fy, cx, cy in pixels, ``[4]``. The principal point is taken to be the image centre.
        size: height and width of the image.

    Returns:
        Horizontal and vertical angle in degrees.
    """
    fx, fy = validate_intrinsics(intrinsics).reshape(-1, 4)[0, :2]
    height, width = size
    horizontal, vertical = 2 * np.degrees(np.arctan([width / (2 * fx), height / (2 * fy)]))
    return float(horizontal), float(vertical)
