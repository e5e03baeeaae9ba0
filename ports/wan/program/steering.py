"""What steering has in common in models of Wan's latents: which video frames a chunk has, and which its cameras are."""

import numpy as np

from ports.wan.latents import CHUNK_FRAMES, FRAMES_PER_LATENT, frames_of
from worldkv_jax.cameras.actions import Stance

TOUR = (("l", 48), ("", 12), ("j", 48))
"""Turn away, and back."""


def frames_of_chunk(chunk: int) -> int:
    """Return the video frames of a chunk; the first latent frame of a video has one alone."""
    first = frames_of(CHUNK_FRAMES)
    return first if chunk == 0 else CHUNK_FRAMES * FRAMES_PER_LATENT


def latent_stances(path: Stance, chunk: int) -> Stance:
    """Choose the stances of a chunk's latent frames: each shows up to its last video frame.

    Args:
        path: before the chunk's first video frame, and after each, ``[n + 1]``.
        chunk: its number.
    """
    start = 0 if chunk == 0 else frames_of(CHUNK_FRAMES * chunk)
    shown = FRAMES_PER_LATENT * (CHUNK_FRAMES * chunk + np.arange(CHUNK_FRAMES)) - start
    return Stance(*(part[shown] for part in path))
