"""Cameras: poses, trajectories, camera folders, motion from actions, rays and view overlap.

Every pose is a camera-to-world 4x4 matrix with OpenCV axes (x right, y down, z forward).
"""

from worldkv_jax.cameras.actions import Motion, MotionUnits, dead_reckon, fit_units
from worldkv_jax.cameras.checks import nearest_rigid, validate_poses
from worldkv_jax.cameras.folders import CameraTrack, read_track, write_track
from worldkv_jax.cameras.frustum import points_seen, view_overlap
from worldkv_jax.cameras.intrinsics import (
    DEFAULT_INTRINSICS,
    DEFAULT_SIZE,
    check_lens,
    field_of_view,
    rescale_intrinsics,
    validate_intrinsics,
)
from worldkv_jax.cameras.plucker import camera_channels, pack_cells, ray_directions, rays
from worldkv_jax.cameras.poses import (
    interpolate,
    inverse,
    latent_poses,
    look_at,
    pose_distance,
    pose_from_angles,
    relative,
    relative_to_first,
    translation_scale,
)
from worldkv_jax.cameras.rotations import mean_rotation, nearest_rotation, rotation_angle
from worldkv_jax.cameras.trajectories import Move, parse, trajectory

__all__ = [
    "DEFAULT_INTRINSICS",
    "DEFAULT_SIZE",
    "CameraTrack",
    "Motion",
    "MotionUnits",
    "Move",
    "camera_channels",
    "check_lens",
    "dead_reckon",
    "field_of_view",
    "fit_units",
    "interpolate",
    "inverse",
    "latent_poses",
    "look_at",
    "mean_rotation",
    "nearest_rigid",
    "nearest_rotation",
    "pack_cells",
    "parse",
    "points_seen",
    "pose_distance",
    "pose_from_angles",
    "ray_directions",
    "rays",
    "read_track",
    "relative",
    "relative_to_first",
    "rescale_intrinsics",
    "rotation_angle",
    "trajectory",
    "translation_scale",
    "validate_intrinsics",
    "validate_poses",
    "view_overlap",
    "write_track",
]
