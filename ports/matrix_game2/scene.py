"""What the first image contributes to every chunk: its latents and CLIP's tokens."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from ports.wan.autoencoders import wan_vae
from ports.wan.encoders import clip
from ports.wan.latents import CHUNK_FRAMES
from ports.wan.program.first_frame import cells_of_chunk, encode_first_frame

HEIGHT, WIDTH = 352, 640
"""Pixels of the released video."""


def fit_picture(image: Image.Image | np.ndarray, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Cut the middle of a picture to the video's aspect and resize it with antialiasing, as released.

    Args:
        image: a picture of any size, or uint8 ``[H, W, 3]``.
        height, width: pixels of the video.

    Returns:
        float32 ``[height, width, 3]`` in [-1, 1].

    Raises:
        ValueError: an array of another shape or dtype, or a picture so narrow that nothing is left of it.
    """
    if not isinstance(image, Image.Image):
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise ValueError(
                f"got a picture of shape {image.shape} and dtype {image.dtype}, expected uint8 [H, W, 3]: red, green "
                "and blue from 0 to 255"
            )
        image = Image.fromarray(image)
    columns, rows = image.size
    if rows / columns > height / width:
        kept_rows, kept_columns = int(columns * height / width), columns
    else:
        kept_rows, kept_columns = rows, int(rows * width / height)
    if not kept_rows or not kept_columns:
        raise ValueError(
            f"a picture of {columns} x {rows} pixels has no middle part with the aspect {width} : {height}; give a "
            "less narrow one"
        )
    left, top = (columns - kept_columns) / 2, (rows - kept_rows) / 2
    middle = image.convert("RGB").crop((left, top, left + kept_columns, top + kept_rows))
    pixels = np.asarray(middle.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    return pixels / 127.5 - 1


class Scene(NamedTuple):
    """What the first images of all worlds contribute to a rollout."""

    cells: jax.Array
    """``[B, n, rows, columns, 20]`` mask and latents of the first frames; the last one stands for all later ones."""
    tokens: jax.Array
    """``[B, tokens, image_dim]`` of CLIP."""

    def chunk_cells(self, chunk: int) -> jax.Array:
        """Return the mask and latents of a chunk, ``[B, F, rows, columns, 20]``."""
        return cells_of_chunk(self.cells, chunk)

    def of_worlds(self, worlds: int) -> "Scene":
        """Let so many worlds begin here, as many with each picture; those with the same one are neighbours.

        Raises:
            ValueError: they cannot be shared out evenly.
        """
        scenes = len(self.cells)
        if worlds % scenes:
            raise ValueError(f"{worlds} worlds cannot begin with {scenes} pictures; give as many, or one for all")
        return jax.tree.map(lambda part: jnp.repeat(part, worlds // scenes, axis=0), self) if worlds > scenes else self


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneEncoder:
    """The networks that read a rollout's first image; run once, a rollout keeps the result."""

    vae: wan_vae.VAEConfig
    vae_params: dict
    clip: clip.CLIPConfig
    clip_params: dict

    def __call__(self, pictures: jax.Array, *, chunks: int | None = None) -> Scene:
        """Encode the pictures that worlds begin with.

        Args:
            pictures: ``[B, height, width, 3]`` in [-1, 1], see `fit_picture`.
            chunks: length of the rollout, where known; a short one takes less.
        """
        latents = self.vae.still_latents
        if chunks is not None:
            latents = min(latents, chunks * CHUNK_FRAMES)
        cells = encode_first_frame(self.vae, self.vae_params, pictures, latents=latents)
        return Scene(cells, _encode_tokens(self.clip, self.clip_params, pictures))


@functools.partial(jax.jit, static_argnums=0)
def _encode_tokens(config, params, pictures) -> jax.Array:
    return clip.encode_image(config, params, pictures)
