"""Checks of camera poses that say which frame is wrong, and the repair for nearly rigid ones."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from worldkv_jax.cameras.rotations import nearest_rotation

RIGID_TOLERANCE = 1e-3  # of max |R^T R - I|; float16 matrices pass, a scaled or sheared one does not

MAX_FRAMES = 1_000_000  # ten hours of video; a longer path is a mistake and would fill the memory


def _check_layout(poses: ArrayLike, name: str) -> Float64[np.ndarray, "n 4 4"]:
    try:
        array = np.asarray(poses, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: not an array of numbers ({error}); give [n, 4, 4]") from None
    if array.ndim != 3 or array.shape[1:] != (4, 4):
        raise ValueError(f"{name}: got shape {array.shape}, expected camera-to-world [n, 4, 4]{_advice(array.shape)}")
    if len(array) == 0:
        raise ValueError(f"{name}: got no frames, expected at least one camera-to-world matrix")
    bad = ~np.isfinite(array).all(axis=(1, 2))
    if bad.any():
        frame = int(bad.argmax())
        row, column = np.argwhere(~np.isfinite(array[frame]))[0]
        raise ValueError(
            f"{name}[{frame}]: entry ({row}, {column}) is {array[frame, row, column]}, expected finite "
            f"numbers ({bad.sum()} of {len(array)} frames are affected); drop or interpolate these frames"
        )
    return array


def _advice(shape: tuple[int, ...]) -> str:
    if shape == (4, 4):
        return "; add the frame axis: poses[None]"
    if len(shape) > 3 and shape[-2:] == (4, 4):
        axes = shape[:-3]
        return "; take the first axis off: poses[0]" if set(axes) == {1} else f"; choose one of {axes} paths: poses[0]"
    if shape[-2:] == (3, 4):
        return "; append the row (0, 0, 0, 1) to every matrix"
    if shape and shape[-1] in (16, 12):
        return f"; make matrices of the rows: poses.reshape(-1, {shape[-1] // 4}, 4)"
    if shape[-1:] == (7,):
        return "; these look like positions and quaternions, as TUM trajectories have: worldkv cameras converts them"
    return ""


def validate_poses(poses: ArrayLike, *, name: str = "poses") -> Float64[np.ndarray, "n 4 4"]:
    """Check that poses are rigid, right-handed camera-to-world matrices.

    Args:
        poses: ``[n, 4, 4]`` camera-to-world, OpenCV axes (x right, y down, z forward).
        name: how error messages call the argument.

    Returns:
        The poses as a float64 array ``[n, 4, 4]``.

    Raises:
        ValueError: wrong shape, no frames, a number that is not finite, a last row other than (0, 0, 0, 1),
            or a rotation that is not orthonormal within 1e-3 or is mirrored; names the first such frame.
    """
    array = _check_layout(poses, name)
    wrong = np.abs(array[:, 3] - (0.0, 0.0, 0.0, 1.0)).max(axis=1) > 1e-6
    if wrong.any():
        frame = int(wrong.argmax())
        raise ValueError(
            f"{name}[{frame}]: last row is {array[frame, 3].tolist()}, expected [0, 0, 0, 1]; "
            "give camera-to-world matrices that act on column vectors (transpose row-vector ones)"
        )
    rotation = array[:, :3, :3]
    defect = np.abs(rotation.swapaxes(1, 2) @ rotation - np.eye(3)).max(axis=(1, 2))
    if (defect > RIGID_TOLERANCE).any():
        frame = int((defect > RIGID_TOLERANCE).argmax())
        raise ValueError(
            f"{name}[{frame}]: rotation is not orthonormal (max |R^T R - I| = {defect[frame]:.2g}, "
            f"tolerance {RIGID_TOLERANCE:g}); give camera-to-world matrices of a rigid motion; "
            "cameras.nearest_rigid(poses) projects them"
        )
    _check_handedness(rotation, name)
    return array


def _check_handedness(rotation: np.ndarray, name: str) -> None:
    determinant = np.linalg.det(rotation)
    if (determinant <= 0).any():
        frame = int((determinant <= 0).argmax())
        raise ValueError(
            f"{name}[{frame}]: determinant is {determinant[frame]:.2g}, expected +1; the axes are mirrored "
            "or collapsed: convert to right-handed OpenCV axes (x right, y down, z forward)"
        )


def nearest_rigid(poses: ArrayLike, *, name: str = "poses") -> Float64[np.ndarray, "n 4 4"]:
    """Project poses on rigid motions: nearest rotation, last row (0, 0, 0, 1), translation as it is.

    Args:
        poses: nearly rigid camera-to-world matrices ``[n, 4, 4]``, for example with rounding or scale errors.
        name: how error messages call the argument.

    Returns:
        Rigid poses ``[n, 4, 4]``, float64.

    Raises:
        ValueError: wrong shape, a number that is not finite, or a mirrored or collapsed rotation, for which
            no projection gives what was meant.
    """
    array = _check_layout(poses, name).copy()
    _check_handedness(array[:, :3, :3], name)
    array[:, :3, :3] = nearest_rotation(array[:, :3, :3])
    array[:, 3] = (0.0, 0.0, 0.0, 1.0)
    return array
