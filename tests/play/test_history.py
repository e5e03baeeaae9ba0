"""Branches of what was done: forked, rewound, named, written down and read again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldkv_jax.play.history import MOST_BRANCHES, Tree
from worldkv_jax.play.points import Moment, Points
from worldkv_jax.sessions.steering import Controls

LEFT, RIGHT = Controls((("j",),) * 3), Controls((("l",),) * 3)


def grown(*controls, tree=None):
    tree = tree or Tree(1, ["default"])
    for one in controls:
        tree.append(one)
    return tree


def test_branches_share_the_marks_of_their_past_and_no_others():
    tree = grown(LEFT, LEFT, RIGHT)
    before = list(tree.history.marks)
    tree.fork(2)
    grown(LEFT, tree=tree)
    assert tree.history.marks[:3] == before[:3] and tree.history.marks[3] != before[3]
    tree.switch(0)
    assert tree.history.marks == before


def test_other_seeds_and_memories_are_other_worlds():
    worlds = (1, ["a"]), (2, ["a"]), (1, ["b"]), (1, ["a", "b"])
    trees = [grown(LEFT, tree=Tree(seed, names)) for seed, names in worlds]
    assert len({tree.history.marks[1] for tree in trees}) == 4
    tree = grown(LEFT, RIGHT)
    tree.remember_with(["a", "b"])
    assert tree.history.marks[1] == trees[3].history.marks[1]


def test_a_rewound_branch_leaves_those_that_began_on_it():
    tree = grown(LEFT, LEFT, RIGHT)
    tree.fork()
    grown(RIGHT, tree=tree)
    tree.switch(0)
    tree.rewind(1)
    assert len(tree.history) == 1 and len(tree.branches[1].history) == 4


def test_moments_have_names():
    tree = grown(LEFT, RIGHT)
    tree.save("here")
    tree.rewind(0)
    tree.restore("here")
    assert tree.current == 1 and len(tree.history) == 2
    with pytest.raises(ValueError, match="here"):
        tree.restore("there")


def test_what_cannot_be_is_refused():
    tree = grown(LEFT)
    for change in (["fork", 2], ["rewind", -1], ["switch", 5], ["restore", "x"], ["dance"], [], ["chunk", 3]):
        with pytest.raises(ValueError):
            tree.apply(change)
    for _ in range(MOST_BRANCHES - 1):
        tree.fork()
    with pytest.raises(ValueError, match="no more are kept"):
        tree.fork()


_CHANGES = st.one_of(
    st.tuples(st.just("chunk"), st.sampled_from([LEFT.to_json(), RIGHT.to_json()])),
    st.tuples(st.just("fork"), st.none() | st.integers(0, 6)),
    st.tuples(st.just("switch"), st.integers(0, 4)),
    st.tuples(st.just("rewind"), st.integers(0, 6)),
    st.tuples(st.just("reset"), st.integers(0, 9)),
    st.tuples(st.just("memory"), st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2)),
    st.tuples(st.sampled_from(["save", "restore"]), st.sampled_from(["x", "y"])),
)


@given(st.lists(_CHANGES, max_size=30))
def test_what_was_written_down_makes_the_same_tree(changes):
    tree, written = Tree(1, ["a"]), []
    for change in changes:
        try:
            tree.apply(change)
        except ValueError:
            continue
        written.append(change)
    again = Tree(1, ["a"])
    for change in written:
        again.apply(change)
    assert again.marks() == tree.marks() and again.current == tree.current


@given(st.integers(2, 6), st.lists(st.sampled_from(["here", "there"]), max_size=60))
def test_points_are_few_and_keep_the_beginning_and_the_latest(most, moves):
    points, histories = Points(most), {"here": ["root"], "there": ["root"]}
    points.put("root", Moment((), None))
    for number, name in enumerate(moves):
        histories[name].append(f"{name}{number}")
        points.put(histories[name][-1], Moment((), None))
        points.thin(histories[name])
        assert len(points) <= most
        assert "root" in points and histories[name][-1] in points
