"""Time lines: going back and on again is never having gone further; branches never change each other."""

import gc

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.memory.walks import worldkv
from tests.rollout.test_lag import LaggingBackbone
from tests.rollout.worlds import BACKBONE, LENGTH, noise, views
from tests.sessions.tiny import assert_same, roll, tiny_session
from worldkv_jax import memory as wm
from worldkv_jax.sessions import TimeLine

PRUNED = wm.CompressionConfig(keep_ratio=0.5)
CONFIGS = {
    "device": worldkv(compression=PRUNED, storage="int8"),
    "device_slots": worldkv(compression=PRUNED, tier="device_slots"),
    "pinned_host": worldkv(compression=PRUNED, tier="pinned_host"),
    "host, drop oldest": worldkv(capacity=4, when_full="drop_oldest", tier="host"),
    "device_slots, drop most redundant": worldkv(capacity=3, when_full="drop_most_redundant", tier="device_slots"),
    "sliding": wm.MemoryConfig(mode="sliding", recent_frames=5),
}


@pytest.mark.parametrize("points", ["device", "host"])
@pytest.mark.parametrize("name", CONFIGS)
def test_going_back_and_on_is_never_having_gone_further(name, points):
    session, timeline = tiny_session(CONFIGS[name], LENGTH), TimeLine(every=3, points=points)
    want, _ = roll(session, session.start(), keeper=timeline)
    assert timeline.points == [0, 3, 6, 9] and timeline.end == LENGTH
    for chunk in (6, 5, 0, 3, 8):
        made, _ = roll(session, session.rewind(timeline, chunk), session.inputs()[chunk:])
        assert_same(made, want[chunk:])
    others = views(LENGTH, seed=4)
    away, _ = roll(session, session.rewind(timeline, 4), others[4:], keeper=timeline)
    assert timeline.points == [0, 3, 6, 9]
    again, _ = roll(session, session.rewind(timeline, 5), others[5:], keeper=timeline)
    assert_same(again, away[1:])
    assert_same(roll(session, session.rewind(timeline, 2))[0][:2], want[2:4])


def test_points_share_their_chunks_and_may_lie_on_the_host():
    session, timeline = tiny_session(CONFIGS["device_slots"], LENGTH), TimeLine(every=2, points="host")
    _, world = roll(session, session.start(), keeper=timeline)
    back = timeline.before(4)
    slots = [slot for slot in back.memory.bank.slots if slot is not None]
    assert len(slots) == 3 and all(a is b for a, b in zip(slots, world.memory.bank.slots))
    assert int((back.memory.bank.index.chunks >= 0).sum()) == 3, "later chunks are not in the index"


def test_a_late_model_and_noise_that_is_given():
    session, timeline = tiny_session(worldkv(tier="host"), LENGTH, backbone=LaggingBackbone()), TimeLine(every=3)
    want, _ = roll(session, session.start(), noise=noise, keeper=timeline)
    made, _ = roll(session, session.rewind(timeline, 5), noise=noise)
    assert_same(made, want[5:])


def test_what_cannot_be_is_said():
    session, timeline = tiny_session(CONFIGS["device"], LENGTH), TimeLine()
    with pytest.raises(ValueError, match="cannot go back to chunk 0: nothing was recorded"):
        session.rewind(timeline, 0)
    _, world = roll(session, session.start(), session.inputs()[:4], keeper=timeline)
    with pytest.raises(ValueError, match="it knows chunks 0 to 4"):
        session.rewind(timeline, 5)
    with pytest.raises(ValueError, match=r"chunk=1\.5 is no whole number"):
        session.rewind(timeline, 1.5)
    _, world = roll(session, world, session.inputs()[4:6])
    with pytest.raises(ValueError, match="the time line ends at chunk 4, and the world is at chunk 6"):
        next(session.stream(world, keeper=timeline))
    with pytest.raises(ValueError, match="at least 1 chunk"):
        TimeLine(every=0)
    with pytest.raises(ValueError, match="'device' or 'host'"):
        TimeLine(points="disk")
    with pytest.raises(ValueError, match="6 chunks and the whole path 5: nothing is left"):
        next(tiny_session(CONFIGS["device"], 5).stream(world))


TURNS = [views(LENGTH, seed=seed) for seed in range(2)]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("step"), st.integers(0, 9), st.integers(0, 1)),
        st.tuples(st.just("fork"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("rewind"), st.integers(0, 9), st.integers(0, LENGTH)),
    ),
    min_size=4,
    max_size=16,
)


@pytest.fixture(scope="module")
def alone():
    """Latents of a world that was given these turns and nothing else, one row a chunk."""
    known = {}

    def make(tier: str, turns: tuple[int, ...]) -> np.ndarray:
        if (tier, turns) not in known:
            session = tiny_session(worldkv(compression=PRUNED, tier=tier), LENGTH, decode=False)
            inputs = [TURNS[turn][chunk] for chunk, turn in enumerate(turns)]
            made, _ = roll(session, session.start(), inputs)
            for upto in range(1, len(made) + 1):
                known[tier, turns[:upto]] = np.asarray(made[upto - 1].latents)
        return known[tier, turns]

    return make


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, tier=st.sampled_from(["device", "device_slots", "host"]))
def test_no_branch_changes_another(steps, tier, alone):
    """Random trees of steps, forks and rewinds: each branch is what its own inputs make."""
    session = tiny_session(worldkv(compression=PRUNED, tier=tier), LENGTH, decode=False)
    branches, recorded = [(session.start(), TimeLine(every=2), ())], {}
    for what, which, number in steps:
        at = which % len(branches)
        world, timeline, turns = branches[at]
        if what == "fork":
            world, other = session.fork(world)
            branches[at] = world, timeline, turns
            branches.append((other, TimeLine(every=2), turns))
        elif what == "rewind":
            chunk = min(number, timeline.end)
            if timeline.points and timeline.points[0] <= chunk:
                branches[at] = session.rewind(timeline, chunk), timeline, recorded[timeline][:chunk]
        elif len(turns) < LENGTH:
            made, world = roll(session, world, [TURNS[number][len(turns)]], keeper=timeline)
            branches[at] = world, timeline, (*turns, number)
            recorded[timeline] = (*turns, number)
            np.testing.assert_array_equal(made[0].latents, alone(tier, (*turns, number)))
    for world, _, turns in branches:
        if len(turns) < LENGTH:
            made, _ = roll(session, world, [TURNS[0][len(turns)]])
            np.testing.assert_array_equal(made[0].latents, alone(tier, (*turns, 0)))


def test_a_thousand_forks_hold_one_window_each_at_most():
    session = tiny_session(CONFIGS["device_slots"], LENGTH)
    _, world = roll(session, session.start(), session.inputs()[:6])
    gc.collect()  # what other tests left must not go meanwhile
    before = sum(a.nbytes for a in jax.live_arrays())
    branches = session.fork(world, 20)
    ended = [roll(session, branch, views(LENGTH)[6:7])[1] for branch in branches]
    own = sum(a.nbytes for a in jax.live_arrays()) - before
    memory = world.memory
    parts = (memory.window, memory.bank.index, world.carry, world.decoder, memory.chunk, world.position)
    stored = memory.bank.layout.chunk_bytes
    frames = BACKBONE.latent_shape
    allowed = sum(leaf.nbytes for leaf in jax.tree.leaves(parts)) + stored
    assert len(ended) == 20 and own <= 20 * allowed + 20 * 4 * np.prod(frames)
