"""Dead reckoning: what actions do to a camera, and what measurements say of its units."""

import numpy as np
import pytest

from worldkv_jax.cameras import pose_distance
from worldkv_jax.cameras.actions import (
    Motion,
    MotionUnits,
    Stance,
    dead_reckon,
    fit_units,
    mouse_turn,
    resting,
)

UNITS = MotionUnits(step=2.0, diagonal_step=1.5)


def motion(frames, *, forward=0, right=0, pitch=0.0, yaw=0.0):
    walk, turn = np.tile([float(forward), float(right)], (frames, 1)), np.tile([pitch, yaw], (frames, 1))
    return Motion(walk, turn)


def joined(*motions):
    return Motion(*(np.concatenate(parts) for parts in zip(*motions)))


def random_motion(seed, frames, *lead):
    rng = np.random.default_rng(seed)
    return Motion(rng.integers(-1, 2, (*lead, frames, 2)), rng.normal(0, 30, (*lead, frames, 2)))


def test_walking_goes_where_the_camera_looks():
    path = dead_reckon(joined(motion(3, forward=1), motion(9, yaw=10.0), motion(2, forward=1)), UNITS)
    np.testing.assert_allclose(path.position[3], [0, 0, 6])
    np.testing.assert_allclose(path.position[-1], [4, 0, 6], atol=1e-12)  # turned right by 90: on towards x
    np.testing.assert_allclose(path.yaw[-1], 90)
    np.testing.assert_allclose(path.pose()[-1][:3, 2], [1, 0, 0], atol=1e-12)


def test_stepping_aside_and_back():
    path = dead_reckon(joined(motion(1, right=1), motion(2, right=-1), motion(1, forward=-1)), UNITS)
    np.testing.assert_allclose(path.position[:, 0], [0, 2, 0, -2, -2])
    np.testing.assert_allclose(path.position[-1, 2], -2)


def test_a_diagonal_is_not_faster_along_each_direction():
    path = dead_reckon(motion(1, forward=1, right=-1), UNITS)
    np.testing.assert_allclose(path.position[-1], [-1.5, 0, 1.5])


def test_looking_up_does_not_lift_the_walker():
    path = dead_reckon(motion(4, forward=1, pitch=15.0), UNITS)
    np.testing.assert_allclose(path.position[-1], [0, 0, 8])
    assert path.pose()[-1][1, 2] < 0  # y points down


def test_a_walk_undone_ends_where_it_began():
    there = random_motion(0, 50)
    back = Motion(-np.asarray(there.walk)[::-1], -there.turn[::-1])
    path = dead_reckon(joined(there, back), UNITS)
    np.testing.assert_allclose(path.position[-1], 0, atol=1e-9)
    np.testing.assert_allclose(path.yaw[-1], 0, atol=1e-9)


def test_headings_are_wrapped_but_walks_are_not_misled():
    around = motion(100, forward=1, yaw=7.3)
    path = dead_reckon(around, UNITS)
    assert np.abs(path.yaw).max() <= 180
    steps = np.diff(path.position, axis=0)
    turned = np.einsum("ni,ni->n", steps[1:], steps[:-1])
    np.testing.assert_allclose(turned, 4 * np.cos(np.deg2rad(7.3)), atol=1e-9)  # always ahead
    released = dead_reckon(around, UNITS, wrapped_heading=True)
    np.testing.assert_allclose(released.yaw, path.yaw)
    steps = np.diff(released.position, axis=0)
    assert (np.einsum("ni,ni->n", steps[1:], steps[:-1]) < 0).any()  # as released: once the wrong way


def test_half_turns_are_both_allowed():
    path = dead_reckon(Motion(np.zeros((2, 2)), np.array([[0, 180.0], [0, -360.0]])), UNITS)
    np.testing.assert_allclose(path.yaw, [0, 180, -180])


def test_parts_continue_each_other():
    whole = random_motion(1, 40)
    first = dead_reckon(Motion(whole.walk[:17], whole.turn[:17]), UNITS)
    stop = Stance(*(part[-1] for part in first))
    rest = dead_reckon(Motion(whole.walk[17:], whole.turn[17:]), UNITS, stop)
    expected = dead_reckon(whole, UNITS)
    for got, want in zip(rest, expected):
        np.testing.assert_allclose(got, want[17:], atol=1e-9)


def test_many_cameras_at_once():
    many = random_motion(2, 12, 3)
    together = dead_reckon(many, UNITS, resting(3))
    for index in range(3):
        alone = dead_reckon(Motion(many.walk[index], many.turn[index]), UNITS)
        np.testing.assert_allclose(together.pose()[index], alone.pose(), atol=1e-12)


def test_a_full_turn_of_the_default_units():
    units = MotionUnits()
    turn = mouse_turn(np.tile([0, 0.1], (240, 1)), units)
    poses = dead_reckon(Motion(np.zeros((240, 2)), turn), units).pose()
    np.testing.assert_allclose(pose_distance(poses[-1], poses[0]), (0, 0), atol=1e-6)
    assert not units.calibrated


def test_small_mouse_movements_turn_nothing():
    turn = mouse_turn(np.array([[0.019, -0.019], [0.02, -0.1]]), MotionUnits())
    np.testing.assert_allclose(turn, [[0, 0], [0.3, -1.5]])


@pytest.mark.parametrize(
    ("field", "value"),
    [("step", 0.0), ("degrees_per_mouse_unit", -1.0), ("diagonal_step", np.nan), ("dead_zone", -0.1)],
)
def test_units_must_make_sense(field, value):
    with pytest.raises(ValueError, match=field):
        MotionUnits(**{field: value})


def test_fitting_recovers_the_units():
    rng = np.random.default_rng(0)
    mouse, frames = rng.uniform(0.5, 5, 20), rng.integers(4, 40, 10)
    turns = np.stack([mouse, 11.0 * mouse + rng.normal(0, 0.05, 20)], axis=-1)
    fitted = fit_units(turns, [(n, 0.3 * n) for n in frames])
    assert fitted.calibrated
    assert fitted.degrees_per_mouse_unit == pytest.approx(11.0, rel=1e-2)
    assert fitted.step == pytest.approx(0.3)
    assert fitted.diagonal_step / fitted.step == pytest.approx(MotionUnits().diagonal_step / MotionUnits().step)
    assert fitted.dead_zone == MotionUnits().dead_zone
    assert fit_units([(1, 9.0)]).step == MotionUnits().step


def test_fitting_needs_something_to_fit():
    with pytest.raises(ValueError, match="nothing to fit"):
        fit_units()
    with pytest.raises(ValueError, match="positive slope, check signs"):
        fit_units([(1.0, -15.0)])
    with pytest.raises(ValueError, match="pairs of frames and scene units, all finite"):
        fit_units(walks=[(3, np.nan)])
