"""Action module, action tracks and schedule of Matrix-Game 2.0 against the released code."""

import random

import jax
import jax.numpy as jnp
import numpy as np

from ports.matrix_game2.action_module import (
    ActionInput,
    ActionModule,
    ActionWindow,
    FrameKV,
    LayerInput,
    action_rotation,
    empty_window,
    push,
)
from ports.matrix_game2.actions import action_windows, check_rows, hold, rows_of_keys
from ports.matrix_game2.benchmark_actions import benchmark_rows
from ports.matrix_game2.checkpoint import ORIGINAL, PREFIX
from ports.matrix_game2.schedule import SHIFT, matrix_game_schedule
from ports.matrix_game2.variants import VARIANTS
from ports.wan.latents import CHUNK_FRAMES
from ports.wan.nn.block import time_sinusoid
from ports.wan.nn.parameters import abstract_params, bind
from ports.wan.schedule import nearest_step, noise_levels, timesteps
from tests.matrix_game2.golden_model import fill
from tests.parity.goldens import find_cases, load_case
from worldkv_jax.rollout import Schedule, denoise

KINDS = {
    "action_case": lambda meta: meta.get("kind") == "action_module",
    "track_case": lambda meta: "bench_python_seed" in str(meta.get("variants")),
    "schedule_case": lambda meta: meta.get("kind") == "schedule" and "shift5/universal" in meta.get("numbers", {}),
}


def pytest_generate_tests(metafunc):
    for fixture, select in KINDS.items():
        if fixture in metafunc.fixturenames:
            cases = find_cases(metafunc.config.getoption("--goldens"), select)
            if fixture == "track_case":
                pairs = [(path, name) for path in cases for name in load_case(path)[0]["variants"]]
                metafunc.parametrize(fixture, pairs, ids=[f"{path.stem}-{name}" for path, name in pairs])
            else:
                metafunc.parametrize(fixture, cases, ids=[path.stem for path in cases])


def test_action_module(action_case):
    """Two passes a chunk: the first leaves no trace, the second is what later chunks see."""
    meta, tensors = load_case(action_case)
    settings = meta["action_config"]
    config = VARIANTS[meta["variant"]].configure(
        dim=settings["img_hidden_size"],
        heads=2,
        keyboard_columns=settings["keyboard_dim_in"],
        mouse=settings["enable_mouse"],
        keyboard_dim=settings["hidden_size"],
        action_heads=settings["heads_num"],
        action_head_dim=settings["keyboard_hidden_dim"] // settings["heads_num"],
        window_frames=meta["local_attn_size"],
        layers=1,
        action_layers=1,
        dtype="float32",
    )
    given = {
        f"{PREFIX}blocks.0.action_model.{key.removeprefix('params/')}": t
        for key, t in tensors.items()
        if key.startswith("params/")
    }
    template = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((1, *a.shape), a.dtype), abstract_params(ActionModule, config)
    )
    params = fill(template, given, prefix="actions/", rows=ORIGINAL)
    module = bind(ActionModule, config, jax.tree.map(lambda a: a[0], params))
    run = jax.jit(lambda *given: module(*given))
    tokens = meta["th"] * meta["tw"]
    carry = empty_window(config, 1, tokens)
    tolerance = {"atol": meta["suggested_atol"], "rtol": meta["suggested_rtol"]}
    for chunk in range(meta["n_chunks"]):
        frames = range(chunk * CHUNK_FRAMES, (chunk + 1) * CHUNK_FRAMES)
        keyboard = jax.device_put(action_windows(tensors["in/keyboard_cond"][0], frames))[None]
        mouse = None
        if config.mouse:
            mouse = jax.device_put(action_windows(tensors["in/mouse_cond"][0], frames)).reshape(1, CHUNK_FRAMES, -1)
        past = jax.tree.map(lambda a: a[0], carry)
        rope = action_rotation(jnp.asarray(frames, jnp.int32), config.action_head_dim)
        own = module.keyboard.project(keyboard, rope)
        filled = jnp.int32(min(frames.start, config.recent_frames))
        for letter in "ab":
            x = jax.device_put(tensors[f"in/x_{chunk}{letter}"])
            y, keys = run(x, ActionInput(mouse, rope, filled, None), LayerInput(own, past))
            np.testing.assert_allclose(y, tensors[f"out/y_{chunk}{letter}"], **tolerance, err_msg=f"{chunk}{letter}")
        _check_cache(tensors, "keyboard", chunk, past.keyboard, own, int(filled), tolerance)
        if config.mouse:
            _check_cache(tensors, "mouse", chunk, past.mouse, keys, int(filled), tolerance)
        carry = push(carry, jax.tree.map(lambda a: a[None], ActionWindow(keys, own)))


def _check_cache(tensors, name, chunk, past: FrameKV, own: FrameKV, filled: int, tolerance):
    for part, before, after in zip("kv", past, own):
        want = tensors.get(f"out/cache_{name}_after_{chunk}/{part}")
        if want is not None:
            frames = np.concatenate([before[:, :filled][:, ::-1], after], axis=1)  # [B, F, S, N, H]
            by_position = np.moveaxis(frames, 2, 1).reshape(-1, frames.shape[1], *frames.shape[3:])
            np.testing.assert_allclose(by_position, want[:, : filled + CHUNK_FRAMES], **tolerance, err_msg=name)


def test_action_rotation(action_case):
    _, tensors = load_case(action_case)
    for name, got in zip(("cos", "sin"), action_rotation(jnp.arange(64, dtype=jnp.int32), 64)):
        want = tensors[f"out/rope_{name}_first_64"]
        np.testing.assert_allclose(np.repeat(got[:, 0], 2, axis=-1), want[:64], atol=1e-6)


def test_tracks_of_keys(track_case):
    path, name = track_case
    (meta, tensors), variant = load_case(path), VARIANTS[track_case[1]]
    case = meta["variants"][name]
    keys = [" ".join(pressed) for pressed in case["keys"]]
    rows, frames = rows_of_keys(variant, keys), range(case["n_latent_frames"])
    assert len(rows.keyboard) == case["n_pixel_frames"]
    for part in ("keyboard", "mouse"):
        if f"out/{name}/{part}_cond" not in tensors:
            assert getattr(rows, part) is None
            continue
        np.testing.assert_array_equal(getattr(rows, part), tensors[f"out/{name}/{part}_cond"][0])
        per_chunk = [getattr(hold(variant, pressed, 1), part)[0] for pressed in keys]
        np.testing.assert_array_equal(per_chunk, tensors[f"out/{name}/per_chunk_{part}"])
        given = check_rows(variant, *(tensors.get(f"in/{name}/{track}_track") for track in ("keyboard", "mouse")))
        windows = action_windows(getattr(given, part), frames).reshape(len(frames), -1)
        np.testing.assert_array_equal(windows, tensors[f"out/{name}/{part}_windows"])


def test_benchmark_tracks(track_case):
    path, name = track_case
    meta, tensors = load_case(path)
    case = meta["variants"][name]
    rows = benchmark_rows(VARIANTS[name], case["bench_num_frames"], random.Random(case["bench_python_seed"]))
    np.testing.assert_array_equal(rows.keyboard, tensors[f"out/{name}/bench_keyboard_condition"])
    if f"out/{name}/bench_mouse_condition" in tensors:
        np.testing.assert_array_equal(rows.mouse, tensors[f"out/{name}/bench_mouse_condition"])


def test_schedules(schedule_case):
    meta, tensors = load_case(schedule_case)
    tolerance = {"atol": meta["suggested_atol"], "rtol": meta["suggested_rtol"]}
    np.testing.assert_allclose(noise_levels(SHIFT), tensors["out/sigmas_shift5"], **tolerance)
    np.testing.assert_allclose(timesteps(SHIFT)[:-1], tensors["out/timesteps_shift5"], **tolerance)
    for name, want in meta["numbers"].items():
        if not name.startswith("shift5/"):
            continue
        schedule = matrix_game_schedule(tuple(want["step_list"]))
        assert VARIANTS[name.removeprefix("shift5/")].schedule == schedule
        # To the last bit: these are what the model is told.
        assert list(schedule.times) == want["warped_timesteps"]
        assert list(schedule.clean_sigmas) == want["sigmas"]
        assert schedule.noise_sigmas == schedule.clean_sigmas[1:]
        np.testing.assert_array_equal(nearest_step(np.asarray(schedule.times), SHIFT), want["sigma_index"])


def test_noise_levels_of_any_time(schedule_case):
    meta, tensors = load_case(schedule_case)
    tolerance = {"atol": meta["suggested_atol"], "rtol": meta["suggested_rtol"]}
    times = tensors["in/query_timesteps"]
    np.testing.assert_array_equal(nearest_step(times, SHIFT), meta["numbers"]["query_sigma_index"])
    sigmas = noise_levels(SHIFT)[nearest_step(times, SHIFT)]
    np.testing.assert_allclose(sigmas, meta["numbers"]["query_sigma"], **tolerance)
    x, clean, flow = (jax.device_put(tensors[f"in/{name}"]) for name in ("noise", "x0", "flow"))
    for i, (t, sigma) in enumerate(zip(times, sigmas)):
        once = Schedule(times=(t,), clean_sigmas=(sigma,), noise_sigmas=())
        got = denoise(lambda x, t: flow[i], x[i][None], once)  # noqa: B023
        np.testing.assert_allclose(got, tensors["out/x0_from_flow"][i], **tolerance)
        again = Schedule(times=(t, t), clean_sigmas=(sigma, sigma), noise_sigmas=(sigma,))
        got = denoise(lambda x, t: jnp.zeros_like(x), jnp.stack([clean[i], x[i]]), again)
        np.testing.assert_allclose(got, tensors["out/add_noise"][i], **tolerance)


def test_time_sinusoid(schedule_case):
    meta, tensors = load_case(schedule_case)
    tolerance = {"atol": meta["suggested_atol"], "rtol": meta["suggested_rtol"]}
    got = time_sinusoid(jax.device_put(tensors["in/query_timesteps"]), 256)
    np.testing.assert_allclose(got, tensors["out/sinusoidal_256"], **tolerance)
