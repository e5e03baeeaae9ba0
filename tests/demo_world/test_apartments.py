"""Apartments look as a ray that is marched through them says, and no camera gets inside a wall."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.demo_world.codec import fit_codec
from ports.demo_world.scenario import FIRST, LATE, TOUR, make_scenario
from ports.demo_world.worlds import apartments as plan
from ports.demo_world.worlds.apartment_renderer import look
from ports.demo_world.worlds.apartment_walks import apartment_laps, apartment_walk
from ports.demo_world.worlds.families import APARTMENTS
from ports.demo_world.worlds.pinhole import level_poses, pixel_rays
from ports.demo_world.worlds.rooms import HALF_HEIGHT

SIZE = (16, 24)
STEP = 1e-3


@pytest.fixture(scope="module")
def homes():
    return jax.tree.map(np.asarray, jax.device_put(plan.make_apartments(11, 6)))


def home_number(homes, i):
    return jax.tree.map(lambda a: a[i], homes)


ball_centres = jax.jit(plan.ball_centres)
see = jax.jit(lambda home, poses, time: look(home, poses, size=SIZE, time=time))


def views(home):
    """Cameras all around each room, at different times."""
    yaw = jnp.linspace(0, 2 * jnp.pi, 12)
    ground = jnp.array([[x, z] for x in (0.8, 3.2) for z in (0.9, 3.1)] * 3) + 0.05 * jnp.sin(yaw)[:, None]
    return np.asarray(level_poses(yaw, ground)), np.arange(0.0, 60.0, 5.0, dtype=np.float32)


def march(home, pose, time, ray):
    """Walk along a ray in small steps until something is in the way: how far, whether it moves, and the room."""
    t = np.arange(STEP, 7, STEP)[:, None]
    direction = np.asarray(pose[:3, :3], np.float64) @ ray
    points = np.asarray(pose[:3, 3], np.float64) + t * direction
    x, y, z = points.T
    solid = (np.abs(y) > HALF_HEIGHT) | (x < 0) | (x > 4) | (z < 0) | (z > 4)
    for wall, (along, across) in enumerate([(z, x), (z, x), (x, z), (x, z)]):
        reaches = (along < 2) if wall in (0, 2) else (along >= 2)
        crossed = np.diff(np.sign(across - 2), prepend=np.sign(across[0] - 2)) != 0
        solid |= crossed & reaches & (np.abs(along - float(home.doors[wall])) > plan.DOOR / 2)
    for px, pz, radius, top in np.asarray(home.pillars, np.float64):
        solid |= (np.hypot(x - px, z - pz) < radius) & (y > top)
    moving = np.zeros_like(solid)
    for centre, ball in zip(np.asarray(ball_centres(home, time[None]), np.float64)[0], np.asarray(home.balls)):
        moving |= np.linalg.norm(points - centre, axis=-1) < ball[5]
    first = int(np.argmax(solid | moving))
    before = max(first - 1, 0)
    return t[first, 0], bool(moving[first]), 2 * int(x[before] > 2) + int(z[before] > 2)


def test_depth_occlusion_and_movers_are_those_of_marched_rays(homes):
    rng = np.random.default_rng(0)
    rays = pixel_rays(*SIZE)
    seen_moving, seen_through = 0, 0
    for number in range(3):
        home = home_number(homes, number)
        poses, times = views(home)
        view = jax.tree.map(np.asarray, see(home, poses, times))
        moving = np.argwhere(view.moves)
        chosen = np.stack([rng.integers(0, n, 60) for n in view.depth.shape], axis=-1)
        for frame, row, col in np.concatenate([chosen, rng.permutation(moving)[:20]]):
            far, moves, room = march(home, poses[frame], times[frame], rays[row, col])
            depth = view.depth[frame, row, col]
            if abs(depth - far) > 2 * STEP:  # only where the ray grazes an edge, so that a hair decides
                around = march(home, poses[frame], times[frame], rays[row, col] + [1e-3, 1e-3, 0])[0]
                around = [around, march(home, poses[frame], times[frame], rays[row, col] - [1e-3, 1e-3, 0])[0]]
                assert min(around) - 5e-2 <= depth <= max(around) + 5e-2 and np.ptp(around) > 2 * STEP
                continue
            assert view.moves[frame, row, col] == moves
            assert view.room[frame, row, col] == room
            own = 2 * int(poses[frame, 0, 3] > 2) + int(poses[frame, 2, 3] > 2)
            seen_moving, seen_through = seen_moving + moves, seen_through + (room != own)
    assert seen_moving > 10 and seen_through > 10  # what was checked has balls and doorways


def test_nothing_but_the_balls_moves(homes):
    home = home_number(homes, 1)
    poses, times = views(home)
    now, later = see(home, poses, times), see(home, poses, times + 9)
    same = ~(now.moves | later.moves)
    np.testing.assert_array_equal(now.frames[same], later.frames[same])
    np.testing.assert_array_equal(now.depth[same], later.depth[same])
    assert float(jnp.abs(now.frames - later.frames).max()) > 0.1
    np.testing.assert_array_equal(see(home, poses, times + 24).moves, now.moves)  # they come back


free = jax.jit(jax.vmap(jax.vmap(plan.is_free, in_axes=(None, 0))))


def assert_clear(homes, ground):
    """Check by plain geometry that no place ``[B, n, 2]`` is in or beside a wall, a pillar or a ball."""
    for home, places in zip(zip(*map(np.asarray, homes)), np.asarray(ground, np.float64)):
        home = plan.Apartment(*home)
        assert places.min() > plan.MARGIN - 1e-5 and places.max() < 4 - plan.MARGIN + 1e-5
        for wall, axis in enumerate([0, 0, 1, 1]):
            along = places[:, 1 - axis]
            near = (np.abs(places[:, axis] - 2) < plan.MARGIN - 1e-5) & ((along >= 2) == (wall in (1, 3)))
            assert (np.abs(along[near] - home.doors[wall]) < plan.DOOR / 2 - plan.MARGIN + 1e-5).all()
        for x, z, radius, _ in home.pillars:
            assert np.hypot(*(places - [x, z]).T).min() > radius + plan.MARGIN - 1e-5
        for time in range(24):
            for centre, ball in zip(np.asarray(ball_centres(home, np.array([time], np.float32)))[0], home.balls):
                assert np.hypot(*(places - centre[[0, 2]]).T).min() > ball[5] + plan.MARGIN - 1e-5


@pytest.mark.parametrize("seed", range(3))
def test_a_camera_that_is_pushed_about_never_gets_into_anything(homes, seed):
    """Blind steps for a long time, from the middle of a room: it slides along walls and finds doorways."""
    steps = 0.14 * jax.random.normal(jax.random.key(seed), (6, 1500, 2)).clip(-0.7, 0.7)
    steps = steps.at[:, ::2].set(jnp.repeat(steps[:, ::50], 25, axis=1))  # goes one way for a while

    @jax.jit
    @jax.vmap
    def wander(home, steps):
        def move(place, step):
            place = plan.slide(home, place, step)
            return place, place

        return jax.lax.scan(move, jnp.array([1.0, 1.0]), steps)[1]

    ground = wander(homes, steps)
    assert bool(free(homes, ground).all())
    assert_clear(homes, ground[:, ::7])
    rooms = np.unique(np.asarray((ground > 2).astype(int) @ jnp.array([2, 1])))
    assert len(rooms) > 1


@pytest.mark.parametrize("jumps", [False, True])
def test_walks_leave_rooms_and_never_get_into_anything(homes, jumps):
    keys = jax.random.split(jax.random.key(4), (24, 6))
    poses = jax.jit(jax.vmap(jax.vmap(lambda k, h: apartment_walk(k, h, 7, jumps=jumps)), in_axes=(0, None)))(
        keys, homes
    )
    ground = np.asarray(poses[..., :3:2, 3])
    assert_clear(homes, ground.swapaxes(0, 1).reshape(6, -1, 2))
    left = ((ground > 2) != (ground[:, :, :1] > 2)).any(axis=(2, 3))
    assert 0.1 < left.mean() < 0.6
    assert np.abs(np.diff(ground, axis=2)).max() < 0.15


def test_laps_leave_the_room_and_come_back_near_what_was_seen(homes):
    paths = np.stack(list(apartment_laps(np.random.default_rng(1), homes, 7, 12, 360.0)))
    assert paths.shape == (6, 252, 4, 4)
    assert_clear(homes, paths[..., :3:2, 3])
    rooms = (paths[..., :3:2, 3] > 2) @ np.array([2, 1])
    assert (rooms[:, 0] != rooms[:, 71]).all() and (rooms[:, 0] == rooms[:, -1]).all()
    gap = np.abs(paths[:, 72:, None] - paths[:, None, :72]).max(axis=(-2, -1)).min(axis=2)
    assert gap.max() < 0.15 and gap.min() > 1e-4


@pytest.mark.parametrize(("lap", "tour_laps"), [(2, 2), (5, 2), (12, 2), (6, 1)])
def test_no_lap_walks_faster_than_clips_to_train_on(homes, lap, tour_laps):
    paths = np.stack(list(apartment_laps(np.random.default_rng(1), homes, 4, lap, 30.0 * lap, tour_laps=tour_laps)))
    ground = paths[..., :3:2, 3]
    assert_clear(homes, ground)
    steps = np.linalg.norm(np.diff(ground, axis=1), axis=-1)
    if tour_laps == 1:
        assert steps.max() == 0
    else:
        assert 0.1 < steps.max() < 0.141


def test_a_tour_of_one_lap_turns_where_it_is_and_comes_round(homes):
    path = next(apartment_laps(np.random.default_rng(1), homes, 2, 6, 360.0, tour_laps=1))
    first, again = path[:18, :3, 2], path[18:, :3, 2]
    turned = np.rad2deg(np.arccos(np.clip((first * again).sum(axis=1), -1, 1)))
    np.testing.assert_allclose(turned, 20 / 3, atol=1e-3)  # a third of a frame off


def test_a_scenario_shows_two_rooms_and_cuts_where_it_is_told():
    scenario = make_scenario(5, 1, family=APARTMENTS, laps=4, lap=2, arc=60.0, chunks=7)
    assert scenario.phases == (TOUR,) * 4 + (FIRST,) * 2 + (LATE,)
    assert scenario.truth.shape == (1, 7, 3, 64, 96, 3) and scenario.poses.shape == (1, 21, 4, 4)


def test_apartments_are_drawn_from_their_seed(homes):
    again, other = plan.make_apartments(11, 6), plan.make_apartments(12, 6)
    jax.tree.map(np.testing.assert_array_equal, again, jax.tree.map(np.asarray, homes))
    assert all(np.abs(np.subtract(a, b, dtype=np.float64)).mean() > 0.01 for a, b in zip(again, other))
    assert ((again.doors > 0).sum(axis=1) >= 3).all()
    repainted = plan.repaint(home_number(again, 0), np.array([2, 0, 1]))
    np.testing.assert_array_equal(repainted.walls, again.walls[0][..., [2, 0, 1]])
    np.testing.assert_array_equal(repainted.doors, again.doors[0])


@pytest.mark.long
def test_the_codec_keeps_33_db_of_apartments_it_has_not_seen():
    def frames(seed, count):
        made = jax.device_put(plan.make_apartments(seed, count))
        keys = jax.random.split(jax.random.key(seed), count)
        walk = jax.vmap(lambda key, home: APARTMENTS.render(home, apartment_walk(key, home, 2, jumps=True)))
        return np.asarray(jax.jit(walk)(keys, made)).reshape(-1, *APARTMENTS.size, 3)

    codec = fit_codec(frames(1, 48), cell=APARTMENTS.cell, channels=APARTMENTS.channels)
    truth = frames(2, 16)
    error = np.mean((codec.decode(codec.encode(jax.device_put(truth))) - truth) ** 2)
    assert -10 * np.log10(error) >= 33
