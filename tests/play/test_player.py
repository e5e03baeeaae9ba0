"""A played world: bit for bit the same however one comes to a moment."""

import numpy as np
import pytest

from tests.play.tiny import tiny_game
from worldkv_jax.play import session_file
from worldkv_jax.play.history import Tree
from worldkv_jax.play.player import POINT_EVERY, Player
from worldkv_jax.play.store import PointToKeep, Shelf, Shown
from worldkv_jax.sessions.steering import Controls

MEMORIES = ("default", "window")


def hold(*keys, frames=3):
    return Controls((keys,) * frames)


PATH = [hold("l")] * 6 + [hold("w")] + [hold("j")] * 5


@pytest.fixture(scope="module")
def walked(game):
    """A player that walked, and what it made."""
    player = Player(game, Tree(7, MEMORIES))
    return player, [player.step(controls) for controls in PATH]


def sums(chunk):
    return [lane.latents for lane in chunk.lanes]


def test_lanes_show_the_same_chunks_under_their_own_memories(walked):
    player, made = walked
    default, window = made[-1].lanes
    assert default.picks and not window.picks and default.latents != window.latents
    assert [chunk.index for chunk in made] == list(range(player.first, player.position)) and player.first == 1


def test_the_same_controls_make_the_same_world(game, walked):
    again = Player(game, Tree(7, MEMORIES))
    assert [sums(again.step(controls)) for controls in PATH] == [sums(chunk) for chunk in walked[1]]
    alone = Player(game, Tree(7, MEMORIES[:1]))
    assert [sums(alone.step(controls)) for controls in PATH[:3]] == [sums(chunk)[:1] for chunk in walked[1][:3]]


def test_a_fork_changes_nothing_elsewhere(walked):
    player, made = walked
    player.tree.switch(0)
    player.tree.fork(5)
    (*_, last) = player.make_current()
    assert sums(last) == sums(made[4])
    other = player.step(hold("a"))
    assert sums(other) != sums(made[5]) and other.branch == player.tree.current
    player.tree.switch(0)
    (*_, last) = player.make_current()
    assert sums(last) == sums(made[-1])
    assert np.array_equal(last.lanes[0].frames, made[-1].lanes[0].frames)


def test_a_rewound_world_goes_on_as_it_did(walked):
    player, made = walked
    player.tree.switch(0)
    player.tree.save("end")
    player.tree.rewind(9)
    remade = list(player.make_current())
    assert len(remade) == 9 - POINT_EVERY and sums(remade[-1]) == sums(made[8])
    for controls, chunk in zip(PATH[9:], made[9:], strict=True):
        assert sums(player.step(controls)) == sums(chunk)
    player.tree.restore("end")
    assert sums(list(player.make_current())[-1]) == sums(made[-1])
    player.tree.switch(0)
    list(player.make_current())


def test_another_memory_is_the_world_that_it_would_have_made(game, walked):
    player = Player(game, Tree(7, ("window",)))
    made = [player.step(controls) for controls in PATH[:3]]
    assert sums(made[-1]) == [sums(walked[1][2])[1]]
    player.tree.remember_with(MEMORIES)
    remade = list(player.make_current())
    assert [sums(chunk) for chunk in remade] == [sums(chunk) for chunk in walked[1][:3]]


def test_unknown_keys_change_nothing(walked):
    player, _ = walked
    position = player.position
    with pytest.raises(ValueError, match="unknown keys"):
        player.step(hold("q"))
    assert player.position == position


def test_a_world_goes_on_after_a_defect(game, walked, monkeypatch):
    """A lane that failed, while another had gone on already, is made again."""
    player = Player(game, Tree(7, MEMORIES))
    for controls in PATH[:2]:
        player.step(controls)

    def broken(self, given):
        raise RuntimeError("no memory")

    window = player._lanes[1]
    monkeypatch.setattr(window, "step", broken.__get__(window))
    with pytest.raises(RuntimeError):
        player.step(PATH[2])
    assert player.position == player.first + 2
    assert sums(player.step(PATH[2])) == sums(walked[1][2])


def test_a_full_memory_says_what_to_do():
    player = Player(tiny_game(full=2), Tree(1, ("full",)))
    player.step(hold())
    assert "full memory is full after 2 chunks" in player.full
    with pytest.raises(ValueError, match="go back in time"):
        player.step(hold())


def test_a_world_comes_back_from_disk(game, walked, tmp_path):
    player, made = walked
    player.tree.switch(0)
    list(player.make_current())
    shelf, name = Shelf(tmp_path, game), "a secret name"
    book = shelf.new(name, Tree(7, MEMORIES))
    for controls, chunk in zip(PATH, made, strict=True):
        book.write(["chunk", controls.to_json()])
        book.write_shown(chunk.mark, Shown([0.0, 0.0, 0.0], b"picture", chunk.lanes[0].latents, []))
    chunks, moment = player.latest_point()
    assert chunks == POINT_EVERY
    book.save_point(PointToKeep.of(player.tree, chunks, moment))
    book.write(["fork", 3])
    book.write(["switch", 0])
    with open(next(tmp_path.glob("*/journal.jsonl")), "a") as journal:
        journal.write('["chunk", [[["l"')  # the process was killed while it wrote
    assert name not in str(list(tmp_path.rglob("*")))

    book = Shelf(tmp_path, game).find(name)
    found = book.read()
    assert len(found.tree.history) == len(PATH) and len(found.tree.branches) == 2
    assert found.point[0] == POINT_EVERY and found.shown[made[0].mark].thumbnail == b"picture"
    back = Player(game, found.tree)
    back.add_point(found.point[0], book.load_point(back, found.point))
    remade = list(back.make_current())
    assert len(remade) == len(PATH) - POINT_EVERY and sums(remade[-1]) == sums(made[-1])
    assert sums(back.step(hold("d"))) == sums(walked[0].step(hold("d")))
    walked[0].tree.rewind(len(PATH))
    list(walked[0].make_current())


def test_a_later_point_takes_the_place_of_the_one_before(game, tmp_path):
    player, shelf = Player(game, Tree(3, ("window",))), Shelf(tmp_path, game)
    book = shelf.new("x", player.tree)
    for chunk in range(2 * POINT_EVERY + 1):
        controls = hold("l" if chunk % 2 else "w")
        player.step(controls)
        book.write(["chunk", controls.to_json()])
        if chunk % POINT_EVERY == 0 and chunk:
            book.save_point(PointToKeep.of(player.tree, *player.latest_point()))
    assert len(list(tmp_path.glob("*/points-*"))) == 1
    book = shelf.find("x")
    found = book.read()
    assert found.point[0] == 2 * POINT_EVERY
    back = Player(game, found.tree)
    assert int(book.load_point(back, found.point).worlds[0].position) == player.first + 2 * POINT_EVERY
    shelf.remove("x")
    assert shelf.find("x") is None


def test_a_session_file_says_what_was_done(game, walked):
    player, made = walked
    shown = {chunk.mark: Shown([], b"", chunk.lanes[0].latents, []) for chunk in made}
    data = session_file.write(game, player.tree, shown)
    read = session_file.read(game, data)
    assert read.controls == tuple(PATH) and read.seed == 7 and read.memories == MEMORIES
    assert read.latents == tuple(chunk.lanes[0].latents for chunk in made)
    changes = {"model": "x"}, {"controls": [[1]]}, {"memories": ["nothing"]}, {"seed": -1}, {"latents": 3}
    for wrong in ({}, *(data | change for change in changes)):
        with pytest.raises(ValueError):
            session_file.read(game, wrong)
    with pytest.raises(ValueError, match="session file of a rollout; `worldkv replay FILE`"):
        session_file.read(game, {"format": "worldkv-jax session", "version": 1})
