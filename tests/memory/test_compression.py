"""Which tokens stay: against plain loops in float64, and under what should not matter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.kernels.kernel_suite import TARGETS, lower_for
from tests.memory.walks import FRAMES, SPEC, TOKENS, poses, recall, remember, span, worldkv
from worldkv_jax import memory as wm
from worldkv_jax.memory.compression import compress, kept_tokens
from worldkv_jax.memory.config import keep_per_frame

SIZE = 12


@pytest.fixture(scope="module")
def keys() -> np.ndarray:
    """Keys ``[L, B, T, N, H]`` with a common part, so that similarities differ in sign and size."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(2, 2, FRAMES * SIZE, 2, 8)) + 0.7 * rng.normal(size=(2, 8))).astype(np.float32)


def similarities(chunk: np.ndarray, kind: str, anchor: int) -> np.ndarray:
    """Cosines of every token of ``[T, N, H]`` to the anchor frame, over all heads, one by one."""
    flat = chunk.astype(np.float64).reshape(len(chunk), -1)
    reference = flat[anchor * SIZE : (anchor + 1) * SIZE]
    if kind == "centroid":
        reference = reference.mean(axis=0, keepdims=True)
    cosine = [[a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for b in reference] for a in flat]
    return np.mean(cosine, axis=1)


def choose(chunk, kind, anchor, kept, pooled, keep) -> list[int]:
    """Positions that stay, by sorting."""
    score = similarities(chunk, kind, anchor) * (1 if keep == "novel" else -1)
    frames = [list(range(f * SIZE, (f + 1) * SIZE)) for f in range(FRAMES)]
    others = [frames[f] for f in range(FRAMES) if f != anchor]
    if pooled:
        rest = [token for frame in others for token in frame]
        return frames[anchor] + sorted(sorted(rest, key=lambda t: score[t])[:kept])
    parts = {f: sorted(sorted(frames[f], key=lambda t: score[t])[: kept // (FRAMES - 1)]) for f in range(FRAMES)}
    parts[anchor] = frames[anchor]
    return [token for f in range(FRAMES) for token in parts[f]]


@pytest.mark.parametrize("kind", ["per_key", "centroid"])
@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("anchor", [0, 1, 2])
def test_kept_tokens_are_those_of_a_plain_loop(keys, kind, pooled, anchor):
    for keep in ("novel", "redundant"):
        options = {"anchor": anchor, "kept": 10, "pooled": pooled, "keep": keep}
        got = np.asarray(kept_tokens(jax.device_put(keys), frames=FRAMES, similarity=kind, **options))
        assert got.dtype == np.int32
        for layer in range(2):
            for world in range(2):
                want = choose(keys[layer, world], kind, **options)
                assert got[layer, world].tolist() == want


def test_redundant_keeps_what_novel_drops(keys):
    kept = (FRAMES - 1) * SIZE // 2
    novel, redundant = (
        np.asarray(kept_tokens(jax.device_put(keys), frames=FRAMES, kept=kept, keep=keep))[..., SIZE:]
        for keep in ("novel", "redundant")
    )
    both = np.sort(np.concatenate([novel, redundant], axis=-1))
    np.testing.assert_array_equal(both, np.broadcast_to(np.arange(SIZE, FRAMES * SIZE), both.shape))


def test_random_keeps_any_tokens_alike_every_time(keys):
    """A control: repeatable, its own in every layer and world, and no world's choice depends on another."""
    options = {"frames": FRAMES, "kept": 10, "keep": "random"}
    kept = np.asarray(kept_tokens(jax.device_put(keys), **options))
    np.testing.assert_array_equal(kept, kept_tokens(jax.device_put(keys), **options))
    np.testing.assert_array_equal(kept[:, 1:], kept_tokens(jax.device_put(keys[:, 1:]), **options))
    np.testing.assert_array_equal(kept[..., :SIZE], np.broadcast_to(np.arange(SIZE), kept[..., :SIZE].shape))
    assert len({tuple(row) for row in kept.reshape(-1, SIZE + 10)}) == kept.size // (SIZE + 10)
    assert kept.max() < FRAMES * SIZE and (np.diff(np.sort(kept, axis=-1)) > 0).all()


@pytest.mark.parametrize("shift", [1, 37, 100_000])
@pytest.mark.parametrize("kind", ["per_key", "centroid"])
def test_a_uniform_shift_in_time_changes_no_choice(keys, shift, kind):
    shifted = SPEC.rope.shift_time(jax.device_put(keys), jnp.int32(shift))
    want, got = (kept_tokens(k, frames=FRAMES, kept=9, similarity=kind) for k in (jax.device_put(keys), shifted))
    np.testing.assert_array_equal(got, want)


def test_keys_and_values_of_a_token_stay_together(keys):
    values = np.broadcast_to(np.arange(FRAMES * SIZE, dtype=np.float32)[:, None, None], keys.shape)
    config = wm.CompressionConfig(keep_ratio=0.4)
    out = compress(wm.KVSpan(jax.device_put(keys), jax.device_put(values)), config, frames=FRAMES)
    index = np.asarray(out.values)[..., 0, 0].astype(int)
    np.testing.assert_array_equal(out.keys, np.take_along_axis(keys, index[..., None, None], axis=2))
    assert out.keys.shape[2] == SIZE + 2 * keep_per_frame(0.4, SIZE)


def test_keeping_everything_changes_nothing(keys):
    own = wm.KVSpan(jax.device_put(keys), jax.device_put(keys))
    assert compress(own, wm.CompressionConfig(keep_ratio=1.0), frames=FRAMES) is own


@pytest.mark.parametrize(("ratio", "size", "kept"), [(0.5, 3, 2), (0.07, 100, 8), (1e-9, 5, 1), (1.0, 7, 7)])
def test_ratios_round_up_in_double_precision(ratio, size, kept):
    assert keep_per_frame(ratio, size) == kept


@pytest.mark.parametrize("budget", [SIZE, SIZE + 1, 20, FRAMES * SIZE])
def test_a_token_budget_is_kept_exactly(keys, budget):
    config = wm.CompressionConfig(keep_tokens=budget)
    out = compress(wm.KVSpan(jax.device_put(keys), jax.device_put(keys)), config, frames=FRAMES)
    assert out.keys.shape[2] == budget


def test_pruning_at_store_is_pruning_at_retrieval_frame_by_frame():
    cameras, got = poses(8), []
    for at in ("store", "retrieval"):
        config = worldkv(chunks=3, compression=wm.CompressionConfig(keep_ratio=0.5, pooled=False, at=at))
        memory = wm.WorldMemory.create(config, SPEC, chunks=8)
        for chunk in range(7):
            memory = remember(memory, span(chunk), jax.device_put(cameras[chunk]))
        got.append(recall(memory, jax.device_put(cameras[7]))[0])
    assert memory.bank.layout.stored_tokens == SPEC.chunk_tokens
    jax.tree.map(np.testing.assert_array_equal, *got)


def test_a_rotating_anchor_is_the_rank_of_the_chunk():
    compression = wm.CompressionConfig(keep_ratio=0.25, pooled=False, at="retrieval", rotate_anchor=True)
    memory = wm.WorldMemory.create(worldkv(chunks=4, compression=compression, recent_frames=0), SPEC, chunks=6)
    cameras = poses(6)
    for chunk in range(5):
        memory = remember(memory, span(chunk), jax.device_put(cameras[chunk]))
    context, picks = recall(memory, jax.device_put(cameras[5]))
    values = np.asarray(context.span.values)[0, 0, : int(context.length), 0, 0].astype(int)
    for rank, chunk in enumerate(np.asarray(picks.chunks)[0]):
        frames = [(v - chunk * SPEC.chunk_tokens) // TOKENS for v in values if v // SPEC.chunk_tokens == chunk]
        assert frames.count(rank % FRAMES) == TOKENS
        assert all(frames.count(f) == 1 for f in range(FRAMES) if f != rank % FRAMES)


def test_other_kernels_fall_back_where_they_cannot_run(keys):
    config = wm.CompressionConfig(keep_ratio=0.5, kernels=("mosaic_gpu", "triton", "xla"))
    chunk = wm.KVSpan(keys, keys)
    plain = compress(chunk, wm.CompressionConfig(keep_ratio=0.5), frames=FRAMES)
    np.testing.assert_array_equal(compress(chunk, config, frames=FRAMES).keys, plain.keys)


def test_other_kernels_are_what_a_gpu_program_calls():
    config = wm.CompressionConfig(keep_ratio=0.5, kernels=("mosaic_gpu", "xla"))
    shape = jax.ShapeDtypeStruct((2, 1, 3 * 64, 4, 128), jnp.bfloat16)
    text = lower_for("gpu", lambda keys: compress(wm.KVSpan(keys, keys), config, frames=3), shape)
    assert TARGETS["mosaic_gpu"] in text


def test_unknown_kernels_are_named():
    with pytest.raises(ValueError, match="did you mean 'mosaic_gpu'"):
        wm.CompressionConfig(kernels=("mosaik_gpu",))
