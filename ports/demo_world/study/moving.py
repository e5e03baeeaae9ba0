"""How well what moves is shown, apart from what stands still."""

import numpy as np

from ports.demo_world.scenario import Scenario, along_paths
from ports.demo_world.worlds.families import Family


def moving_pixels_of(family: Family, scenario: Scenario) -> np.ndarray:
    """Return which pixels show what moves, bool ``[B, n, H, W]`` along each path."""
    if family.moving_pixels is None:
        raise ValueError(f"nothing moves in worlds of {family.name}")
    return along_paths(family.moving_pixels, scenario.worlds, scenario.poses)


def masked_psnr(made: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return each world's PSNR in dB over the pixels of a mask, ``[B]``; NaN where the mask is empty.

    Args:
        made: frames ``[B, n, H, W, 3]`` in [0, 1].
        truth: what they should show.
        mask: bool ``[B, n, H, W]``.
    """
    error = np.square(made - truth).mean(axis=-1)
    pixels = mask.sum(axis=(1, 2, 3))
    mean = np.where(mask, error, 0.0).sum(axis=(1, 2, 3)) / np.maximum(pixels, 1)
    return np.where(pixels > 0, -10 * np.log10(np.maximum(mean, 1e-12)), np.nan)
