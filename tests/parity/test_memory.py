"""The memory under OFFICIAL against the released PyTorch code: kept tokens, chosen chunks, window sizes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from tests.parity.goldens import find_cases, load_case
from worldkv_jax import memory as wm
from worldkv_jax.cameras import latent_poses
from worldkv_jax.memory.compression import kept_tokens
from worldkv_jax.memory.config import keep_per_frame
from worldkv_jax.memory.world_memory import Context
from worldkv_jax.rope import Rope, rotate

choose = jax.jit(kept_tokens, static_argnames=("frames", "kept", "anchor", "pooled", "similarity"))


def pytest_generate_tests(metafunc):
    folder = metafunc.config.getoption("--goldens")
    prefixes = {"compress_case": "c_compress", "retrieval_case": "d_retrieval", "rope_case": "g_rope"}
    for fixture, prefix in prefixes.items():
        if fixture in metafunc.fixturenames:
            cases = [(p, name) for p in find_cases(folder, prefix) for name in load_case(p)[0]["cases"]]
            metafunc.parametrize(fixture, cases, ids=[f"{p.parent.name}-{p.stem}-{n}" for p, n in cases])
    if "rollout_case" in metafunc.fixturenames:
        cases = find_cases(folder, lambda meta: meta.get("case") == "b" and "mode" in meta and "args" in meta)
        metafunc.parametrize("rollout_case", cases, ids=[p.stem for p in cases])


def test_compression_keeps_the_same_tokens(compress_case):
    path, name = compress_case
    meta, tensors = load_case(path)
    case = meta["cases"][name]
    keys, values = (tensors[f"in/{name}/{kind}"].astype(jnp.dtype(case["dtype"])) for kind in "kv")
    frames, size = case["chunk_size"], case["frame_seqlen"]
    keep = keep_per_frame(case["keep_ratio"], size)
    assert keep == case["keep_per_frame"]
    tokens = keys.shape[1]
    indices = np.broadcast_to(np.arange(tokens), keys.shape[:2])
    if tokens and tokens % (frames * size) == 0 and keep < size:
        pieces = []
        for rank, start in enumerate(range(0, tokens, frames * size)):
            anchor = rank % frames if case["anchor_rotate"] else 0
            piece = choose(
                keys[:, start : start + frames * size],
                frames=frames,
                kept=(frames - 1) * keep,
                anchor=anchor,
                pooled=case["pooled"],
                similarity="centroid",
            )
            pieces.append(start + piece)
        indices = np.concatenate(pieces, axis=1)
    want = tensors[f"out/{name}/idx"]
    assert indices.shape == want.shape
    if case["min_similarity_gap"] == 0:  # a tie: upstream's choice among equal scores is undefined
        kept = np.take_along_axis(np.asarray(keys), indices[..., None, None], axis=1)
        np.testing.assert_array_equal(_sorted_rows(kept), _sorted_rows(tensors[f"out/{name}/k"]))
        return
    np.testing.assert_array_equal(indices, want)
    for array, out in ((keys, "k"), (values, "v")):
        kept = np.take_along_axis(np.asarray(array, np.float32), indices[..., None, None], axis=1)
        np.testing.assert_array_equal(kept, tensors[f"out/{name}/{out}"].astype(np.float32))


def _sorted_rows(tokens: np.ndarray) -> np.ndarray:
    rows = np.asarray(tokens, np.float32).reshape(-1, tokens.shape[-2] * tokens.shape[-1])
    return rows[np.lexsort(rows.T)]


def test_retrieval_chooses_the_same_chunks(retrieval_case):
    path, name = retrieval_case
    meta, tensors = load_case(path)
    case = meta["cases"][name]
    frames = min((n - 1) // 4 * 4 + 1 for n in (case["frame_num_arg"], case["pose_len"]))  # whole latents
    poses = latent_poses(tensors[f"in/{name}/poses"][:frames], case["lat_f"])
    absolute = tensors[f"out/{name}/c2ws_abs"]
    np.testing.assert_allclose(poses, absolute, atol=1e-5 * max(1.0, np.abs(absolute).max()))
    config = dataclasses.replace(
        wm.OFFICIAL,
        sink_frames=case["sink_size"],
        retrieval=dataclasses.replace(wm.OFFICIAL.retrieval, chunks=case["retrieval_frames"] // 3),
    )
    picks = _picks(config, absolute, case["n_chunks"])
    want_scores, want = tensors[f"out/{name}/distances"], tensors[f"out/{name}/selected"]
    checked = 0
    for chunk in range(case["n_chunks"]):
        count = int(picks[chunk].count)
        chosen = np.asarray(picks[chunk].chunks[0])
        wanted = want[chunk][want[chunk] >= 0]
        assert count == len(wanted), f"chunk {chunk}"
        first, last = case["candidate_range"].get(str(chunk), [0, 0])
        assert count == min(max(last - first, 0), case["retrieval_frames"] // 3)
        got = np.asarray(picks[chunk].scores[0][:count])
        np.testing.assert_allclose(got, want_scores[chunk][wanted], atol=2e-5, err_msg=f"chunk {chunk}")
        if chunk not in case["chunks_with_ties"]:
            np.testing.assert_array_equal(chosen[:count], wanted, err_msg=f"chunk {chunk}")
            checked += count > 0
        assert (chosen[count:] == -1).all()
    assert checked, "every chunk of the case has a tie: nothing was compared"


def _picks(config: wm.MemoryConfig, poses: np.ndarray, chunks: int) -> list[wm.Picks]:
    """Walk a tiny memory along the cameras and record what it picks for every chunk."""
    spec = wm.KVSpec(layers=1, heads=1, head_dim=6, tokens_per_frame=2, rope=Rope(head_dim=6))
    return [picks for picks, _ in _walk(config, spec, poses, chunks)]


def _walk(config: wm.MemoryConfig, spec: wm.KVSpec, poses: np.ndarray, chunks: int):
    memory = wm.WorldMemory.create(config, spec, chunks=chunks)
    recall, remember = jax.jit(wm.recall), jax.jit(wm.remember, donate_argnums=0)
    shape, rng = spec.shape(1, spec.chunk_tokens), np.random.default_rng(0)
    for chunk in range(chunks):
        cameras = jax.device_put(poses[None, chunk * spec.chunk_frames : (chunk + 1) * spec.chunk_frames])
        context, picks = recall(memory, cameras)
        yield picks, context
        own = wm.KVSpan(rng.standard_normal(shape, np.float32), np.full(shape, chunk, np.float32))
        memory = remember(memory, own, cameras)


def test_rope_rotates_and_shifts_alike(rope_case):
    path, name = rope_case
    meta, tensors = load_case(path)
    case = meta["cases"][name]
    x = tensors[f"in/{name}/x"]
    rope = Rope(head_dim=x.shape[-1])
    assert list(rope.pairs) == case["pairs"]
    frames, height, width = case["fhw"]
    turn = jax.jit(lambda x, positions: rotate(x, *rope.grid(positions, height, width)))
    shift_time = jax.jit(rope.shift_time)
    for start in case["starts"]:
        got = turn(x, start + np.arange(frames, dtype=np.int32))
        np.testing.assert_allclose(got, tensors[f"out/{name}/start{start}"], atol=2e-6)
    for delta in case["deltas"]:
        clamped = int(np.clip(delta, -1023, 1023))  # the released code's longest table
        got = shift_time(x, np.full(x.shape[:2], clamped, np.int32))
        np.testing.assert_allclose(got, tensors[f"out/{name}/delta{delta}"], atol=2e-6)


def test_window_and_picks_of_a_rollout(rollout_case):
    """Every mode attends to as many tokens as upstream, and picks the same chunks, along the same cameras."""
    meta, tensors = load_case(rollout_case)
    args, chunks, size = meta["args"], meta["n_chunks"], meta["tokens_per_frame"]
    inputs = rollout_case.with_name(meta["inputs_file"]).with_suffix(".json") if meta.get("inputs_file") else None
    poses = load_case(inputs)[1]["out/c2ws_abs"] if inputs else tensors["out/c2ws_abs"]
    heads = meta["config"]["num_heads"]
    head_dim = meta["config"]["dim"] // heads
    spec = wm.KVSpec(layers=2, heads=heads, head_dim=head_dim, tokens_per_frame=size, rope=Rope(head_dim=head_dim))
    walk = list(_walk(_config(args), spec, poses, chunks))
    # In a short video the released code cuts the current chunk out of its own window.
    hidden = [context.hides_own is not None and bool(context.hides_own) for _, context in walk]
    attended = [int(context.length) + spec.chunk_tokens * (not h) for (_, context), h in zip(walk, hidden)]
    assert hidden == [recent == 0 for recent in meta.get("recent_frames") or [None] * chunks]
    np.testing.assert_array_equal(attended, tensors["out/window_tokens"][:, 0])
    for chunk, want in enumerate(meta["selected_chunks"]):
        picks, context = walk[chunk]
        if want is not None:
            np.testing.assert_array_equal(np.asarray(picks.chunks)[0, : int(picks.count)], want)
            assert _values_in(context) >= set(want)


def _values_in(context: Context) -> set[int]:
    """Chunk ids in the valid rows of a context whose values are chunk ids."""
    return set(np.unique(np.asarray(context.span.values)[:, :, : int(context.length)]).astype(int).tolist())


def _config(args: dict) -> wm.MemoryConfig:
    """Translate the released code's arguments."""
    sink, frames = args["sink_size"], args["chunk_size"]
    if args.get("full_kv"):
        return wm.MemoryConfig(mode="full")
    if args.get("sliding_window"):
        return wm.MemoryConfig(mode="sliding", recent_frames=args["sliding_window"] - frames)
    if not args.get("use_retrieval"):
        return wm.MemoryConfig(mode="sink_recent", sink_frames=sink, recent_frames=6 - frames)
    at_store = args.get("kv_compression_at_store", False)
    return dataclasses.replace(
        wm.OFFICIAL,
        sink_frames=sink,
        retrieval=dataclasses.replace(
            wm.OFFICIAL.retrieval,
            chunks=args["retrieval_frames"] // frames,
            positions="rebased" if args.get("retrieval_rope_correction") else "as_stored",
        ),
        compression=wm.CompressionConfig(
            keep_ratio=args.get("kv_compression_keep_ratio", 0.5) if args.get("kv_compression_enable") else 1.0,
            similarity="centroid",
            at="store" if at_store else "retrieval",
            pooled=at_store and args.get("kv_compression_pooled", False),
            rotate_anchor=not at_store and args.get("kv_compression_anchor_rotate", False),
        ),
    )
