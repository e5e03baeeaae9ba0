"""Sizes of a video of LingBot-World: latent cells of a frame, and latent frames of a path."""

import dataclasses

import numpy as np

from ports.wan.latents import (
    CELL,
    CHUNK_FRAMES,
    frames_of,
    latents_of,
)
from ports.wan.nn.patches import PATCH


def latent_size(image_size: tuple[int, int], area: int) -> tuple[int, int]:
    """Choose latent rows and columns for a video of about ``area`` pixels with the aspect of its first image.

    The released formula, in double precision: a 480 x 832 image at 480 * 832 pixels gives 58 rows, not 60, because
    the root comes out a little below 480.

    Args:
        image_size: height and width of the image in pixels.
        area: pixels of a video frame.

    Raises:
        ValueError: an image or an area too small or too narrow for one patch.
    """
    aspect = image_size[0] / image_size[1]
    rows, columns = (round(np.sqrt(pixels) // CELL // PATCH * PATCH) for pixels in (area * aspect, area / aspect))
    if min(rows, columns) < PATCH:
        raise ValueError(
            f"an image of {image_size[0]} x {image_size[1]} pixels at {area} pixels a frame gives {rows} x {columns} "
            f"latent cells, expected at least {PATCH} x {PATCH}; give a larger area or a less narrow image"
        )
    return rows, columns


@dataclasses.dataclass(frozen=True)
class Length:
    """Frames of a rollout."""

    poses: int
    """Poses of the path that count."""
    latents: int
    """Latent frames, a whole number of chunks."""

    @property
    def chunks(self) -> int:
        """Chunks of the rollout."""
        return self.latents // CHUNK_FRAMES

    @property
    def frames(self) -> int:
        """Frames of the video."""
        return frames_of(self.latents)


def rollout_length(frames: int, poses: int | None = None) -> Length:
    """Cut a number of frames, and of poses if there is a path, to what the model can make.

    Raises:
        ValueError: less than one chunk is left.
    """
    latents = latents_of(min(frames, poses or frames))
    length = Length(frames_of(latents), latents - latents % CHUNK_FRAMES)
    if length.latents < CHUNK_FRAMES:
        shortest = frames_of(CHUNK_FRAMES)
        given = f"{frames} frames" if poses is None else f"{frames} frames along {poses} poses"
        raise ValueError(
            f"{given} are less than a chunk of {CHUNK_FRAMES} latent frames; give at least {shortest} of both"
        )
    return length
