"""Revisits of a camera path: which earlier frame saw the same view, and how often it was visited before."""

from collections.abc import Iterator

import numpy as np

from worldkv_jax.cameras import pose_distance, validate_poses

_BLOCK_PAIRS = 2**17  # pairs of poses compared at once: about 50 MB


def revisit_pairs(poses, *, max_angle_degrees: float, max_distance: float, min_gap: int) -> np.ndarray:
    """Find for every frame the nearest view among the frames well before it.

    A frame is a candidate if it lies at least ``min_gap`` frames before, is turned by at most
    ``max_angle_degrees`` and stands at most ``max_distance`` away. The nearest has the smallest
    ``angle / max_angle + distance / max_distance``; of equal ones, the earliest. A camera that stands still
    for ``min_gap`` frames revisits its own view; `visit_numbers` tells this from leaving and coming back.

    Args:
        poses: camera-to-world ``[n, 4, 4]``, OpenCV axes.
        max_angle_degrees: largest angle between the two cameras, above 0.
        max_distance: largest distance between them in scene units, above 0.
        min_gap: fewest frames from the earlier to the later, at least 1.

    Returns:
        Pairs ``[m, 2]`` of (frame, nearest earlier frame), int64, in the order of frames; frames without a
        candidate are left out.

    Raises:
        ValueError: invalid poses, or limits that are not positive.
    """
    poses = validate_poses(poses)
    _check_gap("min_gap", min_gap)
    pairs = []
    for rows, closeness in _closeness(poses, max_angle_degrees, max_distance):
        columns = np.arange(closeness.shape[1])
        closeness = np.where(columns <= rows[:, None] - min_gap, closeness, np.inf)
        nearest = closeness.argmin(axis=1)
        found = np.isfinite(closeness[np.arange(len(rows)), nearest])
        pairs.append(np.stack([rows[found], nearest[found]], axis=1))
    return np.concatenate(pairs)


def visit_numbers(poses, *, max_angle_degrees: float, max_distance: float, min_away: int = 1) -> np.ndarray:
    """Count for every frame how many earlier visits its view has had.

    A frame is *near* frame i if it is turned by at most ``max_angle_degrees`` and stands at most
    ``max_distance`` away from it. The frames up to and including i that are near i fall into visits: runs
    that are separated by at least ``min_away`` consecutive frames that are not near i. The last visit is the
    one that i belongs to; the number of the others is the result: 0 for the first visit, 1 for the first
    revisit. What is near is judged from i itself, so two frames of one slow pan may get different numbers.

    Args:
        poses: camera-to-world ``[n, 4, 4]``, OpenCV axes.
        max_angle_degrees: largest angle of a near frame, above 0.
        max_distance: largest distance of a near frame in scene units, above 0.
        min_away: frames that count as having left, at least 1; raise it for a camera that trembles.

    Returns:
        Earlier visits ``[n]``, int64.

    Raises:
        ValueError: invalid poses, or limits that are not positive.
    """
    poses = validate_poses(poses)
    _check_gap("min_away", min_away)
    numbers = []
    for rows, closeness in _closeness(poses, max_angle_degrees, max_distance):
        columns = np.arange(closeness.shape[1])
        near = np.isfinite(closeness) & (columns <= rows[:, None])
        latest = np.maximum.accumulate(np.where(near, columns, -1), axis=1)
        previous = np.concatenate([np.full((len(rows), 1), -1), latest[:, :-1]], axis=1)
        returns = near & (previous >= 0) & (columns - previous - 1 >= min_away)
        numbers.append(returns.sum(axis=1))
    return np.concatenate(numbers)


def _closeness(poses, max_angle_degrees, max_distance) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield blocks of frames ``[r]`` and their closeness ``[r, c]`` to frames 0..c-1; inf beyond the limits."""
    for name, limit in (("max_angle_degrees", max_angle_degrees), ("max_distance", max_distance)):
        if not 0 < limit < np.inf:
            raise ValueError(f"{name}={limit} is not a finite number above 0")
    start = 0
    while start < len(poses):
        stop = min(len(poses), start + max(1, _BLOCK_PAIRS // (start + 1)), 2 * start + 64)
        rows = np.arange(start, stop)
        distance, angle = pose_distance(poses[rows, None], poses[None, :stop])
        angle = np.rad2deg(angle)
        closeness = angle / max_angle_degrees + distance / max_distance
        inside = (angle <= max_angle_degrees) & (distance <= max_distance)
        yield rows, np.where(inside, closeness, np.inf)
        start = stop


def _check_gap(name: str, value: int) -> None:
    if value != int(value) or value < 1:
        raise ValueError(f"{name}={value} is not a whole number of at least 1")
