"""Heads sharded over eight devices: the partial sums add up and every device picks the same tokens."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from kernels_pallas.anchor_similarity import anchor_similarity, anchor_vector, cosine, squared_norm
from kernels_pallas.compact import compact
from kernels_pallas.select_lowest import select_lowest

LAYERS, TOKENS, ANCHOR, PICKS, HEADS, HEAD_DIM = 2, 96, 32, 24, 8, 16
HEAD_SHARDED = P(None, None, "heads", None)


def prune(keys, values, *, kind, axis=None, options=None):
    """Pick and move the tokens outside the anchor frame that resemble it least; `axis` shards the heads."""
    options = options or {}

    def total(x):
        return x if axis is None else lax.psum(x, axis)

    anchor_keys, rest = keys[:, :ANCHOR], keys[:, ANCHOR:]
    anchor = anchor_vector(anchor_keys, kind, key_norms=jnp.sqrt(total(squared_norm(anchor_keys))))
    scores = cosine(total(anchor_similarity(rest, anchor, **options)), kind=kind)
    picks = select_lowest(scores, PICKS, **options) + ANCHOR
    return (picks, *compact((keys, values), picks, **options))


@pytest.fixture(scope="module")
def mesh():
    return jax.make_mesh((8,), ("heads",), axis_types=(AxisType.Auto,))


@pytest.fixture(scope="module")
def keys_and_values():
    rng = np.random.default_rng(0)
    shape = (LAYERS, TOKENS, HEADS, HEAD_DIM)
    return tuple(jnp.asarray(rng.normal(size=shape), jnp.bfloat16) for _ in range(2))


def check(got, want):
    for g, w in zip(got, want, strict=True):
        np.testing.assert_array_equal(g, w)
    shards = [np.asarray(shard.data) for shard in got[0].addressable_shards]
    assert len(shards) == 8
    for shard in shards:
        np.testing.assert_array_equal(shard, shards[0])


@pytest.mark.parametrize("kind", ["centroid", "per_key"])
@pytest.mark.parametrize("implementation", ["xla", "triton"])
def test_shard_map_picks_as_one_device(mesh, keys_and_values, kind, implementation):
    want = jax.jit(functools.partial(prune, kind=kind))(*keys_and_values)
    options = {"implementation": implementation, "interpret": implementation != "xla"}
    sharded = jax.shard_map(
        functools.partial(prune, kind=kind, axis="heads", options=options),
        mesh=mesh,
        in_specs=(HEAD_SHARDED,) * 2,
        out_specs=(P(), HEAD_SHARDED, HEAD_SHARDED),
        check_vma=implementation == "xla",
    )
    placed = jax.device_put(keys_and_values, NamedSharding(mesh, HEAD_SHARDED))
    got = jax.jit(sharded)(*placed)
    check(got, want)
    assert got[1].sharding.spec == HEAD_SHARDED


def test_automatic_sharding_picks_as_one_device(mesh, keys_and_values):
    run = jax.jit(functools.partial(prune, kind="centroid"))
    placed = jax.device_put(keys_and_values, NamedSharding(mesh, HEAD_SHARDED))
    check(run(*placed), run(*keys_and_values))
    assert "all-gather" not in run.lower(*placed).compile().as_text()
