"""Which of four images stands for the source at each latent frame (v1.5)."""

from itertools import permutations

import numpy as np

from ports.wan.latents import CHUNK_FRAMES, FRAMES_PER_LATENT


def overlap_of_latents(pixels: np.ndarray) -> np.ndarray:
    """Add up how many pixels of each image the frames of a latent see: ``[T, k]`` to ``[1 + (T - 1) // 4, k]``."""
    pixels = np.asarray(pixels)
    first, rest = pixels[:1], pixels[1:]
    whole = len(rest) // FRAMES_PER_LATENT * FRAMES_PER_LATENT
    return np.concatenate([first, rest[:whole].reshape(-1, FRAMES_PER_LATENT, pixels.shape[1]).sum(axis=1)])


def choose_views(overlap: np.ndarray) -> np.ndarray:
    """Choose three images for every chunk, one for each of its latent frames.

    The three that its cameras see most of, in the order that shows most of them; ties go to the lower number
    (InSpatio-World specification, section 9).

    Args:
        overlap: ``[latents, k]``, see `overlap_of_latents`; whole chunks, and at least three images.

    Returns:
        Numbers of images, int ``[latents]``.
    """
    chosen = []
    for chunk in np.asarray(overlap).reshape(-1, CHUNK_FRAMES, np.shape(overlap)[1]):
        best = np.argsort(-chunk.sum(axis=0), kind="stable")[:CHUNK_FRAMES]
        orders = sorted(permutations(best.tolist()))  # `max` keeps the first of equals
        chosen += max(orders, key=lambda order: sum(chunk[latent, view] for latent, view in enumerate(order)))
    return np.array(chosen)
