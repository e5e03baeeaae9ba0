"""Sizes of a video, and what its first frame contributes to every chunk."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from ports.wan.autoencoders.wan_vae import VAEConfig, encode_image
from ports.wan.encoders.resize import bicubic
from ports.wan.latents import CELL, CHUNK_FRAMES, GUIDE_CHANNELS, LATENT_CHANNELS, frames_of, latents_of
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


def image_cells(latents: jax.Array) -> jax.Array:
    """Put the mask before the image latents: it says that the first latent frame is given.

    Args:
        latents: ``[B, F, rows, columns, 16]`` of the first frame followed by grey, from the rollout's beginning.

    Returns:
        ``[B, F, rows, columns, 20]`` (LingBot-World specification, section 6).
    """
    mask = jnp.zeros((*latents.shape[:-1], GUIDE_CHANNELS - LATENT_CHANNELS), latents.dtype)
    return jnp.concatenate([mask.at[:, 0].set(1), latents], axis=-1)


@functools.partial(jax.jit, static_argnames=("config", "rows", "columns", "latents"))
def encode_first_frame(
    config: VAEConfig, params: dict, image: jax.Array, *, rows: int, columns: int, latents: int
) -> jax.Array:
    """Resize and encode the image that a rollout begins with.

    Args:
        config: of the VAE.
        params: its parameters.
        image: ``[H, W, 3]``, uint8.
        rows, columns: latent cells of the video; the image is stretched to their size, not cropped.
        latents: latent frames of the rollout.

    Returns:
        ``[1, latents, rows, columns, 20]``, see `image_cells`.
    """
    frame = bicubic(image.astype(jnp.float32) / 127.5 - 1, rows * CELL, columns * CELL)
    return image_cells(encode_image(config, params, frame[None], latents))


def image_chunks(cells: jax.Array) -> Iterator[jax.Array]:
    """Yield what each chunk is given of the first frame, ``[B, 3, rows, columns, 20]``, without end.

    Past the last latent frame of ``cells`` that one is repeated: from the 30th on all are the same.
    """
    last = cells.shape[1] - 1
    for first in itertools.count(0, CHUNK_FRAMES):
        frames = np.minimum(np.arange(first, first + CHUNK_FRAMES), last)
        yield cells[:, frames]
