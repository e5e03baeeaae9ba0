"""InSpatio-World's network, rollout and memory against the released PyTorch code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ports.inspatio_world.backbone import Previous
from ports.wan.nn.block import Conditions, time_sinusoid
from ports.wan.nn.dit import WanDiT
from ports.wan.nn.layers import layer_norm, modulate
from ports.wan.nn.parameters import bind
from ports.wan.nn.patches import patchify
from ports.wan.schedule import nearest_step, noise_levels, timesteps, warped_schedule
from tests.parity.goldens import load_case
from tests.parity.inspatio_cases import Case, agree, channels_last, parametrize
from worldkv_jax.memory import Context, KVSpan, MemoryConfig, Past
from worldkv_jax.rollout import ChunkInput, denoise, rollout, start
from worldkv_jax.rope import Rope, rotate

NATIVE = MemoryConfig(mode="sliding", recent_frames=0)


def pytest_generate_tests(metafunc):
    parametrize(metafunc, "chunk_step", "rollout", "memory_inject", "schedule")


@pytest.fixture(scope="module")
def loaded():
    """Load every case once."""
    cases = {}
    return lambda path: cases.setdefault(path, Case(path)) if path not in cases else cases[path]


def cameras(worlds: int):
    """Return cameras for a chunk in which nothing depends on them."""
    return np.broadcast_to(np.eye(4, dtype=np.float32), (worlds, 3, 4, 4))


def nothing(case: Case, worlds: int) -> Context:
    """Return a context without any rows."""
    return Context((case.backbone.spec.zeros(worlds, 0),), jnp.int32(0))


# ---- one chunk ----


@pytest.mark.parametrize("name, first", [("ctx6", False), ("ctx3", True)])
def test_context_pass(chunk_step_case, loaded, name, first):
    case = loaded(chunk_step_case)
    prepared = prepare(case, first)
    keys, values = case.stored(f"out/{name}/", slice(None))
    tokens = prepared.live.keys.shape[2]
    assert tokens == (3 if first else 6) * case.meta["tokens_per_frame"]
    agree(prepared.live.keys, keys[:, :, :tokens])
    agree(prepared.live.values, values[:, :, :tokens])
    assert not keys[:, :, tokens:].any()
    clean = case.latents("in/ref")
    clean = clean if first else np.concatenate([clean, case.latents("in/last_pred")], axis=1)
    cells = np.pad(clean, ((0, 0),) * 4 + ((0, 20),))
    model, rope = case.backbone.bind(case.params), case.backbone.rotation(0, clean.shape[1])
    flow, _ = jax.jit(model)(cells, np.zeros((len(clean), 1), np.float32), rope, prepared.conditions)
    agree(flow, case.latents(f"out/{name}/flow"))


def prepare(case: Case, first: bool):
    source = case.source(case.latents("in/ref"), case.latents("in/render_block"))
    worlds = source.text.shape[0]
    carry = None if first else Previous(case.latents("in/last_pred"), cameras(worlds))
    return case.prepare(case.params, carry, ChunkInput(cameras(worlds), source), jnp.int32(not first))


@pytest.mark.parametrize("name, first", [("den6", False), ("den3", True)])
def test_denoising_pass(chunk_step_case, loaded, name, first):
    case = loaded(chunk_step_case)
    noisy, t = case.latents("in/noisy"), times(case)
    flow = case.flow(case.params, noisy, t, prepare(case, first), nothing(case, len(noisy)))
    agree(flow, case.latents(f"out/{name}/flow"))
    agree(clean(noisy, flow, t), case.latents(f"out/{name}/x0"))


def times(case):
    """Return the time of each world ``[B, 1]``: the released code takes that of the first frame."""
    return case["in/timestep"][:, :1]


def clean(noisy, flow, t):
    return noisy - noise_levels(5.0)[nearest_step(np.asarray(t), 5.0)].reshape(-1, 1, 1, 1, 1) * np.asarray(flow)


def test_denoising_without_a_context(chunk_step_case, loaded):
    case = loaded(chunk_step_case)
    noisy, t = case.latents("in/noisy"), times(case)
    prepared = prepare(case, first=True)
    alone = prepared._replace(live=jax.tree.map(lambda a: np.asarray(a)[:, :, :0], prepared.live))
    flow = case.flow(case.params, noisy, t, alone, nothing(case, len(noisy)))
    agree(flow, case.latents("out/nocache/flow"))
    agree(clean(noisy, flow, t), case.latents("out/nocache/x0"))


def test_denoising_without_a_render(chunk_step_case, loaded):
    case = loaded(chunk_step_case)
    noisy, t = case.latents("in/noisy"), times(case)
    prepared = prepare(case, first=True)
    live = KVSpan(*case.stored("out/ctx3/", slice(None)))  # its empty half takes part
    prepared = prepared._replace(guide=np.zeros_like(prepared.guide), live=live)
    flow = case.flow(case.params, noisy, t, prepared, nothing(case, len(noisy)))
    agree(flow, case.latents("out/norender/flow"))


def test_intermediates_of_a_denoising_pass(chunk_step_case, loaded):
    case = loaded(chunk_step_case)
    want = {name.removeprefix("out/den6/"): t for name, t in case.tensors.items() if name.startswith("out/den6/")}
    backbone, noisy = case.backbone, case.latents("in/noisy")
    prepared = prepare(case, first=False)
    model = bind(WanDiT, backbone.config, case.params.dit)
    structure, weights = nnx.split(model.blocks)

    @jax.jit
    def run(cells, time, text, live, cross):
        embedding, rows = model.time_embedding(time)
        x = model.patch_embedding(patchify(cells))
        made = {
            "time_e": embedding[:, 0],
            "time_e0_flat": rows.reshape(len(cells), -1),
            "text": model.context_embedding(text),
            "patch_tokens": x,
        }
        rope = backbone.config.rope.grid(6 + jnp.arange(3), *backbone.grid)
        for layer in range(backbone.config.layers):
            weights_of_one, past, crossed = jax.tree.map(lambda a: a[layer], (weights, live, cross))  # noqa: B023
            block, past = nnx.merge(structure, weights_of_one), Past((past,))
            h, *_ = block.self_attn(modulated(block, x, rows), rope, past)
            after_self = x + h * (block.modulation[...][None, None] + rows)[..., 2, :]
            made[f"block.{layer}.self_attn"] = h
            made[f"block.{layer}.cross_attn"] = block.cross_attn(block.norm3(after_self), *crossed)
            x, *_ = block(x, rows, rope, past, Conditions(cross=crossed))
            made[f"block.{layer}"] = x
        return made

    cells = np.concatenate([noisy, prepared.guide], axis=-1)
    made = run(cells, case["in/timestep"][:, :1], case.text, prepared.live, prepared.conditions.cross)
    for name, got in made.items():
        agree(got, want[name], name)


def modulated(block, x, rows):
    rows = block.modulation[...][None, None] + rows
    return modulate(layer_norm(x), rows[..., 0, :], rows[..., 1, :])


def test_positions(chunk_step_case, loaded):
    case = loaded(chunk_step_case)
    raw = case["in/rope/k_raw"]
    rope = Rope(head_dim=raw.shape[-1])
    rows, columns = (side // 2 for side in case.meta["latent_hw"])
    frames = raw.shape[1] // (rows * columns)
    turn, rotated = jax.jit(lambda x, at: rotate(x, *rope.grid(at, rows, columns))), {}
    for name in (n for n in case.tensors if n.startswith("out/rope/k_at")):
        offset = int(name.removeprefix("out/rope/k_at"))
        rotated[offset] = turn(raw, offset + np.arange(frames, dtype=np.int32))
        agree(rotated[offset], case.tensors[name], name, atol=2e-6)
    moved = jax.jit(rope.shift_time)(rotated[3], np.full((1,), 6, np.int32))
    agree(moved, case.tensors["out/rope/k_at9"], atol=2e-6)
    # The released table: `real[p]` holds the cosines of position p on all axes.
    real, imaginary = case.tensors["out/rope/real"], case.tensors["out/rope/imag"]
    angles = np.concatenate([np.arange(len(real))[:, None] * rope.frequencies(axis) for axis in range(3)], axis=1)
    agree(np.cos(angles), real, atol=1e-12)
    agree(np.sin(angles), imaginary, atol=1e-12)


def test_time_sinusoid(chunk_step_case, loaded):
    case = loaded(chunk_step_case)
    want = case.tensors["out/time/sinusoid_f64"]
    agree(time_sinusoid(case["in/time/t"], want.shape[-1]), want, atol=1e-6)


# ---- a rollout ----


def test_rollout(rollout_case, loaded):
    case = loaded(rollout_case)
    chunks, want = case.meta["chunks"], case.latents("out/latents")
    world = start(case.backbone, case.params, NATIVE, worlds=len(want))
    made, world = rollout(case.backbone, case.params, world, inputs(case), noise=noise(case), decode=False)
    assert len(made) == chunks
    for index, chunk in enumerate(made):
        agree(chunk.latents, split(want, index), f"chunk {index}")
    assert int(world.position) == chunks


def test_steps_and_context_of_a_rollout(rollout_case, loaded):
    case = loaded(rollout_case)
    backbone, schedule, carry = case.backbone, case.backbone.schedule, None
    agree(schedule.times, case.meta["denoising_timesteps"], atol=0)
    for index, chunk in enumerate(inputs(case)):
        prepared = case.prepare(case.params, carry, chunk, jnp.int32(index))
        tokens = prepared.live.keys.shape[2]
        for got, stored in zip(prepared.live, case.stored("out/ctx_", index)):
            agree(got, stored[:, :, :tokens], f"context of chunk {index}")
        given = noise(case)(index)
        x = given[0]
        for step, (t, sigma) in enumerate(zip(schedule.times, schedule.clean_sigmas)):
            agree(x, channels_last(case.tensors["out/xt"][index, step]), f"chunk {index} before step {step}")
            x0 = x - sigma * np.asarray(case.flow(case.params, x, np.float32(t), prepared, nothing(case, len(x))))
            agree(x0, channels_last(case.tensors["out/x0"][index, step]), f"chunk {index} after step {step}")
            if step + 1 < schedule.steps:
                again = schedule.noise_sigmas[step]
                x = (1 - again) * x0 + again * given[step + 1]
        _, carry = backbone.commit(case.params, x0, prepared, nothing(case, len(x)))


def split(latents, index: int):
    """Return the latents of one chunk."""
    return latents[:, 3 * index : 3 * index + 3]


def inputs(case: Case) -> list[ChunkInput]:
    reference, render, mask = (case.latents(f"in/{name}_latent") for name in ("ref", "render", "mask"))
    guide = np.concatenate([mask, render], axis=-1)
    sources = [case.source(split(reference, i), split(guide, i)) for i in range(case.meta["chunks"])]
    return [ChunkInput(cameras(len(reference)), source) for source in sources]


def noise(case: Case):
    first, again = case.latents("in/noise"), case.latents("in/renoise")
    return lambda index: np.concatenate([split(first, index)[None], again[index].reshape(-1, *split(first, 0).shape)])


# ---- retrieved chunks ----


@pytest.mark.parametrize("name", ["full", "pruned", "none"])
def test_retrieved_chunks(memory_inject_case, loaded, name):
    case = loaded(memory_inject_case)
    source = case.source(case.latents("in/ref"), case.latents("in/render_block"))
    worlds = len(source.text)
    carry = Previous(case.latents("in/last_pred"), cameras(worlds))
    chunk = ChunkInput(cameras(worlds), source)
    prepared = case.prepare(case.params, carry, chunk, jnp.int32(case.meta["chunk"]))
    keep = {"full": slice(None), "pruned": case.tensors["in/keep_idx"], "none": slice(0)}[name]
    spans = [case.stored(f"in/mem{i}/", slice(None)) for i in case.meta["retrieved_chunks"]]
    keys, values = (np.concatenate([a[:, :, keep] for a in part], axis=2) for part in zip(*spans))
    # Rows behind the valid ones must not matter.
    rubbish = np.full((*keys.shape[:2], 7, *keys.shape[3:]), 9.0, np.float32)
    span = KVSpan(*(np.concatenate([a, rubbish], axis=2) for a in (keys, values)))
    context = Context((span,), jnp.int32(keys.shape[2]))
    again = case.latents("in/renoise").reshape(-1, *carry.latents.shape)
    given = np.concatenate([case.latents("in/noise")[None], again])
    x0 = denoise(lambda x, t: case.flow(case.params, x, t, prepared, context), given, case.backbone.schedule)
    agree(x0, case.latents(f"out/{name}/x0"))


# ---- schedule ----


def test_schedule(schedule_case):
    meta, tensors = load_case(schedule_case)
    for name in (n for n in meta if n.startswith("shift")):
        shift, want = float(name.removeprefix("shift")), meta[name]
        agree(noise_levels(shift), tensors[f"out/{name}/sigmas"], atol=0)
        steps = np.array(want["list"])
        agree(timesteps(shift)[1000 - steps], want["warped_timesteps"], atol=0)
        if "sigmas" in want:
            schedule = warped_schedule(tuple(steps), shift=shift)
            agree(schedule.times, want["warped_timesteps"], atol=0)
            agree(schedule.clean_sigmas, want["sigmas"], atol=0)
            agree(schedule.noise_sigmas, want["sigmas"][1:], atol=0)
            assert nearest_step(schedule.times, shift).tolist() == want["index"]
    agree(noise_levels(5.0) * np.float32(1000), tensors["out/shift5/timesteps"], atol=0)
    index = nearest_step(tensors["in/t"], 5.0)
    np.testing.assert_array_equal(index, tensors["out/nearest_index"])
    sigma = noise_levels(5.0)[index].reshape(-1, 1, 1, 1)
    agree((1 - sigma) * tensors["in/x"] + sigma * tensors["in/noise"], tensors["out/add_noise"], atol=1e-6)
