"""Metrics by name: PSNR and SSIM always, LPIPS and DINO where their weights are given as local files."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from worldkv_jax.evaluation.fidelity import SSIM_WINDOW, psnr, ssim
from worldkv_jax.media.frames import as_float, check_frames

STRUCTURE = 2 / 255  # a frame whose colours all span less is constant: grey levels are rounded to 1 / 255


@dataclasses.dataclass(frozen=True)
class Metric:
    """How alike two frames are."""

    name: str
    unit: str
    higher_is_better: bool
    score: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """Scores ``[n, h, w, 3]`` against as many: ``[n]``."""
    needs_structure: bool = False
    """Undefined where a frame is constant."""
    smallest_side: int = 1
    """Pixels of the smallest side it works on."""

    def __call__(self, frames: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Score frames ``[n, h, w, 3]``, float or uint8, against others: ``[n]``, NaN where undefined."""
        scores = np.asarray(self.score(frames, others), np.float64)
        if self.needs_structure:
            scores = np.where(is_constant(frames) | is_constant(others), np.nan, scores)
        return scores

    def gain(self, better, worse):
        """Return by how much one score is better than another, whichever way the metric runs."""
        return better - worse if self.higher_is_better else worse - better


PSNR = Metric("psnr", "dB", True, psnr)
SSIM = Metric("ssim", "", True, ssim, needs_structure=True, smallest_side=SSIM_WINDOW)


def mean_defined(scores: np.ndarray) -> float | None:
    """Average the scores that are defined; ``None`` if none is."""
    defined = scores[np.isfinite(scores)]
    return float(defined.mean()) if len(defined) else None


def is_constant(frames) -> np.ndarray:
    """Tell which frames ``[..., h, w, 3]`` show one plain colour: ``[...]``."""
    frames = check_frames(frames)
    pixels = as_float(frames).reshape(*frames.shape[:-3], -1, 3)
    return (np.ptp(pixels, axis=-2) < STRUCTURE).all(axis=-1)


def load_metrics(
    *, lpips: str | os.PathLike[str] | None = None, dino: str | os.PathLike[str] | None = None
) -> tuple[tuple[Metric, ...], tuple[str, ...]]:
    """Load the metrics that can be had.

    Args:
        lpips: file with the weights of LPIPS (AlexNet), see `worldkv_jax.evaluation.lpips`.
        dino: folder with ``model.safetensors`` and ``config.json`` of a DINOv3 ViT, see
            `worldkv_jax.evaluation.dino`.

    Returns:
        The metrics, and one line for each that is left out: which, and why.

    Raises:
        ValueError: weights that are there but are not what they should be.
    """
    metrics, left_out = [PSNR, SSIM], []
    for name, path, load in (("lpips", lpips, _load_lpips), ("dino", dino, _load_dino)):
        if path is None:
            left_out.append(f"{name} is left out: no weights were given")
        elif not Path(path).exists():
            left_out.append(f"{name} is left out: there are no weights at {path}")
        else:
            metrics.append(load(Path(path)))
    return tuple(metrics), tuple(left_out)


def _load_lpips(path: Path) -> Metric:
    from worldkv_jax.evaluation.lpips import SMALLEST_SIDE, load_lpips

    return Metric("lpips", "", False, load_lpips(path), smallest_side=SMALLEST_SIDE)


def _load_dino(path: Path) -> Metric:
    from worldkv_jax.evaluation.dino import load_dino

    return Metric("dino", "", False, load_dino(path))
