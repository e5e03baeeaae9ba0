"""Whole rollouts of LingBot-World under every memory mode against the released WorldKV."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.lingbot_world.backbone import Given, LingBotWorld
from ports.lingbot_world.camera import camera_cells, make_lens, motion_scale
from ports.lingbot_world.released_flags import released_memory
from ports.lingbot_world.schedule import lingbot_schedule
from ports.lingbot_world.size import rollout_length
from ports.wan.backbone import WanParams
from ports.wan.latents import CELL, CHUNK_FRAMES
from ports.wan.program.first_frame import mask_first
from tests.lingbot_world.golden_model import model_of
from tests.parity.goldens import find_cases, load_case
from worldkv_jax.cameras import latent_poses
from worldkv_jax.memory import recall
from worldkv_jax.rollout import chunk_inputs, generate_chunk, rollout, start

ATOL = 2e-4
NO_FLAGS = ("chunk_size", "timesteps_index", "shift", "frame_num")
"""Arguments of a case that are not flags of the memory."""
QUICK = "b_rollout_store_pool"
"""The case that the quick tests have: the released demo's own memory."""


def pytest_generate_tests(metafunc):
    folder = metafunc.config.getoption("--goldens")
    cases = find_cases(folder, lambda meta: meta.get("case") == "b" and "mode" in meta and "args" in meta)
    cases = [path for path in cases if path.with_name(json.loads(path.read_text())["params_file"]).exists()]
    marked = [pytest.param(path, marks=() if path.stem == QUICK else pytest.mark.long, id=path.stem) for path in cases]
    metafunc.parametrize("path", marked, scope="module")


load = functools.lru_cache(load_case)


@functools.lru_cache
def weights(path):
    """Configuration and parameters of a file of weights."""
    meta, tensors = load(path)
    config, params = model_of(meta["config"], tensors)
    return config, WanParams(params, None)


class Rollout:
    """A rollout of a case, with what the memory held on the way."""

    def __init__(self, path, *, on_gpu):
        self.meta, self.tensors = load(path)
        gaps = [gap for name in ("distance", "similarity") if (gap := self.meta.get(f"min_{name}_gap")) is not None]
        if min(gaps, default=1) < 1e-6:
            pytest.skip("a tie: what the released code chooses is undefined")
        args = self.meta["args"]
        _, shared = load(path.with_name(self.meta["inputs_file"]).with_suffix(".json"))
        config, self.params = weights(path.with_name(self.meta["params_file"]).with_suffix(".json"))
        rows, columns = self.meta["lat_hw"]
        schedule = lingbot_schedule(shift=args["shift"], indices=tuple(args["timesteps_index"]))
        self.backbone = LingBotWorld(config=config, rows=rows, columns=columns, schedule=schedule)
        length = rollout_length(args["frame_num"], len(shared["in/poses"]))
        assert (length.latents, length.chunks) == (self.meta["lat_f"], self.meta["n_chunks"])

        self.poses = latent_poses(shared["in/poses"][: length.poses], length.latents)
        lens = make_lens(
            (rows * CELL, columns * CELL), scale=motion_scale(self.poses), intrinsics=shared["in/intrinsics"]
        )
        image = np.asarray(mask_first(_channels_last(shared["in/y_latent"])[None, : length.latents]))
        prompt = np.pad(shared["in/context"], ((0, config.text_rows - len(shared["in/context"])), (0, 0)))
        given = [
            Given(lens, image[:, i : i + CHUNK_FRAMES], prompt[None]) for i in range(0, length.latents, CHUNK_FRAMES)
        ]
        self.chunks = chunk_inputs(self.poses, self.backbone.spec, conditions=given)
        noises = self.tensors if "in/noise_init" in self.tensors else shared
        first = _channels_last(noises["in/noise_init"]).reshape(length.chunks, *self.backbone.latent_shape)
        later = np.moveaxis(noises["in/renoise"], 2, -1)
        self.noise = np.concatenate([first[:, None], later], axis=1)[:, :, None]

        flags = {name: value for name, value in args.items() if name not in NO_FLAGS}
        if "retrieval_frames" in flags:  # more than the rollout has changes nothing upstream, and is refused here
            flags["retrieval_frames"] = min(flags["retrieval_frames"], length.latents)
        self.memory = released_memory(**flags, kv_bank_on_gpu=on_gpu)
        own_poses = {name: self.tensors[name] for name in self.tensors if name == "out/c2ws_abs"}
        self.inputs = own_poses if own_poses else shared

    def start(self):
        """Make the world before the first chunk."""
        return start(self.backbone, self.params, self.memory, chunks=len(self.chunks))

    def choose_prefetcher(self, world, chunk):
        """Return what the next chunk is prepared with and what it recalls."""
        return _look_ahead(self.params, world, chunk, backbone=self.backbone)

    def part(self, name, chunk):
        """Cut one chunk ``[16, 3, rows, columns]`` out of a golden video."""
        return self.tensors[f"out/{name}"][:, chunk * CHUNK_FRAMES : (chunk + 1) * CHUNK_FRAMES]

    def expect_cache(self, window):
        """Compare what is left in the window with the golden cache: its sink and its latest frames."""
        layout = self.start().memory.layout
        size, frames = self.backbone.spec.tokens_per_frame, self.meta["lat_f"]
        window = jax.tree.map(np.asarray, window)
        for letter, sink, ring in zip("kv", window.sink, window.ring):
            want = self.tensors[f"out/cache_{letter}_layer0"][0]
            np.testing.assert_allclose(sink[0, 0], want[: layout.window.sink_frames * size], atol=ATOL)
            for back in range(1, layout.window.ring_frames + 1):
                place = (frames - back - layout.window.sink_frames) % layout.window.ring_frames * size
                end = len(want) - (back - 1) * size
                np.testing.assert_allclose(ring[0, 0, place : place + size], want[end - size : end], atol=ATOL)


@functools.partial(jax.jit, static_argnames="backbone")
def _look_ahead(params, world, chunk, *, backbone):
    prepared = backbone.prepare_chunk(params, world.carry, chunk, world.position)
    return prepared, *recall(world.memory, chunk.cameras)


def _channels_last(array):
    return np.moveaxis(array, 0, -1)


def _channels_first(array):
    return np.moveaxis(np.asarray(array), -1, 0)


def test_latents_picks_and_window(path):
    """The same latents, the same chunks chosen, as many tokens seen; the bank in the host's memory."""
    run = Rollout(path, on_gpu=False)
    made, world = rollout(run.backbone, run.params, run.start(), run.chunks, noise=lambda i: run.noise[i], decode=False)
    for index, chunk in enumerate(made):
        np.testing.assert_allclose(_channels_first(chunk.latents[0]), run.part("latents", index), atol=ATOL)
        selected = run.meta.get("selected_chunks")
        picked = (selected[index] if selected else None) or []
        np.testing.assert_array_equal(chunk.retrieved[0], picked)
        own = 0 if world.memory.layout.window.hides_own and picked else run.backbone.spec.chunk_tokens
        np.testing.assert_array_equal(chunk.attended_tokens + own, run.tensors["out/window_tokens"][index])
    if "out/cache_k_layer0" in run.tensors:  # the sink, then the latest frames
        run.expect_cache(world.memory.window)


def test_kept_tokens(path):
    """The same tokens of a chunk stay, in every layer that is recorded; the bank on the device."""
    run = Rollout(path, on_gpu=True)
    stored = [name for name in run.tensors if name.startswith("out/store_idx_layer")]
    if not any("idx_layer" in name for name in run.tensors):
        pytest.skip("nothing is pruned")
    world, commit = run.start(), jax.jit(run.backbone.commit)
    for index, chunk in enumerate(run.chunks):
        prepared, context, picks = run.choose_prefetcher(world, chunk)
        made, world = generate_chunk(run.backbone, run.params, world, chunk, run.noise[index])
        np.testing.assert_allclose(_channels_first(made.latents[0]), run.part("latents", index), atol=ATOL)
        own, _ = commit(run.params, made.latents, prepared, context)
        for name in stored:
            layer = int(name.removeprefix("out/store_idx_layer"))
            kept = np.asarray(world.memory.bank.slots.values)[index, layer, 0]
            np.testing.assert_array_equal(places(kept, np.asarray(own.values)[layer, 0]), run.tensors[name][index])
        for name in run.tensors:
            if not name.endswith(f"_chunk{index}") or "retr_idx_layer" not in name:
                continue
            layer = int(name.removeprefix("out/retr_idx_layer").removesuffix(f"_chunk{index}"))
            slots = np.asarray(picks.slots)[0, : int(picks.count)]
            whole = np.asarray(world.memory.bank.slots.values)[slots, layer, 0]
            want = run.tensors[name]
            kept = np.asarray(context.span.values)[layer, 0, : int(context.length)][-len(want) :]
            np.testing.assert_array_equal(places(kept, whole.reshape(-1, *whole.shape[2:])), want)


def test_flow_of_every_pass(path):
    """Each denoising pass and the clean one, on the noise of the golden run."""
    run = Rollout(path, on_gpu=True)
    recorded = {int(name.split("chunk")[1].split("_")[0]) for name in run.tensors if name.startswith("out/flow_chunk")}
    if not recorded:
        pytest.skip("no flows")
    world, schedule = run.start(), run.backbone.schedule
    flow = jax.jit(run.backbone.flow)
    for index in range(max(recorded) + 1):
        if index in recorded:
            prepared, context, _ = run.choose_prefetcher(world, run.chunks[index])
            x = run.noise[index, 0]
            for step, t in enumerate((*schedule.times, 0.0)):
                v = flow(run.params, x, jnp.float32(t), prepared, context)
                want = run.tensors[f"out/flow_chunk{index}_step{step}"]
                np.testing.assert_allclose(
                    _channels_first(v[0]), want, atol=ATOL, err_msg=f"chunk {index}, pass {step}"
                )
                if step < schedule.steps:
                    x = x - schedule.clean_sigmas[step] * v
                if step < schedule.steps - 1:
                    sigma = schedule.noise_sigmas[step]
                    x = (1 - sigma) * x + sigma * run.noise[index, step + 1]
        _, world = generate_chunk(run.backbone, run.params, world, run.chunks[index], run.noise[index])


def test_camera_and_image_of_a_chunk(path):
    """What the transformer is given of camera and image, from the content of a camera folder."""
    run = Rollout(path, on_gpu=True)
    np.testing.assert_allclose(run.poses, run.inputs["out/c2ws_abs"][: len(run.poses)], atol=1e-6)
    for name, want in run.inputs.items():
        if name.startswith("out/cond_chunk"):
            chunk = run.chunks[int(name.removeprefix("out/cond_chunk"))]
            np.testing.assert_array_equal(_channels_first(chunk.conditions.image[0]), want)
        elif name.startswith("out/plucker_chunk"):
            index = int(name.removeprefix("out/plucker_chunk"))
            before = run.chunks[max(index - 1, 0)].cameras[:, -1 if index else 0]
            chunk = run.chunks[index]
            size = (run.backbone.rows * CELL, run.backbone.columns * CELL)
            cells = camera_cells(before, chunk.cameras, chunk.conditions.camera, size)
            np.testing.assert_allclose(np.moveaxis(cells, -1, 1), want, atol=1e-5)


def places(kept, whole) -> np.ndarray:
    """Find the rows ``[n, N, H]`` among ``[T, N, H]``; two programs may differ in the last bits of each."""
    kept, whole = (np.asarray(rows, np.float64).reshape(len(rows), -1) for rows in (kept, whole))
    distance = np.square(kept[:, None] - whole[None]).sum(-1)
    assert np.sqrt(distance.min(axis=1)).max() < 1e-4
    return distance.argmin(axis=1)
