"""Camera poses: make them, invert them, relate them to the first, resample them, compare them.

A pose is a camera-to-world 4x4 matrix with OpenCV axes (x right, y down, z forward): column 3 is where the
camera stands, column 2 where it looks. Everything here prepares cameras on the host in float64.
"""

import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import ArrayLike, DTypeLike
from scipy.spatial.transform import Rotation, Slerp

from worldkv_jax.cameras._namespace import A, as_float, namespace, product, same_rank
from worldkv_jax.cameras.checks import validate_poses
from worldkv_jax.cameras.rotations import rotation_angle

STILL = 1e-6  # scene units; a path whose longest translation is below this does not move


def pose_from_angles(
    yaw: ArrayLike = 0.0, pitch: ArrayLike = 0.0, position: ArrayLike = (0.0, 0.0, 0.0)
) -> Float64[np.ndarray, "*B 4 4"]:
    """Make poses from heading, elevation and place, without roll.

    Args:
        yaw: degrees ``[...]``; positive turns to the right (from z towards x).
        pitch: degrees ``[...]``; positive looks up (from z towards -y).
        position: scene units ``[..., 3]``. The three broadcast against each other.

    Returns:
        Camera-to-world poses ``[..., 4, 4]``, float64.
    """
    yaw, pitch, position = (np.asarray(value, np.float64) for value in (yaw, pitch, position))
    shape = np.broadcast_shapes(yaw.shape, pitch.shape, position.shape[:-1])
    yaw, pitch = np.deg2rad(yaw), np.deg2rad(pitch)
    sin_yaw, cos_yaw, sin_pitch, cos_pitch = np.sin(yaw), np.cos(yaw), np.sin(pitch), np.cos(pitch)
    pose = np.zeros((*shape, 4, 4))
    pose[..., 0, 0], pose[..., 2, 0] = cos_yaw, -sin_yaw
    pose[..., 0, 1], pose[..., 1, 1], pose[..., 2, 1] = sin_yaw * sin_pitch, cos_pitch, cos_yaw * sin_pitch
    pose[..., 0, 2], pose[..., 1, 2], pose[..., 2, 2] = sin_yaw * cos_pitch, -sin_pitch, cos_yaw * cos_pitch
    pose[..., :3, 3] = position
    pose[..., 3, 3] = 1.0
    return pose


def look_at(position: ArrayLike, target: ArrayLike, up: ArrayLike = (0.0, -1.0, 0.0)) -> Float64[np.ndarray, "4 4"]:
    """Make the pose of a camera that stands at one point and looks at another.

    Args:
        position: where the camera stands, ``[3]``, scene units.
        target: the point in the middle of its image, ``[3]``.
        up: direction that is up in the image, ``[3]``; -y by default, as y points down.

    Returns:
        Camera-to-world pose ``[4, 4]``, float64.

    Raises:
        ValueError: the target is the position, or lies straight along ``up``.
    """
    position, target, up = (np.asarray(value, np.float64) for value in (position, target, up))
    forward = target - position
    right = np.cross(forward, up)
    if not np.linalg.norm(right) > 1e-9 * np.linalg.norm(forward) * np.linalg.norm(up):
        raise ValueError(
            f"look_at from {position.tolist()} to {target.tolist()}: this view direction has no right side "
            f"with up={up.tolist()}; move the target, or give another up"
        )
    forward, right = forward / np.linalg.norm(forward), right / np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = position
    return pose


def inverse(poses: ArrayLike) -> Float64[np.ndarray, "*B 4 4"]:
    """Invert rigid poses by the transposed rotation.

    Args:
        poses: rigid matrices ``[..., 4, 4]``.

    Returns:
        Inverses ``[..., 4, 4]``, float64: world-to-camera of camera-to-world and the other way round.
    """
    poses = np.asarray(poses, np.float64)
    result = np.zeros_like(poses)
    result[..., :3, :3] = poses[..., :3, :3].swapaxes(-1, -2)
    result[..., :3, 3:] = -result[..., :3, :3] @ poses[..., :3, 3:]
    result[..., 3, 3] = 1.0
    return result


def relative(origin: A, poses: A) -> A:
    """Express poses in the camera frame of another one.

    Paths in geographic coordinates lie millions of units away, where float32 knows half metres. Only differences of
    positions mean anything: give NumPy arrays, of which they are taken in float64 before anything is rounded.

    Args:
        origin: rigid ``[..., 4, 4]``, NumPy or JAX; leading axes broadcast against those of ``poses``.
        poses: rigid ``[..., 4, 4]``.

    Returns:
        ``inverse(origin) @ poses``; float64 for NumPy input, float32 for JAX, where it works under jit.
    """
    xp = namespace(origin, poses)
    origin, poses = same_rank(*as_float(xp, origin, poses))
    to_origin = xp.swapaxes(origin[..., :3, :3], -1, -2)
    turn = product(to_origin, poses[..., :3, :3])
    shift = product(to_origin, poses[..., :3, 3:] - origin[..., :3, 3:])
    top = xp.concatenate([turn, shift], axis=-1)
    return xp.concatenate([top, xp.broadcast_to(poses[..., 3:, :], (*top.shape[:-2], 1, 4))], axis=-2)


def relative_to_first(
    poses: ArrayLike, framewise: bool = False, normalize: bool = False, scale: float | None = None
) -> Float64[np.ndarray, "n 4 4"]:
    """Express poses in the camera frame of the first pose, as LingBot-World conditions on them.

    LingBot-World-Fast is conditioned with both ``framewise`` and ``normalize``.

    Args:
        poses: camera-to-world ``[n, 4, 4]``.
        framewise: relate every pose to the one before it instead (pose 0 is the identity either way).
        normalize: divide translations by their largest norm over the whole path, so that the longest is 1.
            A path that stands still (below 1e-6 scene units) is left as it is: its noise is no motion.
        scale: divide translations by this many scene units instead. A live camera, whose future path is
            unknown, needs it; ``translation_scale`` gives the value that ``normalize`` would take.

    Returns:
        Relative poses ``[n, 4, 4]``, float64.

    Raises:
        ValueError: invalid poses (see ``validate_poses``), or a scale that is not a positive number.
    """
    poses = validate_poses(poses)
    if scale is not None and not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale={scale} is not a positive number of scene units; leave it out for no scaling")
    # Of neighbours, not of what is relative to the first already: far apart they would lose digits once more.
    moved = relative(poses[np.maximum(np.arange(len(poses)) - 1, 0)] if framewise else poses[0], poses)
    moved[0] = np.eye(4)
    if scale is None and normalize:
        scale = translation_scale(moved)
    if scale is not None:
        moved[:, :3, 3] /= scale
    return moved


def translation_scale(relative: ArrayLike) -> float:
    """Measure the longest translation of relative poses.

    Args:
        relative: relative poses ``[n, 4, 4]``.

    Returns:
        The largest norm in scene units, or 1.0 for a path that stands still (below 1e-6).
    """
    longest = float(np.linalg.norm(np.asarray(relative, np.float64)[:, :3, 3], axis=-1).max())
    return longest if longest > STILL else 1.0


def interpolate(
    poses: ArrayLike, times: ArrayLike, target_times: ArrayLike, *, dtype: DTypeLike = np.float32
) -> Float[np.ndarray, "m 4 4"]:
    """Resample a camera path: translations linearly, rotations by slerp along the shorter arc.

    Args:
        poses: camera-to-world ``[n, 4, 4]``.
        times: strictly increasing time of each pose ``[n]``, any unit.
        target_times: times to sample at ``[m]``, within the range of ``times``.
        dtype: of the result, which is computed in float64: float32 as LingBot-World has it, unless the path lies so far
            from the origin that this would lose the motion (see `relative`).

    Returns:
        Poses ``[m, 4, 4]``.

    Raises:
        ValueError: invalid poses, times that do not increase or do not match, targets out of range.
    """
    poses = validate_poses(poses)
    times, target_times = np.asarray(times, np.float64), np.asarray(target_times, np.float64)
    if times.shape != poses.shape[:1]:
        raise ValueError(f"times has shape {times.shape}, expected ({len(poses)},): one for each pose")
    if target_times.ndim != 1 or not np.isfinite(target_times).all():
        raise ValueError(f"target_times of shape {target_times.shape}: expected finite times [m]")
    if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise ValueError("times must be finite and strictly increasing; sort them and drop repeated frames")
    if target_times.size and (target_times.min() < times[0] or target_times.max() > times[-1]):
        raise ValueError(
            f"target_times span [{target_times.min():g}, {target_times.max():g}], outside the path's "
            f"[{times[0]:g}, {times[-1]:g}]; clip them or extend the path"
        )
    result = np.zeros((len(target_times), 4, 4))
    if len(poses) == 1:
        result[:] = poses
    elif len(target_times):
        rotations = Slerp(times, Rotation.from_matrix(poses[:, :3, :3]))
        result[:, :3, :3] = rotations(target_times).as_matrix()
        result[:, :3, 3] = np.stack([np.interp(target_times, times, axis) for axis in poses[:, :3, 3].T], -1)
        result[:, 3, 3] = 1.0
    return result.astype(dtype)


def latent_poses(poses: ArrayLike, latent_frames: int) -> Float64[np.ndarray, "latent_frames 4 4"]:
    """Sample one pose for every latent frame, evenly over the whole path.

    The path is stretched, never cut: the last latent frame gets the last pose also where the number of latent
    frames was rounded down to whole chunks (LingBot-World).

    Args:
        poses: one camera-to-world pose per video frame ``[n, 4, 4]``.
        latent_frames: how many latent frames the video has.

    Returns:
        Poses ``[latent_frames, 4, 4]``, float64.

    Raises:
        ValueError: invalid poses, or ``latent_frames`` below one.
    """
    if latent_frames < 1:
        raise ValueError(f"latent_frames={latent_frames}, expected at least 1")
    poses = np.asarray(poses)
    last = len(poses) - 1
    return interpolate(poses, np.arange(last + 1), np.linspace(0, last, latent_frames), dtype=np.float64)


def pose_distance(a: A, b: A) -> tuple[A, A]:
    """Measure how far cameras stand apart and how far they are turned from each other.

    Args:
        a: poses ``[..., 4, 4]``, NumPy or JAX.
        b: poses ``[..., 4, 4]``; leading axes broadcast against those of ``a``.

    Returns:
        Distance ``[...]`` in scene units and angle ``[...]`` in radians.
    """
    xp = namespace(a, b)
    a, b = same_rank(*as_float(xp, a, b))
    offset = a[..., :3, 3] - b[..., :3, 3]
    return xp.sqrt((offset * offset).sum(-1)), rotation_angle(a[..., :3, :3], b[..., :3, :3])
