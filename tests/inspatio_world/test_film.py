"""Filming a scene: the warp against exact pictures, and what cannot be filmed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.demo_world.worlds import rooms
from ports.inspatio_world.source.builtin_scene import OUT_AND_BACK, _photograph, builtin_scene, photograph
from ports.inspatio_world.source.coverage import known_shares
from ports.inspatio_world.source.encode import moments
from ports.inspatio_world.source.footage import film
from ports.inspatio_world.source.scene import Scene
from ports.inspatio_world.source.shot import Filming, plan_targets, plan_trajectory
from ports.inspatio_world.source.trajectory import Trajectory
from worldkv_jax.cameras import pose_from_angles

SEED, SIZE, FRAMES = 3, (96, 144), 9
WIDE = 2.0  # pixels: how far from a sharp edge of the picture aliasing reaches


@pytest.fixture(scope="module")
def scene():
    return builtin_scene(SEED, frames=FRAMES, size=SIZE)


@pytest.fixture(scope="module")
def room():
    return jax.tree.map(lambda a: jax.device_put(a[0]), rooms.make_rooms(SEED, 1))


def all_frames(scene, path=OUT_AND_BACK, **options):
    return plan_trajectory(scene, path, Filming(adaptive=False, **options))


def compare(footage, shot, room):
    """Compare known pixels with what the cameras would really see, away from edges, where both are aliased."""
    exact, _ = photograph(room, shot.targets[shot.index], SIZE)
    exact = exact / 127.5 - 1
    error = np.abs(np.asarray(footage.render.frames) - exact).max(axis=-1)
    edge = np.zeros(error.shape, bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            edge |= np.abs(np.roll(exact, (dy, dx), (1, 2)) - exact).max(axis=-1) > 0.1
    smooth = np.asarray(footage.render.known) & ~edge
    assert smooth.mean() > 0.4
    # A grey level is 1 / 127; the renderer's own pixels are rounded to one.
    assert error[smooth].mean() < 0.02 and np.quantile(error[smooth], 0.99) < 0.1
    psnr = -10 * np.log10(np.mean((error[np.asarray(footage.render.known)] / 2) ** 2))
    assert psnr > 25


@pytest.mark.parametrize("options", [{}, {"follow": True}, {"rotation_only": True}], ids=str)
def test_known_pixels_are_what_the_cameras_see(scene, room, options):
    shot = all_frames(scene, **options)
    footage = film(scene, shot)
    known = np.asarray(footage.render.known).mean(axis=(1, 2))
    assert known[0] > 0.98 and 0.5 < known[FRAMES // 2] < 0.95
    compare(footage, shot, room)
    np.testing.assert_array_equal(footage.source, np.arange(FRAMES))


def test_given_cameras_of_a_video(scene, room):
    targets = all_frames(scene).targets
    shot = plan_targets(scene, targets)
    compare(film(scene, shot), shot, room)
    with pytest.raises(ValueError, match="one for every frame"):
        plan_targets(scene, targets[:-1])


def images(room, count):
    poses = pose_from_angles(np.linspace(-40, 40, count) if count > 1 else [0.0], 0.0, (0.0, 0.0, -0.4))
    frames, depth = photograph(room, poses, SIZE)
    lens = builtin_scene(SEED, frames=1, size=SIZE).intrinsics[0]
    return Scene(frames=frames, depth=depth, intrinsics=lens, poses=poses, kind="image")


def test_images_are_merged_by_depth(room):
    targets = pose_from_angles(np.linspace(-30, 30, 10), 0.0, (0.0, 0.0, -0.3))
    known = {}
    for count in (1, 4):
        scene = images(room, count)
        shot = plan_targets(scene, targets)
        assert len(shot.index) == 21 and shot.frames == 10 and shot.index[-1] == 9
        footage = film(scene, shot)
        compare(footage, shot, room)
        known[count] = np.asarray(footage.render.known).mean()
        assert len(footage.source) == 21 and footage.source.max() < count
    assert known[4] > known[1] + 0.1
    assert len(set(footage.source)) > 1  # several images stand for the source in turn


def test_a_video_is_rendered_within_the_memory_of_a_frame(room):
    """At 480 x 832 pixels the rays of 121 frames are 580 MB, and as much again for each step of the arithmetic."""
    program = _photograph.lower(room, jax.ShapeDtypeStruct((40, 4, 4), jnp.float32), SIZE).compile()
    rays_of_all = 40 * SIZE[0] * SIZE[1] * 3 * 4
    assert program.memory_analysis().temp_size_in_bytes < rays_of_all / 4


def test_frozen_and_repeated_frames(scene):
    shot = plan_trajectory(scene, OUT_AND_BACK, Filming(freeze_repeat=4, freeze_frame=2))
    assert shot.source.tolist() == [0, 1, 2, 2, 2, 2, 2, 3, 4, 5, 6, 7, 8]
    assert len(shot.index) == 117 and shot.index[12:16].tolist() == [12, 11, 10, 9]
    assert any("back and forth" in note for note in shot.notes) and any("cut" in note for note in shot.notes)
    assert len(moments(shot)) == 10
    short = plan_trajectory(scene, OUT_AND_BACK, Filming(), limit=23)
    assert len(short.index) == 21


def test_padding_is_told(scene):
    shot = plan_targets(scene, scene.poses)
    assert shot.notes == ()
    longer = dataclasses.replace(builtin_scene(SEED, frames=11, size=(16, 16)))
    assert "repeated up to 21" in plan_targets(longer, longer.poses).notes[0]


@pytest.mark.parametrize("displacement", [0.0005, 9.0])
def test_units_in_doubt_are_told(scene, displacement):
    still = dataclasses.replace(scene, poses=scene.poses[:1].repeat(FRAMES, axis=0))
    shot = all_frames(still, Trajectory(pitch=(0, 0), yaw=(0, 0), displacement=(0, displacement)))
    for notes in (shot.notes, plan_targets(still, shot.targets).notes):
        assert "median depth" in notes[0]


def test_a_camera_that_sees_nothing_is_refused(scene):
    behind = Trajectory(pitch=(0, 0), yaw=(180, 180), displacement=(0, 0))
    with pytest.raises(ValueError, match="see nothing of the source"):
        film(scene, all_frames(scene, behind))
    inside = Trajectory(pitch=(0, 0), yaw=(0, 0), displacement=(0, 9))  # walks through the wall
    footage = film(scene, all_frames(scene, inside))
    assert any("inside or behind it" in note for note in footage.notes)


def test_pixels_without_depth_are_not_drawn(scene):
    depth = scene.depth.copy()
    depth[:, :48] = np.nan
    holed = dataclasses.replace(scene, depth=depth)
    still = Trajectory(pitch=(0, 0), yaw=(0, 0), displacement=(0, 0))
    for shot in (all_frames(holed, still), plan_targets(holed, holed.poses[:1].repeat(FRAMES, axis=0))):
        known = np.asarray(film(holed, shot).render.known)
        assert known[0, 49:].mean() > 0.95 and not known[0, :46].any()


def test_shares_are_estimated_before_filming(scene):
    shot = all_frames(scene)
    known = np.asarray(film(scene, shot).render.known)[[0, 4, 8]].mean()
    assert abs(known_shares(scene, shot)[0] - known) < 0.06


def test_what_v1_cannot_film(room):
    four = images(room, 4)
    with pytest.raises(ValueError, match=r"use v1\.5"):
        all_frames(four)
    one = images(room, 1)
    with pytest.raises(ValueError, match="--freeze-repeat"):
        all_frames(one)
    assert len(all_frames(one, freeze_repeat=8).index) == 9
    three = Scene(**{f.name: getattr(four, f.name)[:3] for f in dataclasses.fields(Scene)[:4]}, kind="image")
    with pytest.raises(ValueError, match="one image, four images, or a video"):
        plan_targets(three, three.poses)
