"""Videos in the folder layout of the MIND benchmark (arXiv 2602.08025), for its own scripts to score."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worldkv_jax.cameras import pose_distance, validate_poses
from worldkv_jax.files import replacing
from worldkv_jax.media.frames import check_video
from worldkv_jax.media.video import write_video
from worldkv_jax.names import check_name

PERSPECTIVES = ("1st_data", "3rd_data")


def export_memory_test(
    root: str | os.PathLike[str],
    model: str,
    name: str,
    frames: np.ndarray,
    *,
    fps: float,
    mark: int,
    truth: np.ndarray | None = None,
    perspective: str = "1st_data",
) -> list[Path]:
    """Write one video for MIND's memory metrics.

    MIND compares what was generated after ``mark`` with the truth from there on: the video starts at ``mark``. With
    a truth its side is written too, as ``MIND-Data`` beside the model's folder. Its ``action.json`` says where
    generation starts and holds no actions, so the metric ``action`` cannot be computed from it.

    Args:
        root: folder of both sides.
        model: name of the model's folder.
        name: of the video.
        frames: the whole video ``[n, h, w, 3]``.
        fps: frames a second.
        mark: first frame that was generated; what is before it was given.
        truth: the true video, of the same length.
        perspective: ``1st_data`` or ``3rd_data``.

    Returns:
        The files.

    Raises:
        ValueError: a mark outside the video, another length of the truth, or an unknown perspective.
    """
    check_name("perspective", perspective, PERSPECTIVES)
    frames = check_video(frames, name="video")
    if not 0 <= mark < len(frames):
        raise ValueError(f"mark={mark} is outside the video of {len(frames)} frames: nothing would be left to score")
    if truth is not None and len(truth) != len(frames):
        raise ValueError(f"the truth has {len(truth)} frames, the video {len(frames)}; give both from the same start")
    root = Path(root)
    files = [write_video(root / model / perspective / "mem_test" / name / "video.mp4", frames[mark:], fps=fps)]
    if truth is not None:
        folder = root / "MIND-Data" / perspective / "test" / "mem_test" / name
        files.append(write_video(folder / "video.mp4", truth, fps=fps))
        described = {"mark_time": mark, "total_time": len(frames), "caption": "", "data": []}
        with replacing(folder / "action.json") as draft:
            draft.write_text(json.dumps(described))
        files.append(folder / "action.json")
    return files


def export_mirror_test(
    root: str | os.PathLike[str],
    model: str,
    name: str,
    videos: Sequence[np.ndarray],
    poses: Sequence[np.ndarray],
    *,
    fps: float,
    perspective: str = "1st_data",
) -> list[Path]:
    """Write videos of a path and its way back for MIND's scene consistency (``gsc``).

    Args:
        root: folder of the model's folder.
        model: its name.
        name: of the scene.
        videos: ``[p, n, h, w, 3]`` or a list; the second half of each goes the first one back.
        poses: ``[p, n, 4, 4]`` camera-to-world, one path for each.
        fps: frames a second.
        perspective: ``1st_data`` or ``3rd_data``.

    Returns:
        The files.

    Raises:
        ValueError: an odd number of frames, or a path that does not go back as it came.
    """
    check_name("perspective", perspective, PERSPECTIVES)
    for number, (video, path) in enumerate(zip(videos, poses, strict=True), 1):
        _check_mirrored(len(video), validate_poses(path), number)
    folder = Path(root) / model / perspective / "mirror_test" / name
    return [write_video(folder / f"path-{number}.mp4", video, fps=fps) for number, video in enumerate(videos, 1)]


def _check_mirrored(frames: int, path: np.ndarray, number: int) -> None:
    if frames % 2 or frames != len(path):
        raise ValueError(
            f"path {number} has {frames} frames and {len(path)} poses; MIND halves it: give an even number"
        )
    distance, angle = pose_distance(path[: frames // 2], path[frames // 2 :][::-1])
    if distance.max() > 1e-3 or angle.max() > 1e-3:
        raise ValueError(
            f"path {number} does not go back as it came: a pair of frames is {np.rad2deg(angle.max()):.2f} degrees and "
            f"{distance.max():.3g} units apart; frame n - 1 - i must stand where frame i stood"
        )
