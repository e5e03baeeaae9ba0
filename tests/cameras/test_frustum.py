"""View overlap: the ends of its range, its trends, and jit and vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldkv_jax.cameras import pose_from_angles, view_overlap


def chunk(yaw=0.0, position=(0.0, 0.0, 0.0), pitch=0.0, turn=0.0):
    """Three frames that turn by ``turn`` degrees each, float32."""
    return pose_from_angles(yaw + turn * np.arange(3.0), pitch, position).astype(np.float32)


@settings(max_examples=25)
@given(st.floats(-180, 180), st.floats(-80, 80), st.floats(-20, 20), st.floats(-1e4, 1e4))
def test_the_same_views_overlap_fully(yaw, pitch, turn, offset):
    view = chunk(yaw, (offset, 0.0, -offset), pitch, turn)
    assert view_overlap(view, view[None])[0] == 1.0


def test_opposite_views_do_not_overlap():
    assert view_overlap(chunk(30.0), chunk(-150.0)[None])[0] == 0.0


def test_overlap_falls_as_the_view_turns_or_moves_away():
    turned = view_overlap(chunk(), np.stack([chunk(angle) for angle in range(0, 181, 15)]))
    assert turned[0] == 1 and turned[-1] == 0 and (np.diff(turned) <= 0).all() and 0.3 < turned[3] < 0.7
    moved = view_overlap(chunk(), np.stack([chunk(position=(x, 0, 0)) for x in range(0, 60, 5)]))
    assert moved[0] == 1 and moved[-1] == 0 and (np.diff(moved) <= 0).all()


def test_a_chunk_has_seen_what_any_of_its_frames_saw():
    sweep = chunk(-60.0, turn=60.0)
    assert view_overlap(chunk(0.0), sweep[None])[0] == 1.0
    assert view_overlap(sweep, chunk(0.0)[None])[0] < 0.7


def test_the_narrow_direction_counts_on_its_own():
    wide = view_overlap(chunk(), chunk(pitch=40.0)[None], fov_degrees=(90, 90))[0]
    flat = view_overlap(chunk(), chunk(pitch=40.0)[None], fov_degrees=(90, 30))[0]
    assert flat == 0.0 < wide


def test_frame_counts_may_differ_and_many_chunks_are_scored_one_by_one():
    index = np.stack([chunk(angle, turn=5.0) for angle in np.linspace(-180, 180, 300)])
    scores = view_overlap(chunk()[:1], index)
    assert scores.shape == (300,) and scores.dtype == jnp.float32
    np.testing.assert_array_equal(np.asarray(scores)[200:203], view_overlap(chunk()[:1], index[200:203]))
    assert (scores >= 0).all() and (scores <= 1).all()


def test_jit_and_vmap_agree():
    queries = np.stack([chunk(0.0), chunk(50.0)])
    index = np.stack([np.stack([chunk(a), chunk(a + 40.0, turn=3.0)]) for a in (0.0, 20.0)])
    plain = np.stack([view_overlap(query, chunks) for query, chunks in zip(queries, index)])
    np.testing.assert_allclose(jax.jit(jax.vmap(view_overlap))(queries, index), plain, atol=1e-6)


def test_host_poses_are_taken_as_they_are():
    pose = pose_from_angles(np.zeros(3))
    assert view_overlap(pose, pose[None])[0] == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"fov_degrees": (90, 180)},
        {"fov_degrees": (0, 60)},
        {"near": 2, "far": 1},
        {"near": 0},
        {"samples": (8, 0, 4)},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
        view_overlap(chunk(), chunk()[None], **wrong)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"expected \[F, 4, 4\] and \[C, G, 4, 4\]"):
        view_overlap(chunk(), chunk())
