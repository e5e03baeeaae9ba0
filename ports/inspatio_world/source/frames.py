"""Which frames of a source make a video: freezing, bouncing and thinning (v1), padding to whole chunks (v1.5)."""

import math

import numpy as np

from ports.inspatio_world.config import Version
from ports.wan.latents import CHUNK_FRAMES, FRAMES_PER_LATENT, frames_of, latents_of

SHORTEST = 121
"""Frames that v1 makes of a shorter source."""
_MOST_DEGREES, _LEAST_DEGREES = 0.8, 0.3  # that a camera of v1 turns from frame to frame


def whole_chunks(frames: int, version: Version) -> int:
    """Return the frames that fill whole chunks: cut for v1, padded for v1.5, which repeats the last frame.

    Raises:
        ValueError: too few frames for a chunk of v1.
    """
    if frames < 1:
        raise ValueError(f"frames={frames}: a video has at least one")
    if version == "v1.5":
        latents = -(-(frames - 1) // FRAMES_PER_LATENT) + 1
        return frames_of(-(-latents // CHUNK_FRAMES) * CHUNK_FRAMES)
    latents = latents_of(frames) // CHUNK_FRAMES * CHUNK_FRAMES
    if not latents:
        raise ValueError(
            f"{frames} frames do not fill a chunk of v1, which cuts what is left over; give at least "
            f"{frames_of(CHUNK_FRAMES)}, or use v1.5, which repeats the last frame"
        )
    return frames_of(latents)


def latent_frames(latents: int) -> np.ndarray:
    """Return the last frame of each latent frame, whose camera stands for it: int ``[latents]``, 0, 4, 8, ..."""
    return FRAMES_PER_LATENT * np.arange(latents)


def freeze(frames: int, *, repeat: int = 0, at: int | None = None) -> np.ndarray:
    """Return frame numbers in which one is shown ``repeat`` more times, by default the middle one (v1).

    Raises:
        ValueError: a negative number, or a frame that there is not.
    """
    at = frames // 2 if at is None else at
    if repeat < 0 or not 0 <= at < frames:
        raise ValueError(f"cannot show frame {at} of {frames} {repeat} more times; give a frame from 0 to {frames - 1}")
    numbers = np.arange(frames)
    return np.insert(numbers, at, [at] * repeat)


def resample(frames: int, count: int) -> np.ndarray:
    """Return ``count`` frame numbers: back and forth where there are too few frames, thinned where too many (v1)."""
    if count <= frames:
        return np.linspace(0, frames - 1, count).astype(int)
    return bounce(frames, np.arange(count))


def bounce(frames: int, numbers: np.ndarray) -> np.ndarray:
    """Return the frames that are shown at these times while a video runs back and forth, without end."""
    period = max(1, 2 * (frames - 1))
    steps = numbers % period
    return np.minimum(steps, period - steps) if frames > 1 else np.zeros(len(numbers), int)


def adapt(frames: int, total_angle: float) -> np.ndarray:
    """Return the frame numbers that v1 makes a video of, so that its camera turns neither too fast nor too slowly.

    Args:
        frames: rendered.
        total_angle: degrees, see `Trajectory.total_angle`.
    """
    fewest = most = frames
    if total_angle > 1e-3:
        fewest = max(2, math.ceil(total_angle / _MOST_DEGREES) + 1)
        most = max(2, math.floor(total_angle / _LEAST_DEGREES) + 1)
    fewest = max(fewest, SHORTEST)
    if frames < fewest:
        return resample(frames, fewest)
    return resample(frames, min(frames, most))
