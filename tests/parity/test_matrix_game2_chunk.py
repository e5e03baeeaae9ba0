"""Passes of Matrix-Game 2.0 over three chunks against the released PyTorch code, part by part."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ports.matrix_game2.action_module import FrameKV
from ports.matrix_game2.backbone import MatrixGame2, Prepared
from ports.matrix_game2.model import MatrixGameDiT
from ports.matrix_game2.schedule import SHIFT
from ports.wan.backbone import WanParams
from ports.wan.nn.layers import gate, layer_norm, modulate
from ports.wan.nn.parameters import bind
from ports.wan.nn.patches import patchify
from ports.wan.nn.stack import keys_and_values, run_blocks
from ports.wan.schedule import nearest_step, noise_levels
from tests.matrix_game2.golden_model import channels_last, config_of, given_chunk, params_of
from tests.parity.goldens import find_cases, load_case
from worldkv_jax.memory import Context, KVSpan, MemoryConfig, Past, WorldMemory, recall, remember
from worldkv_jax.rollout import ChunkInput


def pytest_generate_tests(metafunc):
    folder = metafunc.config.getoption("--goldens")
    cases = find_cases(folder, lambda meta: meta.get("kind") == "chunk" and "action_config" in meta.get("config", {}))
    metafunc.parametrize("path", cases, ids=[path.stem for path in cases], scope="module")


class Call(NamedTuple):
    """What a pass was given and what came out."""

    x: jax.Array
    cells: jax.Array
    t: jax.Array
    prepared: Prepared
    context: Context
    flow: jax.Array
    own: KVSpan
    mouse: FrameKV


class Case:
    """A golden case: its model, and what came out of every call."""

    def __init__(self, path):
        self.meta, self.tensors = load_case(path)
        self.config = config_of(self.meta["config"], self.tensors)
        self.params = WanParams(params_of(self.config, self.tensors), None)
        extra = self.meta["extra"]
        self.backbone = MatrixGame2(config=self.config, rows=extra["lat_h"], columns=extra["lat_w"])
        self.model = bind(MatrixGameDiT, self.config, self.params.dit)
        self.forward = jax.jit(self._forward)
        self.made = {}
        self._run()

    def _forward(self, params, cells, t, rope, conditions, actions, context):
        model = bind(MatrixGameDiT, self.config, params)
        return model(cells, t, rope, conditions, actions=actions, context=context, collect=keys_and_values)

    def _run(self):
        prepare, commit = jax.jit(self.backbone.prepare_chunk), jax.jit(self.backbone.commit)
        native = MemoryConfig(mode="sliding", recent_frames=self.config.recent_frames)
        memory = WorldMemory.create(native, self.backbone.spec)
        carry, cameras = self.backbone.init_carry(self.params, 1), jnp.broadcast_to(jnp.eye(4), (1, 3, 4, 4))
        for chunk in range(1 + self.meta["calls"][-1]["chunk"]):
            given = ChunkInput(cameras, given_chunk(self.tensors, chunk))
            prepared = prepare(self.params, carry, given, jnp.int32(chunk))
            context, _ = recall(memory, cameras)
            calls = [call for call in self.meta["calls"] if call["chunk"] == chunk]
            for call in calls:
                self.made[call["name"]] = self._call(call["name"], prepared, context)
            # The last call of a chunk is its clean pass.
            x = self.made[calls[-1]["name"]].x
            own, carry = commit(self.params, x, prepared, context)
            memory = remember(memory, own, cameras)

    def _call(self, name, prepared, context):
        x, t = channels_last(self.tensors[f"in/{name}/x"]), jax.device_put(self.tensors[f"in/{name}/timestep"])
        cells = jnp.concatenate([x, prepared.guide], axis=-1)
        given = (prepared.rope, prepared.conditions, prepared.actions)
        flow, own, mouse = self.forward(self.params.dit, cells, t, *given, context)
        return Call(x, cells, t, prepared, context, flow, own, mouse)

    def expect(self, name, got):
        """Compare a result with the golden of that name."""
        want = self.tensors[f"out/{name}"]
        tolerance = {"atol": self.meta["suggested_atol"], "rtol": self.meta["suggested_rtol"]}
        np.testing.assert_allclose(np.asarray(got).reshape(want.shape), want, **tolerance, err_msg=name)

    def calls_with(self, part):
        """Return the names of the calls that recorded this part."""
        return [call["name"] for call in self.meta["calls"] if f"out/{call['name']}/{part}" in self.tensors]


@pytest.fixture(scope="module")
def case(path):
    """The case, run once for all its tests."""
    with jax.default_matmul_precision("highest"):
        return Case(path)


def test_flow_and_clean_latents(case):
    for name, call in case.made.items():
        case.expect(f"{name}/flow", np.moveaxis(call.flow, -1, 1))
        sigma = noise_levels(SHIFT)[nearest_step(np.asarray(call.t), SHIFT)][..., None, None, None]
        case.expect(f"{name}/x0", np.moveaxis(call.x - sigma * call.flow, -1, 1))


def test_embeddings(case):
    for name in case.calls_with("time_embedding"):
        call = case.made[name]
        embedding, rows = case.model.time_embedding(call.t)
        case.expect(f"{name}/time_embedding", embedding)
        case.expect(f"{name}/time_projection", rows)
        tokens = case.model.patch_embedding(patchify(call.cells))
        case.expect(f"{name}/patch_embedding", np.swapaxes(tokens, 1, 2))
    for name in case.calls_with("img_emb"):
        case.expect(f"{name}/img_emb", case.model.context_embedding(jax.device_put(case.tensors["in/visual_context"])))
    key, value = case.made[case.meta["calls"][0]["name"]].prepared.conditions.cross
    for name, got in (("k", key), ("v", value)):
        for wanted in (name_ for name_ in case.tensors if name_.startswith("out/cross_kv/") and f"/{name}_" in name_):
            layer, rows = int(wanted.split("/")[2]), case.tensors[wanted].shape[1]
            case.expect(wanted.removeprefix("out/"), got[layer][:, :rows])


def test_blocks_and_head(case):
    """Every part of every block, given the released code's input of that block."""
    for name in case.calls_with("head"):
        call = case.made[name]
        embedding, time_rows = case.model.time_embedding(call.t)
        x = case.model.patch_embedding(patchify(call.cells))
        for layer in range(case.config.layers):
            _parts_of_block(case, name, layer, x, time_rows)
            x = _run_block(case, layer, x, time_rows, call.prepared, call.context)
            case.expect(f"{name}/block{layer}", x)
        case.expect(f"{name}/head", case.model.head(x, embedding))


def _run_block(case, layer, x, time_rows, prepared, context):
    conditions, before_ffn = prepared.conditions, None
    if layer < case.config.action_layers:
        structure, weights = nnx.split(case.model.actions)
        layers = jax.tree.map(lambda a: a[layer : layer + 1], (weights, prepared.actions.layers))
        conditions = conditions._replace(extra=layers)

        def before_ffn(x, extra):
            return nnx.merge(structure, extra[0])(x, prepared.actions, extra[1])

    options = {"context": context, "before_ffn": before_ffn, "layers": range(layer, layer + 1)}
    return run_blocks(case.model.blocks, x, time_rows, prepared.rope, conditions, **options)[0]


def _parts_of_block(case, name, layer, x, time_rows):
    """What self-attention, cross-attention and the action module return, before gates."""
    prepared, context = case.made[name].prepared, case.made[name].context
    structure, weights = nnx.split(case.model.blocks)
    block = nnx.merge(structure, jax.tree.map(lambda a: a[layer], weights))
    valid = jax.tree.map(lambda a: a[:, :, : int(context.length)], context.span)
    past = Past((jax.tree.map(lambda a: a[layer], valid),))
    rows = block.modulation[...][None, None] + time_rows
    attended, *_ = block.self_attn(modulate(layer_norm(x), rows[:, :, 0], rows[:, :, 1]), prepared.rope, past)
    case.expect(f"{name}/block{layer}.self_attn", attended)
    x = x + gate(attended, rows[:, :, 2])
    crossed = block.cross_attn(block.norm3(x), *(a[layer] for a in prepared.conditions.cross))
    case.expect(f"{name}/block{layer}.cross_attn", crossed)
    if layer < case.config.action_layers:
        structure, weights = nnx.split(case.model.actions)
        weights, own = jax.tree.map(lambda a: a[layer], (weights, prepared.actions.layers))
        acted, _ = nnx.merge(structure, weights)(x + crossed, prepared.actions, own)
        case.expect(f"{name}/block{layer}.action_model", acted)


def test_caches(case):
    """What the released caches hold after a call: the window before the chunk, then the chunk's own."""
    for dump in case.meta["cache_dumps"]:
        call = case.made[dump["call"]]
        prepared, context = call.prepared, call.context
        filled = dump["cache_end_indices_global_local"]
        past = jax.tree.map(lambda a: a[:, :, : int(context.length)], context.span)  # noqa: B023
        window = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=2), past, call.own)
        for layer in range(case.config.layers):
            for part, got in zip("kv", window):
                _expect_filled(case, f"{dump['call']}/kv/{layer}/{part}", got[layer], filled["self"][1])
        actions = prepared.actions.layers
        branches = {"mouse": (actions.past.mouse, call.mouse), "keyboard": (actions.past.keyboard, actions.keyboard)}
        for name, (past, chunk) in branches.items():
            if chunk is None:
                continue
            count = int(prepared.actions.filled)
            frames = FrameKV(*(jnp.concatenate([p[:, :, :count][:, :, ::-1], c], 2) for p, c in zip(past, chunk)))
            for layer in range(case.config.action_layers):
                for part, got in zip("kv", frames):
                    # [B, F, S, N, H] here, [B * S, F, N, H] there.
                    positions_first = np.moveaxis(got[layer], 2, 1).reshape(-1, got.shape[2], *got.shape[4:])
                    _expect_filled(case, f"{dump['call']}/kv_{name}/{layer}/{part}", positions_first, filled[name][1])


def _expect_filled(case, name, got, filled):
    want = case.tensors[f"out/{name}"]
    assert got.shape[1] == filled
    case.expect(name, np.concatenate([got, want[:, filled:]], axis=1))
