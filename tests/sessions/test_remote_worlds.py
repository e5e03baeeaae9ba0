"""World folders at URLs: saved, gone on with, branched and pruned as on a disk."""

import uuid

import pytest

from tests.memory.walks import worldkv
from tests.sessions.tiny import assert_same, roll, tiny_session
from worldkv_jax.sessions import WorldFolder
from worldkv_jax.sessions.world_files import open_files
from worldkv_jax.sessions.world_folder import branch, prune, writing

LENGTH = 6


@pytest.fixture(params=["memory", "file", "path"])
def place(request, tmp_path) -> str:
    """A place that holds nothing yet."""
    return {"memory": f"memory://{uuid.uuid4()}", "file": f"file://{tmp_path}/world", "path": str(tmp_path / "world")}[
        request.param
    ]


def grow(session, place: str, chunks: int):
    with session.saving(place, every=2) as saver:
        made, _ = roll(session, session.start(), session.inputs()[:chunks], seed=3, keeper=saver)
    assert saver.failed is None
    return made


def test_a_world_goes_on_from_anywhere(place):
    session = tiny_session(worldkv(tier="host"), LENGTH)
    want, _ = roll(session, session.start(), seed=3)
    assert_same(grow(session, place, 3), want[:3])
    for at in (3, 1):
        assert_same(roll(session, session.restore(place, at=at), seed=3)[0], want[at:])
    with session.saving(place, every=2) as saver:
        made, _ = roll(session, session.restore(place), keeper=saver)
    assert_same(made, want[3:])
    folder = branch(place, place + "-branch", 4)
    assert folder.manifest.parents == [{"folder": open_files(place).place, "chunk": 4}] and folder.verify()
    assert_same(roll(session, session.restore(place + "-branch"), seed=3)[0], want[4:])
    prune(place, every=6)
    folder = WorldFolder(place)
    assert sorted(folder.manifest.points) == [6] and folder.verify()
    arrays = {name for name in folder.files.names() if name.startswith("arrays/")}
    assert len(arrays) == len(set(folder.manifest.refs()))


def test_of_two_writers_the_later_one_stops_and_goes_on(tmp_path):
    """A key-value store has no lock that ends with its holder."""
    place = f"file://{tmp_path}/world"
    session = tiny_session(worldkv(tier="host"), LENGTH)
    grow(session, place, 2)
    with session.saving(place, every=1) as first:
        with session.saving(place, every=1) as second:
            roll(session, session.restore(place), session.inputs()[2:4], seed=3, keeper=second)
        made, _ = roll(session, session.restore(place, at=2), session.inputs()[2:], seed=3, keeper=first)
    assert second.failed is None and len(made) == LENGTH - 2
    assert "is written by another process as well, latest by process" in str(first.failed)
    assert WorldFolder(place).manifest.end == 4 and WorldFolder(place).verify()


def test_a_place_that_is_none_is_named(tmp_path):
    session = tiny_session(worldkv(tier="host"), LENGTH)
    with pytest.raises(ValueError, match="nowhere://world is no place that TensorStore opens"):
        session.save(session.start(), "nowhere://world")
    with pytest.raises(FileNotFoundError, match="holds no world"), writing(f"file://{tmp_path}/none"):
        pass
