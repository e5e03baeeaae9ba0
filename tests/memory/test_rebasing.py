"""Re-based keys are the keys the model would have made at the positions where they are put."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.memory.walks import FRAMES, SPEC, picked, poses, recall, remember, worldkv
from worldkv_jax import memory as wm
from worldkv_jax.memory.layout import Layout
from worldkv_jax.rope import Rope, rotate

GRID = (2, 2)


def content(chunk: int) -> jax.Array:
    """Keys of a chunk before rotation."""
    return jax.random.normal(jax.random.key(chunk), SPEC.shape(1, SPEC.chunk_tokens))


def encode(x: jax.Array, first_frame: int) -> jax.Array:
    """Rotate ``[L, B, T, N, H]`` to where its first frame stands."""
    return rotate(x, *SPEC.rope.grid(first_frame + jnp.arange(FRAMES, dtype=jnp.int32), *GRID))


def rebased(order: str, *, max_shift=None, chunks=3, length=9, compression=None, **window):
    """Walk a memory of encoded keys; returns the last picks and the keys of each retrieved chunk, by chunk."""
    options = {"compression": compression} if compression else {}
    config = worldkv(chunks=chunks, positions="rebased", rebase_order=order, max_shift=max_shift, **options, **window)
    memory = wm.WorldMemory.create(config, SPEC, chunks=length)
    cameras = poses(length)
    for chunk in range(length - 1):
        x = content(chunk)
        number = chunk * SPEC.chunk_tokens + jnp.arange(SPEC.chunk_tokens)
        values = jnp.broadcast_to(number.astype(jnp.float32)[:, None, None], x.shape)
        memory = remember(memory, wm.KVSpan(encode(x, chunk * FRAMES), values), jax.device_put(cameras[chunk]))
    context, picks = recall(memory, jax.device_put(cameras[length - 1]))
    keys, values = (np.asarray(a)[:, :, : int(context.length)] for a in context.span)
    owner = values[0, 0, :, 0, 0] // SPEC.chunk_tokens
    return picked(picks), {chunk: (keys[:, :, owner == chunk], values[:, :, owner == chunk]) for chunk in set(owner)}


@pytest.mark.parametrize("order", ["time", "rank"])
@pytest.mark.parametrize("recent", [3, 6])
def test_retrieved_chunks_lie_right_before_the_recent_frames(order, recent):
    length = 9
    chosen, keys = rebased(order, length=length, recent_frames=recent)
    assert len(chosen) == 3 and chosen != sorted(chosen), "the order by rank must differ from that by time"
    queue = sorted(chosen) if order == "time" else chosen
    recent_start = (length - 1) * FRAMES - recent
    for place, chunk in enumerate(queue):
        virtual = recent_start - (len(queue) - place) * FRAMES
        np.testing.assert_allclose(keys[chunk][0], encode(content(chunk), virtual), atol=1e-5)
    for chunk in (0, length - 2):  # sink and recent frames stay where they are
        np.testing.assert_array_equal(keys[chunk][0], encode(content(chunk), chunk * FRAMES))


def test_fewer_chunks_than_asked_for_leave_no_gap():
    """Early in a rollout: the found ones end where the recent frames begin."""
    chosen, keys = rebased("time", length=5, chunks=3)
    assert sorted(chosen) == [1, 2]
    for place, chunk in enumerate(sorted(chosen)):
        virtual = 4 * FRAMES - 3 - (2 - place) * FRAMES
        np.testing.assert_allclose(keys[chunk][0], encode(content(chunk), virtual), atol=1e-5)


def test_a_shift_is_no_longer_than_allowed():
    chosen, keys = rebased("time", max_shift=2)
    for place, chunk in enumerate(sorted(chosen)):
        shift = 7 * FRAMES - (3 - place) * FRAMES - chunk * FRAMES
        virtual = chunk * FRAMES + min(shift, 2)
        np.testing.assert_allclose(keys[chunk][0], encode(content(chunk), virtual), atol=1e-5)


def test_pruned_chunks_are_moved_like_whole_ones():
    for at in ("store", "retrieval"):
        chosen, keys = rebased("time", compression=wm.CompressionConfig(keep_ratio=0.5, at=at))
        for place, chunk in enumerate(sorted(chosen)):
            whole = encode(content(chunk), 7 * FRAMES - (3 - place) * FRAMES)
            got, values = keys[chunk]
            for layer in range(SPEC.layers):
                tokens = values[layer, 0, :, 0, 0].astype(int) % SPEC.chunk_tokens
                np.testing.assert_allclose(got[layer, 0], whole[layer, 0, tokens], atol=1e-5)


def test_rebasing_where_possible_depends_on_the_rope_alone():
    ropeless = dataclasses.replace(SPEC, rope=None)
    for positions, with_rope, without in (("as_stored", False, False), ("auto", True, False)):
        config = worldkv(positions=positions)
        assert Layout(config=config, spec=SPEC, chunks=5).bank.rebases == with_rope
        assert Layout(config=config, spec=ropeless, chunks=5).bank.rebases == without
    assert Layout(config=worldkv(positions="rebased"), spec=SPEC, chunks=5).bank.rebases


def test_rebasing_needs_the_rope_of_the_keys():
    config = worldkv(positions="rebased")
    with pytest.raises(ValueError, match="must have its rope"):
        wm.WorldMemory.create(config, dataclasses.replace(SPEC, rope=None), chunks=5)
    with pytest.raises(ValueError, match=r"rope\.head_dim=12 but head_dim=8"):
        dataclasses.replace(SPEC, rope=Rope(head_dim=12))
