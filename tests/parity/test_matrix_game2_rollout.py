"""Whole rollouts of Matrix-Game 2.0 in its native window against the released PyTorch code."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.matrix_game2.action_module import FrameKV
from ports.matrix_game2.backbone import MatrixGame2
from ports.matrix_game2.schedule import matrix_game_schedule
from ports.wan.backbone import WanParams
from ports.wan.latents import CHUNK_FRAMES
from tests.matrix_game2.golden_model import channels_last, config_of, given_chunk, params_of
from tests.parity.goldens import find_cases, load_case
from worldkv_jax.memory import MemoryConfig, recall
from worldkv_jax.rollout import ChunkInput, generate_chunk, start


def pytest_generate_tests(metafunc):
    folder = metafunc.config.getoption("--goldens")
    cases = find_cases(folder, lambda meta: meta.get("kind") == "rollout" and "action_config" in meta.get("config", {}))
    metafunc.parametrize("path", cases, ids=[path.stem for path in cases], scope="module")


class Case:
    """A golden case and our rollout of it."""

    def __init__(self, path):
        self.meta, self.tensors = load_case(path)
        self.config = config_of(self.meta["config"], self.tensors)
        extra = self.meta["extra"]
        schedule = matrix_game_schedule(tuple(self.meta["denoising_step_list"]))
        self.backbone = MatrixGame2(config=self.config, rows=extra["lat_h"], columns=extra["lat_w"], schedule=schedule)
        self.params = WanParams(params_of(self.config, self.tensors), None)
        self.prepare = functools.partial(jax.jit(self.backbone.prepare_chunk), self.params)
        self.flow = functools.partial(jax.jit(self.backbone.flow), self.params)
        self.latents, self.inputs = [], []
        native = MemoryConfig(mode="sliding", recent_frames=self.config.recent_frames)
        world = start(self.backbone, self.params, native)
        for index in range(self.meta["n_chunks"]):
            chunk = ChunkInput(jnp.broadcast_to(jnp.eye(4), (1, CHUNK_FRAMES, 4, 4)), given_chunk(self.tensors, index))
            self.inputs.append((jax.tree.map(jnp.copy, (world.memory, world.carry)), chunk))
            made, world = generate_chunk(self.backbone, self.params, world, chunk, self.noise(index))
            self.latents.append(made.latents)
        self.world = world

    def noise(self, index):
        """Return the noise of one chunk, ``[steps, 1, F, h, w, 16]``."""
        first = slice(index * CHUNK_FRAMES, (index + 1) * CHUNK_FRAMES)
        start = channels_last(self.tensors["in/noise"][:, :, first])
        later = np.moveaxis(self.tensors["in/step_noise"][index], 2, -1)[:, None]
        return np.concatenate([start[None], later])

    def expect(self, name, got):
        """Compare a result with the golden of that name."""
        want = self.tensors[f"out/{name}"]
        tolerance = {"atol": self.meta["suggested_atol"], "rtol": self.meta["suggested_rtol"]}
        np.testing.assert_allclose(np.asarray(got).reshape(want.shape), want, **tolerance, err_msg=name)


@pytest.fixture(scope="module")
def case(path):
    """The case, rolled out once for all its tests."""
    with jax.default_matmul_precision("highest"):
        return Case(path)


def test_latents(case):
    case.expect("latents", np.moveaxis(np.concatenate(case.latents, axis=1), -1, 1))
    case.expect("timesteps", np.asarray(case.backbone.schedule.times))


@pytest.mark.parametrize("chunk", [0, -1])
def test_every_step(case, chunk):
    """Clean latents after every step, and the flow of the first, of the first chunk and of the last."""
    chunk, schedule = range(case.meta["n_chunks"])[chunk], case.backbone.schedule
    (memory, carry), given = case.inputs[chunk]
    context, _ = recall(memory, given.cameras)
    prepared = case.prepare(carry, given, jnp.int32(chunk))
    noise, tolerance = case.noise(chunk), {"atol": case.meta["suggested_atol"], "rtol": case.meta["suggested_rtol"]}
    x = noise[0]
    for step, (t, sigma) in enumerate(zip(schedule.times, schedule.clean_sigmas)):
        flow = np.asarray(case.flow(x, np.float32(t), prepared, context))
        if step == 0:
            np.testing.assert_allclose(_first(flow), case.tensors["out/flow_first_step"][chunk], **tolerance)
        clean = x - sigma * flow
        want = case.tensors["out/x0_per_step"][chunk, step]
        np.testing.assert_allclose(_first(clean), want, **tolerance, err_msg=f"step {step}")
        if step < schedule.steps - 1:
            level = schedule.noise_sigmas[step]
            x = (1 - level) * clean + level * noise[step + 1]


def _first(x):
    """Return the only world with its channels first."""
    return np.moveaxis(np.asarray(x)[0], -1, 0)


def test_caches_after_the_last_chunk(case):
    """The newest frames of the released caches are what we hand on to a next chunk."""
    frames, size = case.config.recent_frames, case.meta["extra"]["frame_seqlen"]
    context, _ = recall(case.world.memory, np.zeros((1, CHUNK_FRAMES, 4, 4), np.float32))
    seen = case.meta["n_chunks"] * CHUNK_FRAMES
    for layer in range(case.config.layers):
        for part, got in zip("kv", context.span):
            # A ring: frame f lies at f % frames.
            order = [(seen - frames + i) % frames for i in range(frames)]
            by_frame = np.asarray(got)[layer].reshape(1, frames, size, *got.shape[-2:])[:, order]
            _expect_newest(case, f"kv/{layer}/{part}", by_frame.reshape(1, frames * size, *got.shape[-2:]))
    for name in ("mouse", "keyboard"):
        window: FrameKV | None = getattr(case.world.carry, name)
        for layer in range(case.config.action_layers if window else 0):
            for part, got in zip("kv", window):
                oldest_first = np.moveaxis(np.asarray(got)[layer][:, ::-1], 2, 1)  # [B, S, F, N, H]
                _expect_newest(case, f"kv_{name}/{layer}/{part}", oldest_first.reshape(-1, *oldest_first.shape[2:]))


def _expect_newest(case, name, got):
    want = case.tensors[f"out/{name}"]
    case.expect(name, np.concatenate([want[:, : want.shape[1] - got.shape[1]], got], axis=1))
