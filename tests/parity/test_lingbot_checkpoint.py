"""A sharded folder as diffusers writes it, loaded and run, against the released PyTorch code."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from checkpoints.restore import load_params
from ports.lingbot_world.checkpoint import DIT
from ports.lingbot_world.model import LingBotDiT
from ports.wan.nn.block import Conditions
from ports.wan.nn.parameters import bind
from ports.wan.nn.patches import PATCH
from tests.parity.goldens import find_cases, load_case


def pytest_generate_tests(metafunc):
    cases = find_cases(metafunc.config.getoption("--goldens"), lambda meta: meta.get("case") == "h")
    metafunc.parametrize("path", cases, ids=[path.stem for path in cases])


def test_load_and_run(path):
    meta, tensors = load_case(path)
    loaded, params = load_params(path.with_name(path.stem.removesuffix("_forward")), DIT, dtype=jnp.float32)
    config = dataclasses.replace(loaded, dtype="float32")
    said = meta["config"]
    sizes = (config.dim, config.heads, config.layers, config.text_rows, config.sink_frames, config.control)
    names = ("dim", "num_heads", "num_layers", "text_len", "sink_size", "control_type")
    assert sizes == tuple(said[name] for name in names)

    model = bind(LingBotDiT, config, params)
    x, y = (jax.device_put(np.moveaxis(tensors[f"in/{name}"], 0, -1)) for name in "xy")
    frames = jnp.arange(x.shape[0], dtype=jnp.int32)
    rows, columns = (size // PATCH for size in meta["lat_hw"])
    text = np.pad(tensors["in/context"], ((0, config.text_rows - len(tensors["in/context"])), (0, 0)))
    with jax.default_matmul_precision("highest"):
        conditions = Conditions(
            film=model.prepare_camera(jax.device_put(np.moveaxis(tensors["in/plucker"], 1, -1))),
            cross=model.project_context(jax.device_put(text)[None]),
        )
        times = jnp.full((1, 1), float(meta["t"]), jnp.float32)
        flow, _ = model(
            jnp.concatenate([x, y], axis=-1)[None], times, config.rope.grid(frames, rows, columns), conditions
        )
    want = tensors["out/flow"]
    np.testing.assert_allclose(np.moveaxis(flow[0], -1, 0), want, atol=1e-5 * max(1.0, np.abs(want).max()))
