"""Evaluation: fidelity of frames and revisits of a camera path."""

from worldkv_jax.evaluation.fidelity import psnr, ssim
from worldkv_jax.evaluation.revisits import revisit_pairs, visit_numbers

__all__ = ["psnr", "revisit_pairs", "ssim", "visit_numbers"]
