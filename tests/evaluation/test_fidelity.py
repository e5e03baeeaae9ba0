"""Fidelity: PSNR and SSIM against their formulas, at their limits, and what their errors say."""

import jax.numpy as jnp
import numpy as np
import pytest

from worldkv_jax.evaluation import fidelity
from worldkv_jax.evaluation.fidelity import PSNR_CAP, psnr, ssim


@pytest.fixture
def frames():
    return np.random.default_rng(0).random((2, 3, 16, 20, 3)).astype(np.float32)


def test_psnr_is_its_formula(frames):
    other = frames[::-1]
    error = ((frames.astype(np.float64) - other) ** 2).mean(axis=(-3, -2, -1))
    assert psnr(frames, other).shape == (2, 3)
    np.testing.assert_allclose(psnr(frames, other), -10 * np.log10(error), rtol=1e-5)
    np.testing.assert_allclose(psnr(np.zeros((16, 16, 3)), np.full((16, 16, 3), 0.1)), 20.0, rtol=1e-5)


def test_identical_frames_get_the_best_scores(frames):
    np.testing.assert_array_equal(psnr(frames, frames), np.full((2, 3), PSNR_CAP))
    np.testing.assert_allclose(ssim(frames, frames), np.ones((2, 3)), atol=1e-5)


def test_ssim_falls_with_noise(frames):
    noise = np.random.default_rng(1).normal(size=frames.shape)
    scores = [ssim(frames, np.clip(frames + level * noise, 0, 1)).mean() for level in (0.02, 0.1, 0.4)]
    assert 1 > scores[0] > scores[1] > scores[2] > 0


def test_ssim_of_constant_frames_is_its_formula():
    """Without variance only the luminance term is left: (2ab + c) / (a^2 + b^2 + c)."""
    a, b, c = 0.3, 0.6, 0.01**2
    score = ssim(np.full((12, 11, 3), a), np.full((12, 11, 3), b))
    np.testing.assert_allclose(score, (2 * a * b + c) / (a * a + b * b + c), rtol=1e-4)


def test_kinds_of_frames(frames):
    as_bytes = np.rint(frames * 255).astype(np.uint8)
    assert psnr(as_bytes, frames).min() > 50
    assert psnr(jnp.asarray(frames, jnp.bfloat16), frames).min() > 45
    assert psnr(frames[0, 0], frames[0, 0]).shape == ()


def test_blocks_do_not_change_scores(frames, monkeypatch):
    other = frames[::-1]
    whole = psnr(frames, other), ssim(frames, other)
    monkeypatch.setattr(fidelity, "_BLOCK_VALUES", 4 * frames[0, 0].size)  # 6 frames in blocks of 4 and 2
    np.testing.assert_allclose(psnr(frames, other), whole[0], rtol=1e-6)
    np.testing.assert_allclose(ssim(frames, other), whole[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[:1], r"a has shape \(1, .*b has \(2,"),
        (lambda f: f * np.nan, "a: 5760 of 5760 numbers are not finite"),
        (lambda f: f * 2 - 1, r"a: numbers span .*expected \[0, 1\].*\(x \+ 1\) / 2"),
        (lambda f: (f * 255).astype(np.int32), "a: got int32, expected floats"),
        (lambda f: f[..., :1], "expected .* 3"),
        (lambda f: np.moveaxis(f, -1, -3), "move the channels last"),
        (lambda f: f[:0], "holds no pixels"),
    ],
)
def test_errors_say_what_is_wrong(frames, change, message):
    for measure in (psnr, ssim):
        with pytest.raises(ValueError, match=message):
            measure(change(frames), frames)


def test_ssim_refuses_frames_smaller_than_its_window(frames):
    with pytest.raises(ValueError, match="10 x 20 pixels are smaller than the SSIM window of 11"):
        ssim(frames[..., :10, :, :], frames[..., :10, :, :])
