"""The diffusion-time sinusoid against the released code."""

import jax.numpy as jnp
import numpy as np

from ports.wan.nn.block import time_sinusoid
from tests.parity.goldens import find_cases, load_case


def pytest_generate_tests(metafunc):
    folder = metafunc.config.getoption("--goldens")
    cases = [
        (path, name)
        for path in find_cases(folder, "g_rope")
        for name in load_case(path)[1]
        if name.startswith("out/sinus")
    ]
    metafunc.parametrize("case", cases, ids=[f"{path.stem}-{name.removeprefix('out/')}" for path, name in cases])


def test_sinusoid_is_the_same(case):
    path, name = case
    _, tensors = load_case(path)
    times = jnp.asarray(tensors["in/sinus_pos"], jnp.float32)
    got = time_sinusoid(times, int(name.removeprefix("out/sinus")))
    np.testing.assert_allclose(got, tensors[name], atol=1e-6)
