"""The gathering of kept tokens: exact in every implementation, in place in a donated bank."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from kernels_pallas.compact import compact
from tests.kernels.kernel_suite import KernelSuite


class CompactSuite(KernelSuite):
    function = staticmethod(compact)

    def inputs(self, spec, seed=0):
        rng = np.random.default_rng(seed)
        keys, values = (jnp.asarray(rng.normal(size=spec.shape), spec.dtype) for _ in range(2))
        scores = rng.random((*spec.leading, spec.tokens))
        picks = np.sort(np.argsort(scores, axis=-1)[..., : spec.picks], axis=-1)
        return {"keys": keys, "values": values}, picks.astype(np.int32)

    def structs(self, spec):
        x = jax.ShapeDtypeStruct(spec.shape, spec.dtype)
        return (x, x), jax.ShapeDtypeStruct((*spec.leading, spec.picks), "int32")

    def oracle(self, spec, arrays, indices):
        def take(x):
            out = np.empty((*spec.leading, spec.picks, spec.heads, spec.head_dim), x.dtype)
            for at in np.ndindex(*spec.leading, spec.picks):
                out[at] = np.asarray(x)[(*at[:-1], indices[at])]
            return out

        return jax.tree.map(take, arrays)

    def check(self, got, want):
        assert jax.tree.map(lambda x: x.dtype, got) == jax.tree.map(lambda x: x.dtype, want)
        super().check(got, want)

    def test_order_and_repeats_of_indices_are_kept(self):
        x = jnp.arange(2 * 6 * 128, dtype=jnp.float32).reshape(2, 6, 2, 64)
        indices = np.array([[5, 0, 5], [1, 1, 3]], np.int32)
        np.testing.assert_array_equal(self.kernel(None)(x, indices), np.stack([x[0, [5, 0, 5]], x[1, [1, 1, 3]]]))

    def test_one_pick(self):
        x = jnp.arange(6 * 128, dtype=jnp.float32).reshape(6, 2, 64)
        np.testing.assert_array_equal(self.kernel(None)(x, np.array([4], np.int32)), x[4:5])


class TestXla(CompactSuite):
    implementation = "xla"


class TestTriton(CompactSuite):
    implementation = "triton"


class TestMosaicGpu(CompactSuite):
    implementation = "mosaic_gpu"

    def test_refuses_tokens_a_bulk_copy_cannot_take(self):
        for shape, dtype in (((8, 3, 5), "float32"), ((8, 1, 32), "bfloat16"), ((8, 300, 64), "bfloat16")):
            with pytest.raises(NotImplementedError, match="needs heads and head dim of at most 256"):
                compact(
                    jnp.zeros(shape, dtype),
                    jnp.zeros(2, jnp.int32),
                    implementation="mosaic_gpu",
                    interpret=True,
                )


@functools.partial(jax.jit, donate_argnums=0)
def store(bank, keys, values, indices, slot):
    """Write the kept tokens into a slot of a bank ``[C, L, P, N, H]`` of keys and of values."""
    kept = compact((keys, values), indices)
    return jax.tree.map(lambda b, x: lax.dynamic_update_index_in_dim(b, x, slot, 0), bank, kept)


def test_write_into_a_donated_bank_is_in_place():
    rng = np.random.default_rng(0)
    keys, values = (jnp.asarray(rng.normal(size=(3, 96, 4, 16)), jnp.float32) for _ in range(2))
    indices = jnp.asarray(np.stack([np.sort(rng.permutation(96)[:48]) for _ in range(3)]), jnp.int32)
    bank = tuple(jnp.zeros((5, 3, 48, 4, 16)) for _ in range(2))
    args = (keys, values, indices, jnp.int32(2))

    memory = store.lower(bank, *args).compile().memory_analysis()
    bank_bytes = sum(b.nbytes for b in bank)
    assert memory.alias_size_in_bytes == bank_bytes
    assert memory.temp_size_in_bytes < bank[0].nbytes // 5  # less than one array's slot: the gather is fused

    places = [b.unsafe_buffer_pointer() for b in bank]
    written = store(bank, *args)
    assert [b.unsafe_buffer_pointer() for b in written] == places
    for slots, x in zip(written, (keys, values), strict=True):
        np.testing.assert_array_equal(slots[2], np.stack([x[i, indices[i]] for i in range(3)]))
        assert not np.delete(np.asarray(slots), 2, axis=0).any()


def test_errors_say_what_was_expected():
    x = jnp.zeros((2, 9, 3, 4))
    with pytest.raises(ValueError, match=r"indices \(5,\) do not fit \(2, 9, 3, 4\)"):
        compact(x, jnp.zeros(5, jnp.int32))
    with pytest.raises(ValueError, match="indices are uint8; expected int32"):
        compact(x, jnp.zeros((2, 5), jnp.uint8))
