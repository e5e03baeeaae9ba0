"""Worlds as environments of gymnasium, on the demo world: the checker, seeds, ends and resets of single worlds."""

import numpy as np
import pytest

gym = pytest.importorskip("gymnasium", reason="extra `gym`")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from worldkv_jax.environments import CameraControl, ChoiceControl, WorldEnv, WorldVectorEnv  # noqa: E402
from worldkv_jax.sessions import open_model  # noqa: E402
from worldkv_jax.sessions.memory_options import MemoryOptions  # noqa: E402

CHUNKS = 3


@pytest.fixture(scope="module")
def session():
    memory = MemoryOptions(sink=0, recent=3, retrieve=1)
    session = open_model("demo-world", trajectory="R80", degrees_per_frame=10.0).check(memory).load()
    assert session.chunks == CHUNKS
    return session


@pytest.mark.long
def test_the_environment_passes_the_checker(session):
    check_env(WorldEnv(session, render_mode="rgb_array"), skip_render_check=True)


def walked(env, seed, actions):
    seen = [env.reset(seed=seed)[0]]
    return seen + [env.step(action)[0] for action in actions]


def test_seeds_and_actions_decide_the_world(session):
    env, turn, stand = WorldEnv(session), np.float32([0, 0, 1]), np.float32([0, 0, 0])
    first = walked(env, 7, [turn, turn])
    assert all((a == b).all() for a, b in zip(first, walked(env, 7, [turn, turn])))
    assert (first[0] != walked(env, 8, [turn])[0]).any() and (first[1] != walked(env, 7, [stand])[1]).any()
    steer = CameraControl().begin(3)
    poses = np.stack([steer(action) for action in (stand, turn, turn)]).reshape(-1, 4, 4)
    *_, last = session.stream(session.start(), session.inputs(poses), seed=7)
    np.testing.assert_array_equal(first[2], np.round(last.frames[0, -1] * 255).astype(np.uint8))


def test_an_episode_is_cut_when_its_chunks_are_made(session):
    env = WorldEnv(session)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(env.control.rest)
    env.reset(seed=0)
    assert env.step(env.control.rest)[3] is False
    *_, cut, info = env.step(env.control.rest)
    assert cut and info["chunk"] == 2 and info["frames"].shape == (3, 32, 48, 3) and info["retrieved"].tolist() == [0]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(env.control.rest)


def test_worlds_of_a_batch_are_those_alone_and_end_by_themselves(session):
    worlds, rng = 2, np.random.default_rng(0)
    env = WorldVectorEnv(session, worlds)
    actions = rng.uniform(-1, 1, (6, worlds, 3)).astype(np.float32)
    seen = [env.reset(seed=5)[0], env.step(actions[0])[0]]
    seen.append(env.reset(seed=[None, 9], options={"reset_mask": np.array([False, True])})[0])
    np.testing.assert_array_equal(seen[2][0], seen[1][0])
    seen_next, _, ended, cut, info = env.step(actions[1])
    assert info["chunk"].tolist() == [2, 1] and cut.tolist() == [True, False] and not ended.any()
    seen.append(seen_next)
    *_, cut, info = env.step(actions[2])  # the first world begins anew, and is not asked
    assert info["chunk"].tolist() == [0, 2] and cut.tolist() == [False, True]
    alone = WorldEnv(session)
    for world, expected in ((0, walked(alone, 5, actions[:2, 0])), (1, walked(alone, 9, actions[1:3, 1]))):
        batched = [seen[0], seen[1], seen[3]] if world == 0 else [seen[2], seen[3]]
        for one, other in zip(expected, batched):
            assert np.abs(one.astype(int) - other[world]).max() <= 1
    assert env.observation_space.shape == (2, 32, 48, 3) and env.action_space.shape == (2, 3)


@pytest.mark.parametrize("action", [[0, 0, np.nan], [0, 0], None, "w"])
def test_an_action_that_is_none_is_refused_and_ends_the_world(session, action):
    env = WorldEnv(session)
    env.reset(seed=0)
    with pytest.raises((ValueError, TypeError)):
        env.step(action)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(env.control.rest)


def test_what_does_not_fit_a_batch_is_refused(session):
    env = WorldVectorEnv(session, 2)
    for mask in ([False, False], [0, 1], [True]):
        with pytest.raises(ValueError, match="expected 2 bools, at least one of them true"):
            env.reset(options={"reset_mask": np.array(mask)})
    with pytest.raises(ValueError, match="3 seeds for 2 worlds"):
        env.reset(seed=[1, 2, 3])
    env.reset(seed=np.int64(0))
    with pytest.raises(ValueError, match="1 actions for 2 worlds"):
        env.step([env.control.rest])
    with pytest.raises(ValueError, match="expected three finite numbers"):
        env.step([env.control.rest, np.full(3, np.nan)])
    with pytest.raises(gym.error.ResetNeeded):
        env.step([env.control.rest] * 2)


def test_what_cannot_be_batched_says_what_to_use(session):
    with pytest.raises(ValueError, match=r"bank\.tier='host'.*tier='device', or use gymnasium\.vector\.SyncVectorEnv"):
        WorldVectorEnv(open_model("demo-world").check(MemoryOptions(tier="host")).load(), 2)
    blind = open_model("demo-world").check(decode=False).load()
    with pytest.raises(ValueError, match="makes no frames"):
        WorldEnv(blind)


def test_actions_of_the_models_own_are_chosen_by_number():
    control = ChoiceControl(("", "w", "wd"))
    assert control.space.n == 3 and control.begin(3)(np.int64(2)) == "wd" and control.rest == 0
    for action in (-1, 3):
        with pytest.raises(ValueError, match="expected a number from 0 to 2"):
            control.begin(3)(action)
