"""Cameras against golden numbers of LingBot-World and WorldKV's generate_traj.py."""

import functools

import numpy as np
import pytest

from tests.parity.goldens import find_cases, load_case
from worldkv_jax import cameras

ATOL = 1e-6
# The references are float32 arithmetic; we compute in float64. Where a result is a product of float32
# matrices, its last bits scale with its size.
RTOL = 1e-6

load = functools.lru_cache(load_case)


def _is_camera_case(meta):
    cases = meta.get("cases")
    return isinstance(cases, dict) and any(key.startswith("traj/") or key == "plucker" for key in cases)


def _is_rollout_input(meta):
    tensors = meta.get("tensors") or ()
    return "frame_num_effective" in meta and "in/poses" in tensors and "out/c2ws_abs" in tensors


def pytest_generate_tests(metafunc):
    select = _is_rollout_input if metafunc.function is test_conditioning_of_a_rollout else _is_camera_case
    paths = find_cases(metafunc.config.getoption("--goldens"), select)
    if "trajectory_key" in metafunc.fixturenames:
        pairs = [(path, key) for path in paths for key in load(path)[0]["cases"] if key.startswith("traj/")]
        ids = [f"{path.stem}-{key}" for path, key in pairs]
        metafunc.parametrize(("path", "trajectory_key"), pairs, ids=ids)
    elif "path" in metafunc.fixturenames:
        metafunc.parametrize("path", paths, ids=[path.stem for path in paths])


def _part(path, name):
    """One part of a case: its description and tensors, skipped where the case lacks it."""
    meta, tensors = load(path)
    if name not in meta["cases"]:
        pytest.skip(f"no part {name!r}")
    return meta["cases"][name], tensors


def test_trajectory(path, trajectory_key):
    meta, tensors = _part(path, trajectory_key)
    expected = tensors[f"out/{trajectory_key}/poses"]
    holds = [int(count) for count in (meta["noop"] or "16").split(",")]
    poses = cameras.trajectory(
        meta["ops"],
        meta["frames"],
        distance=meta["translation_distance"],
        hold_frames=holds[0] if len(holds) == 1 else holds,
    )
    assert poses.dtype == expected.dtype
    np.testing.assert_allclose(poses[:, :3, :3], expected[:, :3, :3], rtol=0, atol=ATOL)
    # The reference adds up float32 steps, half a unit in the last place of error for each frame.
    drift = len(expected) * np.abs(expected[:, :3, 3]).max() * np.finfo(np.float32).eps / 2
    np.testing.assert_allclose(poses[:, :3, 3], expected[:, :3, 3], rtol=0, atol=ATOL + drift)
    np.testing.assert_array_equal(poses[:, 3], expected[:, 3])


def test_interpolate(path):
    _, tensors = _part(path, "interp")
    poses, expected = tensors["in/interp/poses"], tensors["out/interp/poses"]
    got = cameras.interpolate(poses, tensors["in/interp/src"], tensors["in/interp/tgt"])
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=RTOL, atol=ATOL)


def test_latent_poses(path):
    meta, tensors = _part(path, "interp")
    targets = tensors["in/interp/tgt"]
    if not np.allclose(targets, np.linspace(0, meta["n"] - 1, meta["m"])):
        pytest.skip("targets do not span the whole path evenly")
    got = cameras.latent_poses(tensors["in/interp/poses"], meta["m"])
    np.testing.assert_allclose(got, tensors["out/interp/poses"], rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("framewise", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_relative_to_first(path, framewise, normalize):
    _, tensors = _part(path, "interp")
    expected = tensors[f"out/relative/framewise{framewise:d}_norm{normalize:d}"]
    got = cameras.relative_to_first(tensors["out/interp/poses"], framewise, normalize)
    np.testing.assert_allclose(got[:, :3, :3], expected[:, :3, :3], rtol=0, atol=ATOL)
    # A relative translation is a difference of float32 positions: its error scales with the positions.
    reach = np.abs(tensors["out/interp/poses"][:, :3, 3]).max() / (
        cameras.translation_scale(cameras.relative_to_first(tensors["out/interp/poses"], framewise))
        if normalize
        else 1.0
    )
    np.testing.assert_allclose(got[:, :3, 3], expected[:, :3, 3], rtol=0, atol=ATOL + 4e-7 * reach)


def test_relative_to_first_of_a_still_camera(path):
    tensors = load(path)[1]
    if "in/relative_still/poses" not in tensors:
        pytest.skip("no still camera")
    # The JSON does not record the flags; a camera at rest gives the same for all of them.
    for framewise in (False, True):
        got = cameras.relative_to_first(tensors["in/relative_still/poses"], framewise, normalize=True)
        np.testing.assert_allclose(got, tensors["out/relative_still"], rtol=0, atol=ATOL)


@pytest.mark.parametrize("pipeline", ["resize", "crop"])
def test_rescale_intrinsics(path, pipeline):
    meta, tensors = _part(path, "intrinsics")
    sizes = meta[pipeline]
    got = cameras.rescale_intrinsics(
        tensors["in/intrinsics/Ks"], sizes["resize"], original=meta["org"], crop=sizes["final"]
    )
    np.testing.assert_allclose(got, tensors[f"out/intrinsics/{pipeline}"], rtol=RTOL, atol=ATOL)


@pytest.fixture
def view(path):
    meta, tensors = _part(path, "plucker")
    size = (meta["height"], meta["width"])
    cell = meta["height"] // meta["lat_hw"][0]
    return (tensors["in/plucker/c2ws_rel"], tensors["in/plucker/Ks"], size), tensors, cell


def test_rays(view):
    camera, tensors, _ = view
    expected = tensors["out/plucker/rays"]
    got = cameras.rays(*camera)
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=RTOL, atol=ATOL)
    np.testing.assert_allclose(cameras.ray_directions(*camera), tensors["out/plucker/rays_d"], rtol=0, atol=ATOL)


def test_camera_channels(view):
    camera, tensors, cell = view
    packed = cameras.camera_channels(*camera, cell=cell)
    np.testing.assert_allclose(packed[None], tensors["out/plucker/packed_cam"], rtol=RTOL, atol=ATOL)
    # The network's 2x2 patches are the same packing once more: token order frame, row, column.
    tokens = cameras.pack_cells(np.moveaxis(packed, 0, -1), cell=2).reshape(packed.shape[0] * 4, -1).T
    np.testing.assert_allclose(tokens[None], tensors["out/plucker/tokens_cam"], rtol=RTOL, atol=ATOL)


def test_camera_channels_with_actions(view):
    camera, tensors, cell = view
    packed = cameras.camera_channels(*camera, actions=tensors["in/plucker/wasd"], cell=cell)
    np.testing.assert_allclose(packed[None], tensors["out/plucker/packed_act"], rtol=RTOL, atol=ATOL)


def test_conditioning_of_a_rollout(path):
    """From a camera folder's content to the network's input: the whole preparation in one go."""
    meta, tensors = load(path)
    size = tuple(8 * cells for cells in meta["lat_hw"])
    poses = cameras.latent_poses(tensors["in/poses"][: meta["frame_num_effective"]], meta["lat_f"])
    np.testing.assert_allclose(poses, tensors["out/c2ws_abs"], rtol=RTOL, atol=ATOL)
    relative = cameras.relative_to_first(poses, framewise=True, normalize=True)
    # Positions of some scene units, differences scaled up to 1 by the normalisation.
    np.testing.assert_allclose(relative, tensors["out/c2ws_rel"], rtol=RTOL, atol=5 * ATOL)
    intrinsics = cameras.rescale_intrinsics(tensors["in/intrinsics"], size)[0]
    np.testing.assert_allclose(intrinsics, tensors["out/Ks_row0"], rtol=RTOL, atol=ATOL)
    for name in (name for name in tensors if name.startswith("out/plucker_chunk")):
        expected = tensors[name]
        first = int(name.removeprefix("out/plucker_chunk")) * expected.shape[2]
        chunk = relative[first : first + expected.shape[2]]
        channels = cameras.camera_channels(chunk, intrinsics, size)
        np.testing.assert_allclose(channels[None], expected, rtol=RTOL, atol=5 * ATOL)
