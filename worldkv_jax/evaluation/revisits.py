"""Revisits of a camera path: which earlier frame saw the same view, and how often it was visited before."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from worldkv_jax.cameras import pose_distance, validate_poses

_BLOCK_PAIRS = 2**17  # pairs of poses compared at once: about 50 MB


class Revisits(NamedTuple):
    """Frames whose view was left and is seen again, each with its nearest frame of the first visit."""

    frames: np.ndarray  # [m] int64
    earlier: np.ndarray  # [m] int64
    visits: np.ndarray  # [m] int64 earlier visits: 1 on the first revisit, more on late ones

    def __len__(self) -> int:
        return len(self.frames)


class ClosestApproach(NamedTuple):
    """A pair of frames whose views come near each other after the camera had moved away."""

    frame: int
    earlier: int
    angle_degrees: float
    distance: float


def revisit_pairs(poses: ArrayLike, *, max_angle_degrees: float, max_distance: float, min_gap: int) -> np.ndarray:
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


def visit_numbers(poses: ArrayLike, *, max_angle_degrees: float, max_distance: float, min_away: int = 1) -> np.ndarray:
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
        closeness = np.where(np.arange(closeness.shape[1]) <= rows[:, None], closeness, np.inf)
        numbers.append(_visit_starts(closeness, min_away).sum(axis=1) - 1)
    return np.concatenate(numbers)


def find_revisits(
    poses: ArrayLike, *, max_angle_degrees: float, max_distance: float, min_gap: int = 1, min_away: int = 1
) -> Revisits:
    """Find every frame whose view was left and is seen again, and its nearest view of the first visit.

    Visits are those of `visit_numbers`; what is nearest is that of `revisit_pairs`.

    Args:
        poses: camera-to-world ``[n, 4, 4]``, OpenCV axes.
        max_angle_degrees: largest angle of a near frame, above 0.
        max_distance: largest distance of a near frame in scene units, above 0.
        min_gap: fewest frames between the two.
        min_away: frames that count as having left, at least 1.

    Raises:
        ValueError: invalid poses, or limits that are not positive.
    """
    poses = validate_poses(poses)
    _check_gap("min_gap", min_gap)
    _check_gap("min_away", min_away)
    found = []
    for rows, closeness in _closeness(poses, max_angle_degrees, max_distance):
        columns = np.arange(closeness.shape[1])
        closeness = np.where(columns <= rows[:, None], closeness, np.inf)
        visits = np.cumsum(_visit_starts(closeness, min_away), axis=1)
        first_visit = np.where((visits == 1) & (columns <= rows[:, None] - min_gap), closeness, np.inf)
        nearest, each = first_visit.argmin(axis=1), np.arange(len(rows))
        returned = (visits[each, rows] > 1) & np.isfinite(first_visit[each, nearest])
        found.append(np.stack([rows, nearest, visits[each, rows] - 1], axis=1)[returned])
    return Revisits(*np.concatenate(found).T)


def given_revisits(pairs: Iterable[tuple[int, int]], frames: int) -> Revisits:
    """Take revisits that are given by hand, as for the trajectories of the released code.

    Args:
        pairs: (first visit, revisit) frame numbers, from 0. A second pair with the same first visit is a late one.
        frames: of the video.

    Raises:
        ValueError: no pairs, a frame outside the video, or a revisit that is not after its first visit.
    """
    ordered = sorted((int(later), int(earlier)) for earlier, later in pairs)
    if not ordered:
        raise ValueError("no pairs were given; give (first visit, revisit) frame numbers")
    for later, earlier in ordered:
        if not 0 <= earlier < later < frames:
            raise ValueError(
                f"pair {earlier}:{later} does not fit a video of {frames} frames: expected "
                f"0 <= first visit < revisit <= {frames - 1}"
            )
    found, earlier = np.array(ordered, np.int64).T
    visits = [1 + int((earlier[:i] == earlier[i]).sum()) for i in range(len(ordered))]
    return Revisits(found, earlier, np.array(visits, np.int64))


def closest_approach(
    poses: ArrayLike, *, max_angle_degrees: float, max_distance: float, min_gap: int = 1
) -> ClosestApproach | None:
    """Find the two frames that come closest to a revisit: nearest to each other, after the camera was farther away.

    The limits only weigh angle against distance. ``None`` if the camera never comes nearer to an earlier view.

    Raises:
        ValueError: invalid poses, or limits that are not positive.
    """
    poses = validate_poses(poses)
    _check_gap("min_gap", min_gap)
    best, least = None, np.inf
    for frame in range(min_gap, len(poses)):
        distance, angle = pose_distance(poses[frame], poses[:frame])
        closeness = np.rad2deg(angle) / max_angle_degrees + distance / max_distance
        farthest_since = np.maximum.accumulate(closeness[::-1])[::-1]
        came_back = np.append(farthest_since[1:] > closeness[:-1] + 1e-9, False)
        came_back[frame - min_gap + 1 :] = False
        closeness = np.where(came_back, closeness, np.inf)
        earlier = int(closeness.argmin())
        if closeness[earlier] < least:
            least = closeness[earlier]
            best = ClosestApproach(frame, earlier, float(np.rad2deg(angle[earlier])), float(distance[earlier]))
    return best


def other_places(poses: np.ndarray, others: np.ndarray, *, max_angle_degrees: float, max_distance: float) -> np.ndarray:
    """Tell which cameras ``[..., 4, 4]`` see another place than others: turned by more, or farther away."""
    distance, angle = pose_distance(poses, others)
    return (np.rad2deg(angle) > max_angle_degrees) | (distance > max_distance)


def _visit_starts(closeness: np.ndarray, min_away: int) -> np.ndarray:
    """Mark the near frames ``[r, c]`` at which a visit begins, seen from the frame of each row."""
    columns, near = np.arange(closeness.shape[1]), np.isfinite(closeness)
    latest = np.maximum.accumulate(np.where(near, columns, -1), axis=1)
    previous = np.concatenate([np.full((len(near), 1), -1), latest[:, :-1]], axis=1)
    return near & ((previous < 0) | (columns - previous - 1 >= min_away))


def _closeness(
    poses: np.ndarray, max_angle_degrees: float, max_distance: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
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
