"""Rotary positions: exact however far the rollout, and shifting keys is encoding them elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worldkv_jax.rope import Rope, rotate

grid = jax.jit(Rope.grid, static_argnums=(0, 2, 3))
shift_time = jax.jit(Rope.shift_time, static_argnums=0)
turn = jax.jit(rotate)


@pytest.mark.parametrize("head_dim", [6, 12, 40, 128])
def test_time_angles_are_exact_at_any_position(head_dim):
    rope = Rope(head_dim=head_dim)
    near = [0, 1, 2, 255, 256, 257, 1023, 65535, 65536, 999_983, 10**6, 2**24 - 1]
    rng = np.random.default_rng(0)
    frames = np.concatenate([near, rng.integers(0, 10**6, 200), -rng.integers(0, 10**6, 50)])
    cos, sin = jax.jit(rope.time)(frames.astype(np.int32))
    angle = frames[:, None].astype(np.float64) * rope.frequencies(0)
    np.testing.assert_allclose(cos, np.cos(angle), atol=1e-6)
    np.testing.assert_allclose(sin, np.sin(angle), atol=1e-6)


def test_float32_products_would_not_be_exact():
    """Why positions are split into digits: the angle itself does not fit float32."""
    frequencies = Rope(head_dim=128).frequencies(0)
    product = np.cos(np.float32(999_983) * frequencies.astype(np.float32))
    assert np.abs(product - np.cos(999_983 * frequencies)).max() > 1e-3


def test_pairs_follow_the_published_split():
    assert Rope(head_dim=128).pairs == (22, 21, 21)
    assert Rope(head_dim=40).pairs == (8, 6, 6)


@pytest.mark.parametrize("head_dim", [4, 7])
def test_head_dims_without_a_pair_for_each_axis_are_refused(head_dim):
    with pytest.raises(ValueError, match=f"head_dim={head_dim} must be even and at least 6"):
        Rope(head_dim=head_dim)


def test_grid_is_the_definition():
    rope, height, width = Rope(head_dim=12), 2, 3
    frames = np.asarray([5, 300_000])
    cos, sin = grid(rope, frames.astype(np.int32), height, width)
    angles = [
        np.concatenate([f * rope.frequencies(0), r * rope.frequencies(1), c * rope.frequencies(2)])
        for f in frames
        for r in range(height)
        for c in range(width)
    ]
    np.testing.assert_allclose(cos, np.cos(angles), atol=1e-6)
    np.testing.assert_allclose(sin, np.sin(angles), atol=1e-6)


def test_grid_takes_leading_axes():
    rope = Rope(head_dim=12)
    frames = jnp.asarray([[0, 1], [7, 9]], jnp.int32)
    together, apart = rope.grid(frames, 2, 2), [rope.grid(one, 2, 2) for one in frames]
    for i in range(2):
        np.testing.assert_array_equal(together[i], np.stack([pair[i] for pair in apart]))


@pytest.mark.parametrize(("start", "shift"), [(0, 1), (17, -17), (3, 999_980), (1_000_000, -999_000)])
def test_shifted_keys_are_keys_encoded_elsewhere(start, shift):
    rope = Rope(head_dim=20)
    x = np.random.default_rng(0).standard_normal((2, 3 * 4, 2, 20), np.float32)
    positions = start + np.arange(3, dtype=np.int32)
    here, there = (turn(x, *grid(rope, p, 2, 2)) for p in (positions, positions + shift))
    np.testing.assert_allclose(shift_time(rope, here, np.int32(shift)), there, atol=1e-5)


def test_a_shift_of_nothing_changes_no_bit():
    x = np.random.default_rng(0).standard_normal((5, 2, 20), np.float32)
    np.testing.assert_array_equal(shift_time(Rope(head_dim=20), x, np.int32(0)), x)


def test_each_token_may_shift_by_its_own():
    rope = Rope(head_dim=12)
    x = jax.random.normal(jax.random.key(0), (4, 2, 12))
    shifts = jnp.asarray([0, -3, 500, 70_000], jnp.int32)
    got = rope.shift_time(x, shifts)
    for token, shift in enumerate(shifts):
        np.testing.assert_array_equal(got[token : token + 1], rope.shift_time(x[token : token + 1], shift))


def test_rotation_keeps_norms_and_dtype():
    rope = Rope(head_dim=12)
    x = np.random.default_rng(0).standard_normal((8, 2, 12), np.float32)
    out = turn(x, *grid(rope, np.array([123, 9], np.int32), 2, 2))
    np.testing.assert_allclose(np.linalg.norm(out, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-6)
    assert shift_time(rope, x.astype(jnp.bfloat16), np.int32(5)).dtype == jnp.bfloat16
