"""Attention: every implementation that runs here against NumPy, and which one is chosen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from kernels_pallas.attention import attention, splash
from kernels_pallas.attention.blocked import BLOCK, block_rows, exp2

TOLERANCE = {"float32": 2e-6, "bfloat16": 2e-2}
attend = jax.jit(attention, static_argnames="implementation")
each_implementation = pytest.mark.parametrize("implementation", ["xla", "blocked"])


def draw(tokens, rows, *, worlds=2, heads=4, groups=4, width=16, dtype="float32"):
    rng = np.random.default_rng(tokens + rows)
    shapes = ((worlds, tokens, heads, width), *2 * ((worlds, rows, groups, width),))
    return tuple(jax.device_put(rng.normal(size=shape).astype(jnp.dtype(dtype))) for shape in shapes)


def oracle(query, key, value, length):
    """Compute attention in float64, world by world."""
    query, key, value = (np.asarray(a, np.float64) for a in (query, key, value))
    group = query.shape[2] // key.shape[2]
    made = []
    for q, k, v, n in zip(query, key, value, np.broadcast_to(length, len(query))):
        k, v = (a[:n].repeat(group, axis=1) for a in (k, v))
        logits = np.einsum("tnh,wnh->ntw", q, k) * q.shape[-1] ** -0.5
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        made.append(np.einsum("ntw,wnh->tnh", weights / weights.sum(axis=-1, keepdims=True), v))
    return np.stack(made)


@each_implementation
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("groups", [4, pytest.param(2, marks=pytest.mark.slow), 1])
@pytest.mark.parametrize(
    "rows, length",
    [
        (7, 7),
        (BLOCK, 1),
        (BLOCK + 1, BLOCK + 1),
        (2 * BLOCK, [BLOCK, 2 * BLOCK]),
        (2 * BLOCK + 90, [BLOCK + 45, 2 * BLOCK + 3]),
    ],
)
def test_it_equals_numpy(implementation, dtype, groups, rows, length):
    arrays = draw(5, rows, groups=groups, dtype=dtype)
    got = attend(*arrays, length=jnp.asarray(length, jnp.int32), implementation=implementation)
    assert got.dtype == dtype
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(np.asarray(got, np.float64), oracle(*arrays, length), atol=tolerance, rtol=tolerance)


def test_powers_of_two_are_right_to_rounding():
    x = np.concatenate([np.linspace(-126, 127, 100_001), np.arange(-126, 128)]).astype(np.float32)
    np.testing.assert_allclose(
        np.asarray(exp2(jax.device_put(x)), np.float64), np.exp2(x.astype(np.float64)), rtol=2.5e-7
    )
    np.testing.assert_array_equal(
        exp2(jnp.array([0.0, 1, -126.01, -1e30, -jnp.inf, jnp.nan])), [1, 2, 0, 0, 0, jnp.nan]
    )


@pytest.mark.parametrize("rows, length", [(90, [90, 1]), (600, [513, 600])])
def test_splash_attention_fills_its_last_blocks_with_what_is_not_seen(rows, length):
    arrays = draw(130, rows, heads=2, groups=2, width=128)
    assert splash.takes(*arrays[:2]) and not splash.takes(*draw(3, rows)[:2])
    got = jax.jit(lambda *a: splash.attention(*a, interpret=True))(*arrays, jnp.asarray(length, jnp.int32))
    np.testing.assert_allclose(got, oracle(*arrays, length), atol=2e-6)


@pytest.mark.parametrize(
    "tokens, rows, block",
    [
        (9, 9, 9),
        (9, 1280, 1280),
        (9, 1281, 768),
        (1560, 6240, 1040),
        (2640, 7920, 792),
        (4680, 18720, 468),
        (2**17, 640, 64),
    ],
)
def test_blocks_are_filled_to_the_last_and_stay_in_cache(tokens, rows, block):
    assert block_rows(tokens, rows) == block


def test_without_a_length_all_rows_are_seen():
    arrays = draw(3, 2 * BLOCK + 4)
    got = attend(*arrays, implementation="blocked")
    np.testing.assert_allclose(got, oracle(*arrays, 2 * BLOCK + 4), atol=2e-6)


def test_large_logits_do_not_overflow():
    query, key, value = draw(3, 2 * BLOCK + 4)
    got = attend(300 * query, key, value, implementation="blocked")
    np.testing.assert_allclose(got, oracle(300 * query, key, value, 2 * BLOCK + 4), atol=1e-3)


@pytest.mark.parametrize("far_block", [0, 1, 2])
@pytest.mark.parametrize("logit", [-59.0, 59.0, -400.0, 400.0])
def test_levels_are_found_in_any_order(far_block, logit):
    """Blocks whose logits are all small need no maximum; those before and after may be of any size."""
    query, key, value = draw(3, 3 * BLOCK, worlds=1, heads=1, groups=1)
    toward = query[:, 1:2] * query.shape[-1] ** 0.5 / jnp.square(query[:, 1]).sum()
    far = jnp.arange(3 * BLOCK)[None, :, None, None] // BLOCK == far_block
    key = jnp.where(far, logit * toward, 0.1 * key)
    got = attend(query, key, value, implementation="blocked")
    np.testing.assert_allclose(got, oracle(query, key, value, 3 * BLOCK), atol=1e-5)


def test_what_lies_behind_the_length_changes_no_bit():
    query, key, value = draw(3, 2 * BLOCK)
    behind = jnp.arange(2 * BLOCK)[:, None, None] >= BLOCK + 9
    want, got = (
        attend(query, jnp.where(behind, stale, key), value, length=BLOCK + 9, implementation="blocked")
        for stale in (0.0, 1e4)
    )
    np.testing.assert_array_equal(got, want)


def test_blocks_past_the_length_are_never_met():
    query, key, value = draw(3, 2 * BLOCK)
    past = jnp.arange(2 * BLOCK)[:, None, None] >= BLOCK
    got = attend(query, *(jnp.where(past, jnp.nan, a) for a in (key, value)), length=BLOCK, implementation="blocked")
    np.testing.assert_allclose(got, oracle(query, key, value, BLOCK), atol=2e-6)


def test_worlds_mapped_over_equal_worlds_of_a_batch():
    arrays, lengths = draw(3, 2 * BLOCK + 20), jnp.array([9, BLOCK + 70], jnp.int32)
    alone = jax.vmap(lambda *a: attend(*(x[None] for x in a[:3]), length=a[3], implementation="blocked")[0])
    want = attend(*arrays, length=lengths, implementation="blocked")
    np.testing.assert_allclose(alone(*arrays, lengths), want, atol=1e-6)


@pytest.mark.parametrize("groups", [4, 2])
def test_gradients_are_those_of_xla(groups):
    arrays, length = draw(3, 2 * BLOCK + 20, groups=groups), jnp.int32(BLOCK + 5)

    def gradient(implementation):
        def loss(*a):
            return (attention(*a, length=length, implementation=implementation) ** 2).sum()

        return jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*arrays)

    for got, want in zip(gradient("blocked"), gradient("xla")):
        np.testing.assert_allclose(got, want, atol=1e-5)


def program(arrays, **options):
    return jax.jit(lambda *a: attention(*a, length=jnp.int32(9), **options)).trace(*arrays)


def test_a_cpu_loops_unless_logits_are_few():
    few, many = draw(4, 64), jax.eval_shape(lambda: draw(64, 1024))
    assert program(few).lower().as_text() == program(few, implementation="xla").lower().as_text()
    assert program(many).lower().as_text() == program(many, implementation="blocked").lower().as_text()
    assert "while" in program(many).lower().as_text()


@pytest.mark.parametrize("tokens, rows", [(5, 70), (40, 1024)])
def test_a_world_is_the_same_in_any_batch(tokens, rows):
    arrays = draw(tokens, rows, worlds=3)
    together = attend(*arrays, length=jnp.int32(rows - 3))
    alone = attend(*(a[1:2] for a in arrays), length=jnp.int32(rows - 3))
    np.testing.assert_allclose(together[1:2], alone, atol=1e-7)


def test_logits_are_never_whole():
    arrays = jax.eval_shape(lambda: draw(256, 4096))
    temporaries = program(arrays).lower().compile().memory_analysis().temp_size_in_bytes
    assert temporaries < 2 * 4 * 256 * 4096 * 4 / 8  # an eighth of the logits; XLA's own takes twice their size


def test_a_program_for_another_platform_has_no_loop():
    arrays = jax.eval_shape(lambda: draw(64, 1024))
    assert "while" not in program(arrays).lower(lowering_platforms=("tpu",)).as_text()


def test_heads_that_are_split_are_not_looped_over():
    mesh = jax.make_mesh((4,), ("model",), axis_types=(AxisType.Auto,))
    arrays = jax.eval_shape(lambda: draw(64, 1024))
    with jax.set_mesh(mesh):
        assert "while" not in program(arrays).lower().as_text()


def test_what_does_not_fit_is_refused():
    query, key, value = draw(3, 8)
    with pytest.raises(ValueError, match="do not fit; expected"):
        attention(query, key[:, :, :3], value[:, :, :3])
    with pytest.raises(ValueError, match="'flash' is unknown; give 'xla'"):
        attention(query, key, value, implementation="flash")
