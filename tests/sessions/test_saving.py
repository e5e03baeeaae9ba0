"""Worlds on disk: saved while they grow, restored at any chunk, refused where they do not fit."""

import dataclasses
import errno
import hashlib
import json
import os

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from tests.memory.walks import worldkv
from tests.rollout.test_lag import LaggingBackbone
from tests.rollout.test_steady_state import compiled
from tests.rollout.worlds import BACKBONE, LENGTH, PARAMS, views
from tests.sessions.tiny import assert_same, roll, tiny_session
from worldkv_jax import memory as wm
from worldkv_jax import open_model
from worldkv_jax import rollout as ro
from worldkv_jax.sessions import MemoryOptions, WorldFolder
from worldkv_jax.sessions.seeds import key_of
from worldkv_jax.sessions.world_folder import branch, prune, writing

PRUNED = wm.CompressionConfig(keep_ratio=0.5)
CONFIGS = {
    "device": worldkv(compression=PRUNED),
    "device_slots, in int8": worldkv(compression=PRUNED, tier="device_slots", storage="int8"),
    "pinned_host, in float8": worldkv(compression=PRUNED, tier="pinned_host", storage="float8"),
    "host": worldkv(compression=PRUNED, tier="host"),
    "host, drop oldest": worldkv(capacity=4, when_full="drop_oldest", tier="host"),
    "device, drop most redundant": worldkv(capacity=3, when_full="drop_most_redundant"),
    "sliding": wm.MemoryConfig(mode="sliding", recent_frames=5),
    "full": wm.MemoryConfig(mode="full"),
}


def grow(session, path, chunks: int, *, every: int = 2, seed: int = 3):
    """Roll out so many chunks into a folder."""
    inputs = session.inputs()[:chunks]
    with session.saving(path, every=every) as saver:
        made, world = roll(session, session.start(), inputs, seed=seed, keeper=saver)
    assert saver.failed is None
    return made, world


@pytest.mark.parametrize("name", CONFIGS)
def test_a_world_goes_on_bit_for_bit(name, tmp_path):
    session = tiny_session(CONFIGS[name], LENGTH)
    want, _ = roll(session, session.start(), seed=3)
    made, _ = grow(session, tmp_path / "world", 5)
    assert_same(made, want[:5])
    assert sorted(WorldFolder(tmp_path / "world").manifest.points) == [2, 4, 5]
    for at in (5, 3, 2, 1, 0):  # the end, between points, a point, before the first
        made, _ = roll(session, session.restore(tmp_path / "world", at=at), seed=3)
        assert_same(made, want[at:])
    with session.saving(tmp_path / "world", every=2) as saver:
        made, world = roll(session, session.restore(tmp_path / "world"), keeper=saver)
    assert_same(made, want[5:])
    assert sorted(WorldFolder(tmp_path / "world").manifest.points) == [2, 4, 5, 6, 8, 9]
    assert repr(session.restore(tmp_path / "world").memory) == repr(world.memory)
    WorldFolder(tmp_path / "world").verify()


@pytest.mark.optimized
@pytest.mark.parametrize("tier", ["device", "device_slots", "pinned_host", "host"])
def test_a_world_may_change_its_tier(tier, tmp_path):
    want, _ = roll(tiny_session(CONFIGS["host"], LENGTH), tiny_session(CONFIGS["host"], LENGTH).start())
    grow(tiny_session(CONFIGS["host"], LENGTH), tmp_path, 5, seed=0)
    session = tiny_session(worldkv(compression=PRUNED, tier=tier), LENGTH)
    assert_same(roll(session, session.restore(tmp_path))[0], want[5:])


@pytest.mark.parametrize("tier", ["device", "host"])
def test_a_late_model_goes_on(tier, tmp_path):
    """Its carry only takes its shape with the first chunk."""
    session = tiny_session(worldkv(compression=PRUNED, tier=tier), LENGTH, backbone=LaggingBackbone())
    want, _ = roll(session, session.start(), seed=3)
    grow(session, tmp_path, 5)
    for at in (0, 1, 5):
        assert_same(roll(session, session.restore(tmp_path, at=at), seed=3)[0], want[at:])


def test_two_worlds_go_on(tmp_path):
    session = tiny_session(CONFIGS["device_slots, in int8"], 7, worlds=2)
    want, _ = roll(session, session.start())
    grow(session, tmp_path, 4, seed=0)
    assert_same(roll(session, session.restore(tmp_path))[0], want[4:])


def test_a_longer_rollout_goes_on_with_a_shorter_ones_world(tmp_path):
    short, long = (tiny_session(CONFIGS["device"], chunks) for chunks in (5, LENGTH))
    grow(short, tmp_path, 5, seed=0)
    want, _ = roll(long, long.start(), views(LENGTH))
    inputs = short.inputs() + [ro.ChunkInput(views(LENGTH)[0].cameras)] * 4
    wide, _ = roll(long, long.start(), inputs)
    assert_same(roll(long, long.restore(tmp_path), inputs[5:])[0], wide[5:])
    assert len(want) == LENGTH


def test_stored_chunks_and_repeated_inputs_are_written_once(tmp_path, monkeypatch):
    session = tiny_session(CONFIGS["device_slots, in int8"], LENGTH)
    read, bank = [], type(session.start().memory.bank)
    real = bank.read
    monkeypatch.setattr(bank, "read", lambda self, slot: read.append(slot) or real(self, slot))
    same = [views(LENGTH)[0]] * LENGTH
    with session.saving(tmp_path, every=1) as saver:
        roll(session, session.start(), same, keeper=saver)
    assert sorted(read) == list(range(len(set(read))))
    sizes = WorldFolder(tmp_path).bytes_by_part()
    assert sizes["inputs"] == same[0].cameras.nbytes
    files = {path.name for path in (tmp_path / "arrays").iterdir()}
    assert len(files) == len(set(WorldFolder(tmp_path).manifest.refs()))


def test_one_world_is_saved_at_once_and_again(tmp_path):
    session = tiny_session(CONFIGS["device"], LENGTH)
    want, _ = roll(session, session.start())
    inputs = session.inputs()
    _, world = roll(session, session.start(), inputs[:3])
    session.save(world, tmp_path, key=key_of(0))
    _, world = roll(session, world, inputs[3:6])
    session.save(world, tmp_path)
    for at in (3, 6):
        assert_same(roll(session, session.restore(tmp_path, at=at))[0], want[at:])
    with pytest.raises(
        ValueError, match=r"what chunk 3 was given, so only its points can be restored: chunks \[3, 6\]"
    ):
        session.restore(tmp_path, at=5)
    other, _ = session.fork(session.restore(tmp_path, at=3))
    _, other = roll(session, other, views(LENGTH, seed=5)[3:7])
    with pytest.raises(ValueError, match=r"chunk 3 in .* is another one: the world is another branch"):
        session.save(other, tmp_path)
    with pytest.raises(ValueError, match="ends at chunk 6, and the world is at chunk 3"):
        session.save(session.restore(tmp_path, at=3), tmp_path)


def test_a_branch_has_its_own_folder_and_the_same_files(tmp_path):
    session = tiny_session(CONFIGS["host"], LENGTH)
    grow(session, tmp_path / "a", 6)
    branch(tmp_path / "a", tmp_path / "b", 3)
    others = views(LENGTH, seed=9)
    with session.saving(tmp_path / "b", every=2) as saver:
        want, _ = roll(session, session.restore(tmp_path / "a", at=3), others[3:7], keeper=saver)
    got, _ = roll(session, session.restore(tmp_path / "b", at=3), others[3:7], seed=3)
    assert_same(got, want)
    folder = WorldFolder(tmp_path / "b")
    assert folder.verify() and folder.manifest.parents == [{"folder": str((tmp_path / "a").resolve()), "chunk": 3}]
    assert sorted(folder.manifest.points) == [2, 3, 4, 6, 7]
    shared = {path.name for path in (tmp_path / "a/arrays").iterdir() if path.stat().st_nlink == 2}
    assert shared and WorldFolder(tmp_path / "a").verify()
    with pytest.raises(ValueError, match="holds a world already"):
        branch(tmp_path / "a", tmp_path / "b")


def test_pruning_drops_points_and_what_only_they_need(tmp_path):
    session = tiny_session(CONFIGS["host, drop oldest"], LENGTH)
    want, _ = roll(session, session.start(), seed=3)
    grow(session, tmp_path, LENGTH - 1, every=1)
    (tmp_path / "arrays" / ("0" * 64 + ".npy")).write_bytes(b"rest of a point that never was")
    freed = prune(tmp_path, every=4)
    folder = WorldFolder(tmp_path)
    assert freed > 0 and sorted(folder.manifest.points) == [4, 8] and folder.verify()
    for at in (2, 6, 8):
        assert_same(roll(session, session.restore(tmp_path, at=at), seed=3)[0], want[at:])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with a world of five chunks."""
    path = tmp_path_factory.mktemp("saved") / "world"
    grow(tiny_session(CONFIGS["device"], LENGTH), path, 5)
    return path


OTHERS = {
    "weights": (dict(params=BACKBONE.init_params(1)), r"weights: \w+ there, \w+ here"),
    "profile": (
        dict(memory=worldkv(compression=PRUNED, chunks=3)),
        r"memory\.retrieval\.chunks: 2 there, 3 here; give `retrieve` 2",
    ),
    "precision": (dict(memory=worldkv(compression=PRUNED, storage="int8")), "memory.bank.storage: model there, int8"),
    "mode": (dict(memory=CONFIGS["sliding"]), "memory.mode: worldkv there, sliding here"),
    "schedule": (
        dict(backbone=dataclasses.replace(BACKBONE, schedule=ro.shifted_schedule(3, shift=3.0))),
        r"backbone\.schedule\.times: .* there, .* here",
    ),
    "model": (
        dict(backbone=LaggingBackbone()),
        r"backbone: .*there|backbone\.is: TinyBackbone there, LaggingBackbone here",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_world_of_something_else_is_refused_with_both_values(name, saved):
    options, says = OTHERS[name]
    session = tiny_session(**{"memory": CONFIGS["device"], "chunks": LENGTH, **options})
    with pytest.raises(ValueError, match=says):
        session.restore(saved)
    with (
        pytest.raises(ValueError, match="is a world of something else"),
        session.saving(saved) as saver,
    ):
        roll(session, session.start(), keeper=saver)


def test_other_seeds_and_other_ends_are_refused(saved):
    session = tiny_session(CONFIGS["device"], LENGTH)
    with pytest.raises(ValueError, match=r"key .*3.*, got .*4.*: give the same seed"), session.saving(saved) as saver:
        roll(session, session.restore(saved), seed=4, keeper=saver)
    with (
        pytest.raises(ValueError, match="ends at chunk 5, and the world is at chunk 2"),
        session.saving(saved) as saver,
    ):
        roll(session, session.restore(saved, at=2), seed=3, keeper=saver)
    with pytest.raises(ValueError, match="holds a world of 5 chunks; chunk 6 is not there"):
        session.restore(saved, at=6)
    for place in (saved.parent / "nowhere", saved / "world.json"):
        with pytest.raises(FileNotFoundError, match="holds no world"):
            session.restore(place)


def test_two_writers_at_once_are_refused(saved):

    with (
        writing(saved),
        pytest.raises(ValueError, match=f"is being written by process {os.getpid()} on "),
        writing(saved),
    ):
        pass
    with writing(saved):
        pass


def changed(manifest: dict, name: str) -> None:
    if name == "newer":
        manifest["version"] = 99
    elif name == "format":
        manifest["format"] = "something"
    elif name == "edited":
        manifest["key"]["data"][1] += 1
    else:
        if name == "no points":
            del manifest["points"]
        elif name == "nobody's":
            del manifest["identity"]["worlds"]
        elif name == "not stored":
            next(iter(manifest["points"].values()))["slots"][0] = 99
        elif name == "no number":
            manifest["room"] = float("nan")
        else:
            manifest["inputs"]["0"]["cameras"][0] = "../" * 20 + "etc"
        signed = {name: value for name, value in manifest.items() if name not in ("format", "version", "sha256")}
        manifest["sha256"] = hashlib.sha256(json.dumps(signed, sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("newer", "format 99, and this program reads up to 1: update"),
        ("format", "is a 'something'"),
        ("edited", r"world\.json of .* was changed: its checksum is another"),
        ("no points", "is damaged"),
        ("nobody's", "is damaged"),
        ("not stored", "is damaged"),
        ("no number", "is damaged"),
        ("path", "is no checksum"),
        ("truncated", "is damaged"),
        ("missing array", "is missing: the world is not whole"),
        ("truncated array", "is damaged"),
        ("other array", "expected"),
    ],
)
def test_damage_is_named(name, says, tmp_path):
    session = tiny_session(CONFIGS["device"], LENGTH)
    grow(session, tmp_path, 5)
    path = tmp_path / "world.json"
    manifest = json.loads(path.read_text())
    array = tmp_path / "arrays" / (manifest["points"]["5"]["state"]["window/ring/keys"][0] + ".npy")
    if name == "truncated":
        path.write_text(path.read_text()[:200])
    elif name == "missing array":
        array.unlink()
    elif name == "truncated array":
        array.write_bytes(array.read_bytes()[:-8])
    elif name == "other array":
        np.save(array, np.zeros((2, 2)))
    else:
        changed(manifest, name)
        path.write_text(json.dumps(manifest))
    with pytest.raises((ValueError, OSError), match=says):
        session.restore(tmp_path)


def test_a_changed_number_is_found(tmp_path):
    session = tiny_session(CONFIGS["device"], LENGTH)
    grow(session, tmp_path, 5)
    folder = WorldFolder(tmp_path)
    array = tmp_path / "arrays" / (folder.manifest.stored[2][0]["keys"].sha256 + ".npy")
    bits = bytearray(array.read_bytes())
    bits[-1] ^= 1
    array.write_bytes(bits)
    for look in (folder.verify, lambda: session.restore(tmp_path)):
        with pytest.raises(ValueError, match="was changed"):
            look()


def test_a_world_without_frames_goes_on_without_them(tmp_path):
    without, session = (tiny_session(CONFIGS["device"], LENGTH, decode=decode) for decode in (False, True))
    grow(without, tmp_path, 4)
    want, _ = roll(without, without.start(), seed=3)
    assert_same(roll(without, without.restore(tmp_path), seed=3)[0], want[4:])
    with pytest.raises(ValueError, match="was made without frames"):
        session.restore(tmp_path)
    made, _ = roll(session, session.restore(tmp_path, at=0), seed=3)
    assert made[-1].frames is not None


def test_another_branch_is_refused(tmp_path):
    session = tiny_session(CONFIGS["device"], LENGTH)
    grow(session, tmp_path, 4)
    _, other = roll(session, session.start(), views(LENGTH, seed=8)[:5], seed=3)
    with pytest.raises(ValueError, match="the world is another branch"), session.saving(tmp_path, every=1) as saver:
        roll(session, other, views(LENGTH, seed=8)[5:], seed=3, keeper=saver)
    assert WorldFolder(tmp_path).manifest.end == 4


def test_drafts_of_a_writer_that_was_killed_go(tmp_path):
    session = tiny_session(CONFIGS["device"], LENGTH)
    grow(session, tmp_path, 3)
    drafts = [tmp_path / "world.draft-0123.json", tmp_path / "arrays" / f"{'0' * 64}.draft.npy"]
    for draft in drafts:
        draft.write_bytes(b"half")
    with writing(tmp_path):
        assert not any(draft.exists() for draft in drafts)


def test_other_files_in_a_worlds_folder_are_left_alone(tmp_path):
    (tmp_path / "letters.draft").mkdir()
    (tmp_path / "arrays").mkdir()
    mine = [tmp_path / name for name in ("thesis.draft.tex", "letters.draft/a.draft", "arrays/mine.npy")]
    for file in mine:
        file.write_text("mine")
    session = tiny_session(CONFIGS["device"], LENGTH)
    grow(session, tmp_path, 3)
    prune(tmp_path)
    assert all(file.read_text() == "mine" for file in mine)
    assert WorldFolder(tmp_path).manifest.end == 3


def test_a_lock_of_something_else_is_not_taken(tmp_path):
    (tmp_path / "lock").write_text("of another program")
    with pytest.raises(ValueError, match="lock is a file of something else; name another folder"):
        grow(tiny_session(CONFIGS["device"], LENGTH), tmp_path, 1)
    assert (tmp_path / "lock").read_text() == "of another program"


def test_without_room_the_rollout_goes_on_and_the_saving_stops(tmp_path, monkeypatch):
    session = tiny_session(CONFIGS["host"], LENGTH)
    want, _ = roll(session, session.start())
    said = []
    with session.saving(tmp_path, every=1, stopped=said.append) as saver:
        put, count = saver.folder.store.put, []

        def full(array):
            count.append(1)
            if len(count) > 60:
                raise OSError(errno.ENOSPC, "No space left on device")
            return put(array)

        monkeypatch.setattr(saver.folder.store, "put", full)
        made, _ = roll(session, session.start(), keeper=saver)
    assert_same(made, want)
    assert saver.failed.errno == errno.ENOSPC and said == [saver.failed]
    end = WorldFolder(tmp_path).manifest.end
    assert 0 < end < LENGTH and WorldFolder(tmp_path).verify()
    assert_same(roll(session, session.restore(tmp_path))[0], want[end:])


def test_a_point_is_written_when_its_chunk_is_done_with(tmp_path):
    session = tiny_session(CONFIGS["device"], LENGTH)
    with pytest.raises(KeyboardInterrupt), session.saving(tmp_path, every=1) as saver:
        for chunk in session.stream(session.start(), keeper=saver):
            if chunk.index == 3:
                raise KeyboardInterrupt
    assert WorldFolder(tmp_path).manifest.end == 3


def test_a_restored_world_takes_no_second_compilation(tmp_path):
    session = tiny_session(CONFIGS["device_slots, in int8"], LENGTH, params=jax.device_put(PARAMS, jax.devices()[0]))
    grow(session, tmp_path, 5)
    world = session.restore(tmp_path)
    compiled.clear()
    roll(session, world, seed=3)
    roll(session, session.restore(tmp_path, at=3), seed=3)
    assert not [name for name in compiled if "_generate" in name or "_step" in name or "_decode" in name]


@pytest.mark.long
@pytest.mark.parametrize(
    "tier", ["device_slots", *(pytest.param(t, marks=pytest.mark.slow) for t in ("device", "host"))]
)
def test_a_world_goes_on_over_many_devices(tier, tmp_path):
    """Heads over two devices, worlds over two: saved there, gone on with there and on one device."""
    mesh = jax.make_mesh((2, 2), ("data", "model"), devices=jax.devices()[:4], axis_types=(AxisType.Auto,) * 2)
    session = open_model("demo-world", trajectory="R60_L60", worlds=2).check(MemoryOptions(retrieve=1, tier=tier))
    alone, spread = session.load(), session.load(mesh)
    want, _ = roll(spread, spread.start())
    with spread.saving(tmp_path, every=2) as saver:
        roll(spread, spread.start(), spread.inputs()[:3], keeper=saver)
    assert_same(roll(spread, spread.restore(tmp_path))[0], want[3:])
    ours, _ = roll(alone, alone.restore(tmp_path))
    for a, b in zip(ours, want[3:], strict=True):
        np.testing.assert_allclose(a.latents, b.latents, atol=2e-4)
