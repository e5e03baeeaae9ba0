"""InSpatio-World's trajectories, target cameras, frame rules, warp and masks against the released PyTorch code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.inspatio_world.source.cameras import render_intrinsics, target_poses
from ports.inspatio_world.source.frames import adapt, freeze, resample, whole_chunks
from ports.inspatio_world.source.masks import pack_mask
from ports.inspatio_world.source.points import render_points
from ports.inspatio_world.source.render import Views, render_video, render_views
from ports.inspatio_world.source.splat import Projection, nearness, splat
from ports.inspatio_world.source.trajectory import read_trajectory, relative_poses
from ports.inspatio_world.source.views import choose_views, overlap_of_latents
from tests.parity.goldens import load_case
from tests.parity.inspatio_cases import agree, parametrize
from worldkv_jax.cameras import inverse, relative

POSES = {"atol": 1e-6}
MAY_FLIP = 1e-3  # share of a mask's pixels


def pytest_generate_tests(metafunc):
    parametrize(metafunc, "camera", "warp_v15")


@pytest.fixture
def case(camera_case):
    return load_case(camera_case)


@pytest.fixture
def trajectory(case, tmp_path):
    """Return a function that reads a trajectory of the case by name."""

    def read(name):
        path = tmp_path / f"{name}.txt"
        path.write_text("\n".join(case[0]["trajectories"][name]["lines"]))
        return read_trajectory(path)

    return read


def trajectory_poses(trajectory, frames, *, scale=1.0, **options):
    pitch, yaw, displacement = trajectory.sample(frames)
    return relative_poses(pitch, yaw, scale * displacement, **options)


def test_trajectories(case, trajectory):
    meta, tensors = case
    for name, said in meta["trajectories"].items():
        path, frames = trajectory(name), said["frames"]
        assert path.total_angle == pytest.approx(said["total_angle"])
        pitch, yaw, displacement = path.sample(frames)
        want = {part: tensors[f"out/traj/{name}/{part}"] for part in ("pitch", "yaw", "disp")}
        agree(pitch, want["pitch"], **POSES)
        agree(yaw, want["yaw"], **POSES)
        agree(displacement[1:-1], want["disp"][1:-1], **POSES)  # recorded before the ends are pinned
        agree(relative_poses(pitch, yaw, displacement), tensors[f"out/traj/{name}/c2w"], **POSES)
        still = relative_poses(pitch, yaw, displacement, rotation_only=True)
        agree(still, tensors[f"out/traj/{name}/c2w_rotonly"], **POSES)
        # Recorded with a second displacement of 0.7 times the first.
        zoomed = relative_poses(pitch, yaw, displacement, zoom=0.7 * displacement)
        agree(zoomed, tensors[f"out/traj/{name}/c2w_r_rzoom"], **POSES)


def source_of(case):
    """Return camera-to-world poses and the intrinsics that v1 renders with."""
    meta, tensors = case
    lines = {name: np.array(meta[name].split(), float) for name in ("intrinsic_txt", "extrinsic_txt")}
    top = lines["extrinsic_txt"].reshape(-1, 3, 4)
    poses = inverse(np.concatenate([top, np.broadcast_to([[[0.0, 0, 0, 1]]], (len(top), 1, 4))], axis=1))
    matrix = lines["intrinsic_txt"].reshape(-1, 3, 3)[0]
    size = tensors["in/depth"].shape[-2:]
    return poses, render_intrinsics([matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]], size)


def test_source_cameras(case):
    _, tensors = case
    poses, (fx, fy, cx, cy) = source_of(case)
    agree(poses, tensors["out/source_c2w"], **POSES)
    matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    agree(matrix, tensors["out/K"], **POSES)
    agree(matrix * [[2], [2], [1]], tensors["out/K_scaled_2x"], **POSES)


MODES = {"default": {}, "relative": {"follow": True}, "relative_rotonly": {"follow": True, "rotation_only": True}}


def targets(case, trajectory, poses, *, follow=False, rotation_only=False):
    path = trajectory(case[0]["warp_traj"])
    return target_poses(
        poses, trajectory_poses(path, len(poses), rotation_only=rotation_only), follow=follow, released=True
    )


def render(case, poses, target, intrinsics, numbers):
    _, tensors = case
    lens = jnp.asarray(intrinsics, jnp.float32)
    frames, depth = (jax.device_put(tensors[f"in/{name}"][numbers]) for name in ("frames_u8", "depth"))
    views = Views(frames, depth, jnp.broadcast_to(lens, (len(numbers), 4)))
    return render_video(views, jnp.asarray(relative(target, poses[numbers]), jnp.float32), lens)


def flips(known, mask) -> float:
    return float(np.mean(np.asarray(known) != (mask > 0)))


def compare_colours(got, want, known, mask):
    """Compare where both know something; a position near a whole number may move a colour."""
    both = np.asarray(known) & (mask > 0)
    error = np.abs(np.asarray(got) - want).max(axis=-1)[both]
    assert np.mean(error > 1e-4) <= MAY_FLIP and error.max() < 1e-2, (error.max(), np.sum(error > 1e-4))


@pytest.mark.parametrize("mode", MODES)
def test_warp(case, trajectory, mode):
    _, tensors = case
    poses, intrinsics = source_of(case)
    target = targets(case, trajectory, poses, **MODES[mode])
    agree(inverse(target), tensors[f"out/warp/{mode}/target_w2c"], **POSES)
    seen = render(case, poses, target, intrinsics, np.arange(len(poses)))
    check_render(seen, tensors, mode)


def check_render(seen, tensors, mode):
    mask = tensors[f"out/warp/{mode}/mask"][:, 0]
    assert flips(seen.known, mask) <= MAY_FLIP
    want = np.moveaxis(tensors[f"out/warp/{mode}/render"], 1, -1)
    compare_colours(seen.frames, want, seen.known, mask)
    unknown = ~np.asarray(seen.known)
    assert (np.asarray(seen.frames)[unknown] == -1).all() and (want[mask == 0] == -1).all()


def test_warp_of_a_frozen_frame(case, trajectory):
    """The case does not say which frame was repeated: the one whose masks fit best."""
    _, tensors = case
    poses, intrinsics = source_of(case)
    mask = tensors["out/warp/freeze/mask"][:, 0]
    seen = []
    for at in range(len(poses)):
        numbers = freeze(len(poses), repeat=len(mask) - len(poses), at=at)
        target = targets(case, trajectory, poses[numbers])
        agree(inverse(target), tensors["out/warp/freeze/target_w2c"], **POSES)
        seen.append(render(case, poses, target, intrinsics, numbers))
    check_render(min(seen, key=lambda one: flips(one.known, mask)), tensors, "freeze")


def test_splat_alone(case):
    """From the released code's own projections, only the sums are left to differ."""
    _, tensors = case
    projected = jax.device_put(tensors["out/warp/relative/projected_xyz"])
    depth = projected[..., 2]
    seen = Projection(projected[..., :2] / depth[..., None], depth)
    scale = jnp.max(nearness(depth))
    images = jax.device_put(tensors["in/frames_u8"]).astype(jnp.float32) / 127.5 - 1
    colours, known = jax.jit(jax.vmap(splat, in_axes=(0, 0, 0, None)))(images, seen, depth >= 0, scale)
    mask = tensors["out/warp/relative/mask"][:, 0] > 0
    np.testing.assert_array_equal(known, mask)
    want = np.moveaxis(tensors["out/warp/relative/render"], 1, -1)
    agree(np.asarray(colours)[mask], want[mask])


def test_masks(case):
    _, tensors = case
    mask = jax.device_put(tensors["in/mask_video"][:, 0])
    names = [name for name in tensors if name.startswith("out/mask_latent_T")]
    assert names
    for name in names:
        packed = pack_mask(mask[:, : int(name.removeprefix("out/mask_latent_T"))])
        agree(jnp.moveaxis(packed, -1, 2), tensors[name], name)


def test_points(case):
    _, tensors = case
    pose = tensors["in/ply/c2w"]
    matrix = tensors["out/K"]
    lens = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    image, known = render_points(
        tensors["in/ply/points"], tensors["in/ply/colors"], np.linalg.inv(pose), lens, tensors["out/ply/mask"].shape
    )
    mask = tensors["out/ply/mask"] > 0
    assert np.mean(known != mask) <= MAY_FLIP
    differ = np.abs(image.astype(int) - tensors["out/ply/rgb"]).max(axis=-1) > 1
    assert differ.mean() <= MAY_FLIP


def test_frame_numbers(case, trajectory):
    meta, tensors = case
    for change, want in meta["bounce"].items():
        frames, count = map(int, change.split("->"))
        assert resample(frames, count).tolist() == want
    low, high = map(float, meta["dataset_metadata"].split())
    depth = low + tensors["in/dataset/depth0_u16"] / 65535 * (high - low)
    assert depth.min() == pytest.approx(meta["first_depth_min"])
    for name, said in meta["dataset"].items():
        path = trajectory(said["traj"])
        source = freeze(said["n_source"], repeat=said.get("freeze_repeat", 0), at=said.get("freeze_frame"))
        numbers = np.arange(len(source))
        if said.get("adaptive_frame", True):
            numbers = adapt(len(source), path.total_angle)
        assert source[numbers].tolist() == said["source_idx"], name
        assert numbers.tolist() == said["render_idx"], name
        # What upstream reports as its cameras: not those it renders, but recorded all the same.
        scale = meta["first_depth_min"]
        reported = trajectory_poses(path, len(numbers), scale=scale, rotation_only=said.get("rotation_only", False))
        agree(inverse(reported), tensors[f"out/dataset/{name}/target_w2c"], name, **POSES)


def test_merged_views(warp_v15_case):
    meta, tensors = load_case(warp_v15_case)
    source, target = (inverse(tensors[f"in/{name}_w2c"]) for name in ("source", "target"))
    matrix = tensors["in/source_K"]
    lens = jax.device_put(np.stack([matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 0, 2], matrix[:, 1, 2]], axis=-1))
    views = Views(jax.device_put(tensors["in/frames_u8"]), jax.device_put(tensors["in/depth"]), lens)
    motion = jnp.asarray(relative(target[:, None], source[None]), jnp.float32)
    seen, pixels = render_views(views, motion, lens[0])
    at = meta["frames_in_out_render"]
    mask = tensors["out/mask"]
    assert flips(seen.known[np.array(at)], mask) <= MAY_FLIP
    want = np.moveaxis(tensors["out/render"], 1, -1)
    compare_colours(seen.frames[np.array(at)], want, seen.known[np.array(at)], mask)
    agree(pixels, tensors["out/overlap_pixels_per_frame"], atol=MAY_FLIP * mask[0].size)
    overlap = overlap_of_latents(tensors["out/overlap_pixels_per_frame"])
    np.testing.assert_array_equal(overlap, meta["overlap_per_latent"])
    assert choose_views(overlap).tolist() == meta["source_indices"]
    for frames, padded in meta["padded"].items():
        assert whole_chunks(int(frames), "v1.5") == padded
