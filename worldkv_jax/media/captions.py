"""Captions: a strip of text above frames, and captioned panels side by side."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from worldkv_jax.media.frames import as_bytes, check_video, enlarge
from worldkv_jax.names import check_name

_PAPER, _INK, _QUIET_INK = (18, 20, 24), (245, 245, 245), (165, 172, 182)
_SMALLEST, _LARGEST = 9, 30  # pixels of type; below 9 nothing is legible


def label(frames: ArrayLike, text: str, *, detail: str | Sequence[str] | None = None, scale: int = 1) -> np.ndarray:
    """Put a caption strip above frames.

    Type is sized to the width of the frame; a line that is still too long is set smaller, then cut short.

    Args:
        frames: ``[n, h, w, 3]`` float in [0, 1] or uint8.
        text: first line, in bold.
        detail: second line: one string, or one for every frame. None leaves the line out.
        scale: enlarge every pixel to ``scale x scale`` first, so that tiny frames get crisp captions.

    Returns:
        Frames ``[n, strip + scale * h, scale * w, 3]``, uint8.

    Raises:
        ValueError: invalid frames or scale, or another number of details than frames.
    """
    frames = check_video(frames)
    text, details = _one_line(text) or "", [_one_line(line) for line in _per_frame(detail, len(frames), "detail")]
    images = enlarge(as_bytes(frames), scale)
    # One size for all frames: type that grows and shrinks as its text changes is hard to read.
    width = images.shape[2]
    longest = max(set(details), key=lambda line: _font(False, _LARGEST).getlength(line or ""))
    strips = [_strip(width, text, line, longest) for line in details]
    return np.concatenate([np.stack(strips), images], axis=1)


def side_by_side(
    panels: Mapping[str, object],
    *,
    details: Mapping[str, str | Sequence[str]] | None = None,
    scale: int = 1,
    columns: int | None = None,
) -> np.ndarray:
    """Lay out captioned panels in a grid, row by row.

    Args:
        panels: frames ``[n, h, w, 3]``, float in [0, 1] or uint8, by caption; all of one shape.
        details: second caption lines of some panels: one string, or one for every frame.
        scale: enlarge every pixel to ``scale x scale``.
        columns: panels in a row; None puts all in one row.

    Returns:
        Frames ``[n, H, W, 3]``, uint8, with even sides; empty places of the last row are dark.

    Raises:
        ValueError: no panels, panels of different shapes, details of an unknown panel, or invalid frames.
    """
    if not panels:
        raise ValueError("side_by_side got no panels; give at least one")
    details = dict(details or {})
    for name in details:
        check_name("panel", name, panels)
    checked = {name: check_video(frames, name=name) for name, frames in panels.items()}
    if len({frames.shape for frames in checked.values()}) > 1:
        shapes = ", ".join(f"{name!r} {frames.shape}" for name, frames in checked.items())
        raise ValueError(f"panels have different shapes: {shapes}; cut them to the same frames and size")
    columns = len(checked) if columns is None else columns
    if columns < 1:
        raise ValueError(f"columns={columns} is not at least 1")
    # Every panel gets a second line if any has one, so that pictures stand in line.
    blank = "" if details else None
    tiles = [label(frames, name, detail=details.get(name, blank), scale=scale) for name, frames in checked.items()]
    return _grid(tiles, min(columns, len(tiles)))


def _grid(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    count, height, width = tiles[0].shape[:3]
    gap = max(2, width // 48)
    rows = -(-len(tiles) // columns)
    total = (rows * (height + gap) + gap, columns * (width + gap) + gap)
    canvas = np.empty((count, total[0] + total[0] % 2, total[1] + total[1] % 2, 3), np.uint8)
    canvas[:] = _PAPER
    for place, tile in enumerate(tiles):
        top, left = (gap + (place // columns) * (height + gap)), (gap + (place % columns) * (width + gap))
        canvas[:, top : top + height, left : left + width] = tile
    return canvas


def _per_frame(detail, count: int, name: str) -> list[str | None]:
    if detail is None or isinstance(detail, str):
        return [detail] * count
    detail = list(detail)
    if len(detail) != count:
        raise ValueError(f"{name} has {len(detail)} lines for {count} frames; give one string, or one a frame")
    return detail


def _one_line(text: str | None) -> str | None:
    """Return text without line ends and what cannot be drawn, which a prompt or a file's name may hold."""
    if text is None:
        return None
    return "".join(c if c.isprintable() else " " for c in text.encode("utf-8", "replace").decode("utf-8"))


@lru_cache(maxsize=512)
def _strip(width: int, text: str, detail: str | None, longest: str | None) -> np.ndarray:
    size = min(max(width // 16, _SMALLEST), _LARGEST)
    margin, leading = size // 2, size + size // 3
    room = width - margin
    image = Image.new("RGB", (width, margin + leading * (1 if detail is None else 2)), _PAPER)
    draw = ImageDraw.Draw(image)
    place = (margin // 2, margin // 2)
    title_font = _fitting_font(text, True, size, room)
    draw.text(place, _cut(text, title_font, room), fill=_INK, font=title_font)
    if detail is not None:
        font = _fitting_font(longest or detail, False, max(_SMALLEST, round(size * 0.85)), room)
        below = (place[0], place[1] + leading)
        draw.text(below, _cut(detail, font, room), fill=_QUIET_INK, font=font)
    return np.asarray(image)


def _fitting_font(text: str, bold: bool, size: int, width: int) -> ImageFont.FreeTypeFont:
    while _font(bold, size).getlength(text) > width and size > _SMALLEST:
        size -= 1
    return _font(bold, size)


def _cut(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


@lru_cache(maxsize=64)
def _font(bold: bool, size: int) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
