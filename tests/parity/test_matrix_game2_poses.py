"""Dead reckoning from actions against Matrix-Game 3's released code."""

import dataclasses

import numpy as np
import pytest

from ports.matrix_game2.actions import check_rows
from ports.matrix_game2.poses import motion_of
from ports.matrix_game2.variants import UNIVERSAL
from tests.parity.goldens import find_cases, load_case
from worldkv_jax.cameras.actions import MotionUnits, dead_reckon

# Its world has x forward, y right and z up; its camera axes are ours.
FROM_WORLD = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def pytest_generate_tests(metafunc):
    paths = find_cases(
        metafunc.config.getoption("--goldens"),
        lambda meta: meta.get("kind") == "pose" and "deg_per_mouse_unit" in meta.get("constants", {}),
    )
    cases = [(path, name.split("/")[1]) for path in paths for name in load_case(path)[1] if name.endswith("/keyboard")]
    metafunc.parametrize(("path", "name"), cases, ids=[f"{path.stem}-{name}" for path, name in cases])


def test_poses_of_actions(path, name):
    meta, tensors = load_case(path)
    constants, tolerance = meta["constants"], {"atol": meta["suggested_atol"], "rtol": meta["suggested_rtol"]}
    scale = constants["position_scale_in_c2w"]
    units = MotionUnits(
        degrees_per_mouse_unit=constants["deg_per_mouse_unit"],
        dead_zone=constants["deadzone"],
        step=constants["step"] * scale,
        diagonal_step=constants["diagonal"] * scale,
    )
    for field in dataclasses.fields(MotionUnits):
        assert getattr(units, field.name) == pytest.approx(getattr(MotionUnits(), field.name)), "other defaults"
    rows = check_rows(UNIVERSAL, tensors[f"in/{name}/keyboard"], tensors[f"in/{name}/mouse"])
    stance = dead_reckon(motion_of(UNIVERSAL, rows, units), units, wrapped_heading=True)
    count = len(rows.keyboard)  # the last row leads to a frame that is not there
    position, pitch, yaw = stance.position[:count], stance.pitch[:count], stance.yaw[:count]
    want = tensors[f"out/{name}/pose_x_y_z_pitch_yaw_deg"]
    in_its_world = position @ FROM_WORLD.T / scale
    np.testing.assert_allclose(np.concatenate([in_its_world, pitch[:, None], yaw[:, None]], -1), want, **tolerance)
    # It looks down where the mouse says up; we look up.
    ours = stance._replace(pitch=-stance.pitch).pose()[:count]
    expected = tensors[f"out/{name}/c2w"]
    np.testing.assert_allclose(FROM_WORLD @ ours[:, :3, :3], expected[:, :3, :3], **tolerance)
    np.testing.assert_allclose(ours[:, :3, 3] @ FROM_WORLD.T, expected[:, :3, 3], **tolerance)
