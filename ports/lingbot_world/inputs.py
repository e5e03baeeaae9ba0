"""What one rollout of LingBot-World-Fast is made of: files checked before any weight is loaded."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, UnidentifiedImageError

from checkpoints.components import Component
from checkpoints.manifest import is_converted
from checkpoints.weights import open_weights
from ports.lingbot_world.backbone import Given, LingBotWorld
from ports.lingbot_world.camera import make_lens, motion_scale
from ports.lingbot_world.camera_folder import CameraPath, latent_actions
from ports.lingbot_world.checkpoint import DIT
from ports.lingbot_world.conditioning import Length, image_chunks
from ports.lingbot_world.config import LingBotConfig
from ports.wan.encoders import umt5
from ports.wan.encoders.prompts import load_embedding
from ports.wan.encoders.text import Tokenizer
from ports.wan.latents import CELL, CHUNK_FRAMES
from worldkv_jax.cameras import latent_poses
from worldkv_jax.rollout import ChunkInput, chunk_inputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """What one rollout is made of."""

    backbone: LingBotWorld
    path: CameraPath
    length: Length
    scale: float | None = None
    """Scene units that motion is divided by; ``None`` to measure the whole path, which a live camera cannot."""
    image: np.ndarray | None = None
    """uint8 ``[H, W, 3]``; ``None`` for noise in its place, with random weights."""
    prompt: str | None = None
    """Text or the path of an embedding; ``None`` for noise in its place, with random weights."""
    ckpt: str | None = None
    """``None`` for random weights."""
    decodes: bool = True
    """Whether frames are wanted and not only latents."""

    def chunks(self, cells: jax.Array, prompt: jax.Array) -> list[ChunkInput]:
        """Put together what each chunk is given.

        Args:
            cells: ``[1, n, rows, columns, 20]`` of `encode_first_frame`.
            prompt: ``[text_rows, text_dim]``.
        """
        latents, actions = self.length.latents, self.path.actions
        poses = latent_poses(self.path.track.poses[: self.length.poses], latents)
        lens = make_lens(
            (self.backbone.rows * CELL, self.backbone.columns * CELL),
            scale=motion_scale(poses) if self.scale is None else self.scale,
            intrinsics=self.path.track.intrinsics,
        )
        if actions is not None:
            actions = jnp.asarray(latent_actions(actions, self.length.poses, latents), jnp.float32)[None]
        given = []
        for first, image in zip(range(0, latents, CHUNK_FRAMES), image_chunks(cells)):
            own = None if actions is None else actions[:, first : first + CHUNK_FRAMES]
            given.append(Given(lens._replace(actions=own), image, prompt[None]))
        return chunk_inputs(poses, self.backbone.spec, conditions=given)


def check_parts(ckpt: str, components: Iterable[Component]) -> None:
    """Check that a model folder has what is needed of it; a converted one tells so itself when it is opened.

    Raises:
        FileNotFoundError: it lacks some, all of which are named.
    """
    folder = Path(ckpt)
    if not folder.is_dir() or is_converted(folder):
        return
    missing = [part for part in components if not any(any(folder.glob(pattern)) for pattern in part.files)]
    if missing:
        lines = [f"{part.name}: no {' and no '.join(part.files)}" for part in missing]
        raise FileNotFoundError("\n  ".join([f"{ckpt} is no whole model folder:", *lines]))


def read_config(ckpt: str, dtype: str) -> LingBotConfig:
    """Read the size of a checkpoint's transformer; reads no weights.

    Raises:
        FileNotFoundError: no transformer is there.
        ValueError: it is of another model, or damaged.
    """
    return dataclasses.replace(open_weights(ckpt, DIT).config, dtype=dtype)


def read_image(path: str) -> np.ndarray:
    """Read a picture as uint8 ``[H, W, 3]``.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no picture.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError(f"--image {path} is not a picture that can be read; give a PNG or JPEG file") from None


def is_embedding(prompt: str) -> bool:
    """Tell whether a prompt is the path of a prompt embedding and not text."""
    return Path(prompt).suffix in (".npy", ".safetensors")


def check_prompt(prompt: str, ckpt: str | None, config: LingBotConfig) -> None:
    """Check that a prompt can be embedded; of a text encoder it reads no weights.

    Args:
        prompt: text, or the path of an embedding.
        ckpt: model folder with the text encoder; ``None`` for none, which text does not need then.
        config: of the transformer.

    Raises:
        FileNotFoundError: a file is missing.
        ModuleNotFoundError: reading text needs packages that are not installed.
        ValueError: an embedding that does not fit, or an encoder of another model.
    """
    if is_embedding(prompt):
        load_embedding(prompt, dim=config.text_dim, length=config.text_rows)
    elif ckpt is not None:
        width = open_weights(ckpt, umt5.COMPONENT).config.dim
        if width != config.text_dim:
            raise ValueError(f"the text encoder in {ckpt} makes rows of {width} numbers, expected {config.text_dim}")
        Tokenizer.load(ckpt, length=config.text_rows)("")
