"""After its first chunks a rollout compiles nothing and grows nowhere."""

import gc

import jax
import pytest

from tests.memory.walks import worldkv
from tests.rollout.tiny_backbone import TinyBackbone
from tests.rollout.worlds import BACKBONE, PARAMS, noise, views
from worldkv_jax import memory as wm
from worldkv_jax import rollout as ro
from worldkv_jax.compile_events import COMPILED

PRUNED = {"compression": wm.CompressionConfig(keep_ratio=0.5)}
CONFIGS = {
    "device": worldkv(capacity=16, **PRUNED),
    "device, drop oldest": worldkv(capacity=4, when_full="drop_oldest", **PRUNED),
    "device, drop most redundant": worldkv(capacity=3, when_full="drop_most_redundant", **PRUNED),
    "pinned host": worldkv(capacity=16, tier="pinned_host", **PRUNED),
    "host": worldkv(capacity=16, tier="host", **PRUNED),
    "sliding": wm.MemoryConfig(mode="sliding", recent_frames=5),
}
compiled: list[str] = []


def note_compilation(event: str, duration: float, **details) -> None:
    if event == COMPILED:
        compiled.append(str(details.get("fun_name")))


jax.monitoring.register_event_duration_secs_listener(note_compilation)


def device_bytes() -> int:
    return sum(a.nbytes for a in jax.live_arrays() if a.sharding.memory_kind == "device")


@pytest.mark.parametrize(
    ("name", "live"), [*((name, False) for name in CONFIGS), ("device", True), ("pinned host", True)]
)
def test_nothing_recompiles_and_device_memory_is_flat(name, live):
    params = jax.device_put(PARAMS, jax.devices()[0]) if live else PARAMS  # bound to a device, or not
    world = ro.start(BACKBONE, params, CONFIGS[name])
    inputs = views(12)
    gc.collect()  # what other tests left must not go meanwhile
    made = ro.stream(BACKBONE, params, world, iter(inputs) if live else inputs, key=jax.random.key(0))
    del world
    compilations, sizes = [], []
    for chunk in made:
        compilations.append(list(compiled))
        compiled.clear()
        del chunk
        sizes.append(device_bytes())
    assert compilations[3:] == [[]] * 9
    if name != "host":  # on a CPU plain host memory is device memory
        assert len(set(sizes[3:-3])) == 1  # the last chunks have fewer ahead of them


def test_generating_and_observing_write_the_world_in_place():
    world = ro.start(BACKBONE, PARAMS, CONFIGS["device"])

    def buffers():
        return [
            leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((world.memory.window, world.memory.bank.slots))
        ]

    before = buffers()
    for index, chunk in enumerate(views(3)):
        given = jax.numpy.asarray(noise(index))
        if index == 1:
            world = ro.observe_chunk(BACKBONE, PARAMS, world, chunk, given[0])
        else:
            _, world = ro.generate_chunk(BACKBONE, PARAMS, world, chunk, given)
        assert buffers() == before


@pytest.mark.parametrize("name", CONFIGS)
def test_the_heavy_steps_compile_once(name):
    """Also with parameters that are bound to a device, as loaded checkpoints are: only the first chunk compiles."""
    backbone = TinyBackbone(schedule=ro.shifted_schedule(2, shift=2.5))  # of which nothing is compiled yet
    params = jax.device_put(PARAMS, jax.devices()[0])
    world = ro.start(backbone, params, CONFIGS[name])
    compiled.clear()
    for _ in ro.stream(backbone, params, world, views(4), noise=noise):
        pass
    for step in ("_step", "_generate", "_prepare", "_decode", "_digest"):
        assert compiled.count(f"jit({step})") <= 1, compiled
    assert any(f"jit({step})" in compiled for step in ("_step", "_generate"))
