"""A whole chunk of each real model, and its decoding, compiled at full size for TPUs that are not there.

Needs the extra ``tpu``; a program takes a minute or several.
"""

import contextlib
import dataclasses
import functools
import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, SingleDeviceSharding

from kernels_pallas.attention import api, splash
from ports.inspatio_world.backbone import Source
from ports.lingbot_world import backbone as lingbot_world
from ports.lingbot_world.backbone import LingBotWorld
from ports.lingbot_world.camera import Lens
from ports.matrix_game2 import backbone as matrix_game2
from ports.matrix_game2.backbone import MatrixGame2
from ports.wan.autoencoders import taehv, wan_vae
from ports.wan.backbone import WanBackbone, WanParams
from ports.wan.nn.parameters import abstract_params
from ports.wan.nn.quantized import quantized_shapes
from ports.wan.sharding import param_shardings
from worldkv_jax import open_model
from worldkv_jax.memory import MemoryConfig, WorldMemory, recall, select
from worldkv_jax.memory.bank import Fetched
from worldkv_jax.rollout import Backbone, ChunkInput, World, chunk_step
from worldkv_jax.rollout.placement import split, world_shardings
from worldkv_jax.rollout.stream import _decode
from worldkv_jax.sessions.devices import DEVICES
from worldkv_jax.sessions.world_state import decoded_shapes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu: install the extra tpu"),
]
CHUNKS = 9  # few: with its bank on the device, a chunk is one program
GIB = 2**30
TOPOLOGIES = {"v5e": "v5e:2x2", "v5e-8": "v5e:2x4", "v6e-4": "v6e:2x2", "v5p": "v5p:2x2x1"}
INSPATIO = {"scene": "builtin", "size": "480x832"}
STEPS = (
    ("matrix-game-2", "v5e", {}),
    ("inspatio-world", "v5e", INSPATIO),
    ("lingbot-world-fast", "v6e-4", {}),
    ("lingbot-world-fast", "v5e-8", {"weights": "int8"}),
)
PASSES = (("lingbot-world-fast", "v5p", {}),)
DECODERS = (
    ("matrix-game-2", "v5e", {}),
    ("matrix-game-2", "v5e", {"decoder": "taehv"}),
    ("lingbot-world-fast", "v5p", {}),
)


def array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


@pytest.fixture(autouse=True)
def for_a_tpu(monkeypatch):
    """Trace as on a TPU; what is lowered is for the platform of its arguments."""
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", "localhost")
    monkeypatch.setattr(api, "_default", lambda query, key: "splash" if splash.takes(query, key) else "xla")


def opened(model: str, options: dict) -> tuple[WanBackbone, WanParams, MemoryConfig]:
    """A model at full size, what its parameters are, and the memory that it has unless another is asked for."""
    session = open_model(model, random_weights=True, **options).check()
    backbone = session.backbone
    config, coder = backbone.config, wan_vae if isinstance(backbone.vae, wan_vae.VAEConfig) else taehv
    dit, decoder = abstract_params(backbone.network, config), coder.abstract_params(backbone.vae)["decoder"]
    dit, decoder = (
        jax.tree.map(lambda leaf, dtype=dtype: array(*leaf.shape, dtype=dtype), shapes)
        for shapes, dtype in ((dit, config.dtype), (decoder, backbone.vae.compute_dtype))
    )
    return backbone, WanParams(quantized_shapes(dit, config.weights), {"decoder": decoder}), session.memory


def inputs(backbone: WanBackbone) -> tuple[ChunkInput, jax.ShapeDtypeStruct]:
    """What a chunk is given, and its noise."""
    config, cells = backbone.config, (1, 3, backbone.rows, backbone.columns)
    image, video = array(*cells, 20), array(*cells, 16)

    def embedded(rows: int, width: int) -> jax.ShapeDtypeStruct:
        return array(1, rows, width, dtype=config.dtype)

    match backbone:
        case LingBotWorld():
            prompt = embedded(config.text_rows, config.text_dim)
            given = lingbot_world.Given(Lens(array(1, 4), array(1)), image, prompt)
        case MatrixGame2():
            keys, mouse = array(1, 3, 12, config.keyboard_columns), array(1, 3, 12, 2)
            tokens = embedded(257, config.image_dim)
            given = matrix_game2.Given(keys, mouse if config.mouse else None, image, tokens)
        case _:
            given = Source(video, array(*cells, 4), video, embedded(config.text_rows, config.text_dim))
    return ChunkInput(array(1, 3, 4, 4), given), array(backbone.schedule.steps, 1, *backbone.latent_shape)


def begun(backbone: Backbone, params: Any, memory: MemoryConfig) -> World:
    """Describe a world that begins."""

    def begin(params):
        empty = WorldMemory.create(memory, backbone.spec, chunks=CHUNKS)
        return World(empty, backbone.init_carry(params, 1), jnp.int32(0))

    return jax.eval_shape(begin, params)


def placed(shapes: Any, sharding: Any) -> Any:
    """Say where arrays lie: all of them alike, or each by a sharding of its own."""
    tree = jax.tree.broadcast(sharding, shapes)
    return jax.tree.map(lambda leaf, own: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=own), shapes, tree)


def check_fits(lowered: jax.stages.Lowered, device: str, beside: Any = ()):
    """Compile, and compare with what one chip, or each of several, has; arrays ``beside`` it wait there meanwhile."""
    sizes = lowered.compile().memory_analysis()
    given, kept, made = sizes.argument_size_in_bytes, sizes.alias_size_in_bytes, sizes.output_size_in_bytes
    temporary = sizes.temp_size_in_bytes
    waiting = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(beside))
    print(
        f"GiB: arguments {given / GIB:.2f}, in place {kept / GIB:.2f}, temporaries {temporary / GIB:.2f}, "
        f"beside it {waiting / GIB:.2f}"
    )
    assert given + made - kept + temporary + waiting < DEVICES[device].memory_bytes


@pytest.mark.parametrize("model, device, options", STEPS)
def test_a_chunk_fits(model, device, options):
    backbone, params, memory = opened(model, options)
    chunk, noise = inputs(backbone)
    step = chunk_step._step
    world, chips = begun(backbone, params, memory), DEVICES[device].chips
    devices = topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGIES[device]).devices[:chips]
    if chips == 1:
        # The carry of later chunks may be another.
        world = jax.eval_shape(functools.partial(step, backbone=backbone), params, world, chunk, noise, None)[1]
        of_params = of_world = of_chunk = SingleDeviceSharding(devices[0])
        context = contextlib.nullcontext()
    else:
        mesh = Mesh(np.array(devices), ("model",), axis_types=(AxisType.Auto,))
        of_params, of_world = param_shardings(params, mesh), world_shardings(backbone, params, world, mesh)
        of_chunk, context = split(mesh), jax.set_mesh(mesh)
    with context:
        params, world = placed(params, of_params), placed(world, of_world)
        chunk, noise = placed((chunk, noise), of_chunk)
        check_fits(step.lower(params, world, chunk, noise, None, backbone=backbone), device)


@pytest.mark.parametrize("family", ["rooms", "apartments"])
def test_a_chunk_of_the_demo_world_fits(family):
    session = open_model("demo-world", family=family).check().load()
    backbone, step = session.backbone, chunk_step._step
    chunk, params = next(iter(session.inputs())), session.params
    noise = array(backbone.schedule.steps, 1, *backbone.latent_shape)
    world = begun(backbone, params, session.memory)
    shapes = jax.eval_shape(lambda *given: given, params, world, chunk, noise, None)
    (chip, *_) = topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGIES["v5e"]).devices
    check_fits(step.lower(*placed(shapes, SingleDeviceSharding(chip)), backbone=backbone), "v5e")


@pytest.mark.parametrize("model, device, options", PASSES)
def test_passes_fit_with_the_bank_in_host_memory(model, device, options):
    """With picks as they arrive, which each layer restores for itself; the decoder and the next chunk's picks wait."""
    backbone, params, memory = opened(model, options)
    chunk, noise = inputs(backbone)
    assert memory.bank is not None

    apart = dataclasses.replace(memory, bank=dataclasses.replace(memory.bank, tier="device_slots"))

    def recalled(cameras):
        whole = WorldMemory.create(memory, backbone.spec, chunks=CHUNKS).bank.slots
        stored = jax.tree.map(lambda slots: slots[0, :, 0], whole)
        empty = WorldMemory.create(apart, backbone.spec, chunks=CHUNKS)
        fetched = Fetched(select(empty, cameras), (stored,) * empty.bank.layout.retrieval.chunks)
        return recall(empty, cameras, fetched=fetched)[0], fetched.spans

    context, picked = jax.eval_shape(recalled, chunk.cameras)
    carry = jax.eval_shape(lambda params: backbone.init_carry(params, 1), params)
    prepared = jax.eval_shape(backbone.prepare_chunk, params, carry, chunk, jnp.int32(0))
    (chip, *_) = topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGIES[device]).devices
    given = placed((params, prepared, context, noise), SingleDeviceSharding(chip))
    decoder = decoded_shapes(backbone, params, 1, None)[1]
    check_fits(chunk_step._generate_jit.lower(*given, backbone=backbone), device, (decoder, picked))


@pytest.mark.parametrize("model, device, options", DECODERS)
def test_decoding_fits(model, device, options):
    backbone, params, _ = opened(model, options)
    decoder = decoded_shapes(backbone, params, 1, None)[1]
    (chip, *_) = topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGIES[device]).devices
    given = params, array(1, *backbone.latent_shape), decoder
    check_fits(_decode.lower(*placed(given, SingleDeviceSharding(chip)), backbone=backbone), device)
