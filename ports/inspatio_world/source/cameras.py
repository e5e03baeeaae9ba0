"""Where a source is seen from: target cameras, and the intrinsics that v1 renders with."""

import numpy as np

from worldkv_jax.cameras import inverse, validate_intrinsics


def target_poses(source, relative, *, follow: bool = False, released: bool = False) -> np.ndarray:
    """Place a trajectory among the source's cameras (v1).

    Args:
        source: camera-to-world poses of the source ``[n, 4, 4]``.
        relative: poses of the trajectory ``[n, 4, 4]``, see `relative_poses`.
        follow: the trajectory starts from the source's camera of every frame instead of from the first.
        released: as the released code multiplies, which mixes the frames of target and source unless the first
            camera of the source is the identity.

    Returns:
        Camera-to-world poses ``[n, 4, 4]``, float64.
    """
    source, relative = np.asarray(source, np.float64), np.asarray(relative, np.float64)
    if released:
        origin = inverse(source[0])
        return (origin @ source if follow else np.eye(4)) @ origin @ relative
    return (source if follow else source[:1]) @ relative


def render_intrinsics(intrinsics, size: tuple[int, int]) -> np.ndarray:
    """Fit intrinsics to the image as v1 does, which takes it to be twice as large as its principal point.

    Args:
        intrinsics: fx, fy, cx, cy in pixels ``[4]``.
        size: height and width of the image.

    Returns:
        fx, fy, cx, cy ``[4]`` with the principal point in the middle, float64.

    Raises:
        ValueError: intrinsics that are none, or a principal point that is not in the image.
    """
    fx, fy, cx, cy = validate_intrinsics(intrinsics)
    if cx <= 0 or cy <= 0:
        raise ValueError(
            f"the principal point ({cx:g}, {cy:g}) is not inside the image, whose size v1 takes from it; "
            "give cx and cy in pixels"
        )
    height, width = size
    return np.array([fx * width / (2 * cx), fy * height / (2 * cy), width / 2, height / 2])
