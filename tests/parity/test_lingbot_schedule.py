"""Times and noise levels of LingBot-World-Fast against the released scheduler."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.lingbot_world.schedule import lingbot_schedule, noise_levels, timesteps
from tests.parity.goldens import find_cases, load_case
from worldkv_jax.rollout import Schedule, denoise


def pytest_generate_tests(metafunc):
    cases = find_cases(metafunc.config.getoption("--goldens"), "f_scheduler")
    shifts = [(path, name) for path in cases for name in load_case(path)[0]["table"]]
    metafunc.parametrize(("path", "name"), shifts, ids=[f"{path.stem}-{name}" for path, name in shifts])


@pytest.fixture
def case(path, name):
    meta, tensors = load_case(path)
    return (
        meta["table"][name],
        {key: t for key, t in tensors.items() if f"/{name}/" in key},
        float(name[len("shift") :]),
    )


def test_tables(case, name):
    _, tensors, shift = case
    np.testing.assert_array_equal(noise_levels(shift), tensors[f"out/{name}/sigmas"])
    np.testing.assert_array_equal(timesteps(shift), tensors[f"out/{name}/timesteps"])


def test_levels_of_every_step(case):
    rows, _, shift = case
    schedule = lingbot_schedule(shift=shift, indices=tuple(row["index"] for row in rows))
    np.testing.assert_array_equal(schedule.times, [row["timestep"] for row in rows])
    np.testing.assert_array_equal(schedule.clean_sigmas, [row["x0_sigma"] for row in rows])
    np.testing.assert_array_equal(schedule.noise_sigmas, [row["addnoise_sigma"] for row in rows[1:]])


def test_clean_estimate_and_noising(case, name):
    """The sampler itself: one step gives the clean estimate, a step of no flow lets the noising be seen."""
    rows, tensors, shift = case
    x, noise, flow = (jax.device_put(tensors[f"in/{name}/{part}"]) for part in ("x", "noise", "flow"))
    for row in rows:
        index = row["index"]
        one = lingbot_schedule(shift=shift, indices=(index,))
        got = denoise(lambda x, t: flow, x[None], one)
        np.testing.assert_allclose(got, tensors[f"out/{name}/x0_{index}"], atol=1e-6)
        after = Schedule(times=(0, 0), clean_sigmas=(0, 0), noise_sigmas=(row["addnoise_sigma"],))
        got = denoise(lambda x, t: jnp.zeros_like(x), jnp.stack([x, noise]), after)
        np.testing.assert_allclose(got, tensors[f"out/{name}/add_noise_{index}"], atol=1e-6)
