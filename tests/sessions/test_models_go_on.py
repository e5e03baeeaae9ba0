"""Every model: twelve chunks at once are five, saved, and seven more; a branch; and a way back. With frames."""

import multiprocessing

import pytest

from tests.sessions.tiny import assert_same, roll
from worldkv_jax import open_model
from worldkv_jax.memory.layout import Layout
from worldkv_jax.sessions import MemoryOptions, TimeLine
from worldkv_jax.sessions.continuing import check_before_loading
from worldkv_jax.sessions.identity import world_identity
from worldkv_jax.sessions.world_manifest import WorldManifest

LENGTH, PAUSE = 12, 5
MODELS = {
    "demo-world": ("demo-world", {"trajectory": "R120_L120_R60"}),
    "matrix-game-2": ("matrix-game-2", {"size": (32, 48), "chunks": LENGTH, "actions": "W3 L3 J6"}),
    "matrix-game-2, taehv": (
        "matrix-game-2",
        {"size": (32, 48), "chunks": LENGTH, "actions": "W3 L3 J6", "decoder": "taehv"},
    ),
    "lingbot-world-fast": ("lingbot-world-fast", {"frames": 12 * LENGTH - 3, "resolution": (32, 48)}),
    "inspatio-world": (
        "inspatio-world",
        {"scene": "builtin", "size": (32, 48), "freeze_repeat": 40, "frames": 12 * LENGTH - 3},
    ),
}
PORTS = [name for name in MODELS if name != "demo-world"]
TIERS = ("device", "device_slots", "pinned_host", "host")
CASES = [("demo-world", tier, storage) for tier in TIERS for storage in ("model", "int8")]
CASES += [(name, "device_slots", "int8") for name in PORTS]
CASES += [(*case, "model") for case in zip(PORTS, ("device", "pinned_host", "host", "device"))]
LONG = {
    ("demo-world", "device_slots", "int8"),
    ("demo-world", "device", "model"),
    ("demo-world", "host", "model"),
    ("lingbot-world-fast", "device_slots", "int8"),
}
CASES = [pytest.param(*case, marks=pytest.mark.long if case in LONG else pytest.mark.slow) for case in CASES]


def opened(name: str, tier: str, storage: str):
    """Open a tiny model of `LENGTH` chunks with a small memory in some tier."""
    model, options = MODELS[name]
    if model != "demo-world":
        options = options | {"tiny": True}
    memory = MemoryOptions(profile="paper", retrieve=2, tier=tier, storage=storage)
    session = open_model(model, **options).check(memory)
    assert session.chunks == LENGTH
    return session.load()


@pytest.mark.parametrize(("name", "tier", "storage"), CASES)
def test_a_world_goes_on_bit_for_bit(name, tier, storage, tmp_path):
    session = opened(name, tier, storage)
    inputs, timeline = session.inputs(), TimeLine(every=3)
    want, _ = roll(session, session.start(), keeper=timeline)
    with session.saving(tmp_path, every=2) as saver:
        made, world = roll(session, session.start(), inputs[:PAUSE], keeper=saver)
    assert_same(made, want[:PAUSE])
    world, other = session.fork(world)
    assert_same(roll(session, other, inputs[PAUSE : PAUSE + 2])[0], want[PAUSE : PAUSE + 2])
    assert_same(roll(session, world)[0], want[PAUSE:])
    assert_same(roll(session, session.rewind(timeline, PAUSE))[0], want[PAUSE:])
    again = opened(name, tier, storage)
    assert_same(roll(again, again.restore(tmp_path))[0], want[PAUSE:])
    assert_same(roll(again, again.restore(tmp_path, at=3), inputs[3:5])[0], want[3:5])


def go_on(name: str, folder: str, results) -> None:
    """Restore and go on; for a process of its own."""
    session = opened(name, "device_slots", "int8")
    made, _ = roll(session, session.restore(folder))
    results.put([(chunk.index, chunk.latents.__array__(), chunk.frames) for chunk in made])


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_fresh_process_goes_on_bit_for_bit(name, tmp_path):
    session = opened(name, "device_slots", "int8")
    want, _ = roll(session, session.start())
    with session.saving(tmp_path) as saver:
        roll(session, session.start(), session.inputs()[:PAUSE], keeper=saver)
    fresh = multiprocessing.get_context("spawn")
    results = fresh.Queue()
    process = fresh.Process(target=go_on, args=(name, str(tmp_path), results))
    process.start()
    made = results.get(timeout=900)
    process.join()
    assert [index for index, _, _ in made] == list(range(PAUSE, LENGTH))
    for (_, latents, frames), theirs in zip(made, want[PAUSE:]):
        assert (latents == theirs.latents).all() and (frames == theirs.frames).all()


SIZES = {"matrix-game-2": "size", "lingbot-world-fast": "resolution", "inspatio-world": "size"}


@pytest.mark.parametrize("name", SIZES)
def test_a_world_of_another_resolution_is_refused_before_anything_is_loaded(name):
    model, options = MODELS[name]

    def checked(size: tuple[int, int]):
        return open_model(model, **options | {"tiny": True, SIZES[name]: size}).check()

    small, large = checked((32, 48)), checked((32, 64))
    layout = Layout(config=small.memory, spec=small.backbone.spec, chunks=LENGTH)
    saved = WorldManifest(identity=world_identity(model, small.backbone, None, layout), made_with={}, key=None)
    check_before_loading(small, saved, "room")
    with pytest.raises(ValueError, match=r"room is a world of something else.*\n  backbone.columns: 6 there, 8 here"):
        check_before_loading(large, saved, "room")
