"""Read video files: the frames that are in them, each once, in one copy."""

import os
import re
import struct
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from worldkv_jax.media.ffmpeg import as_url, complaints, program
from worldkv_jax.readers import check_file, what_it_is

MOST_BYTES = 64 << 30
"""Of decoded frames; more than that is another file than was meant."""
_UNEVEN = 1.5  # ratio of the longest to the shortest time between frames; clocks of phones jitter by less
_RATE = re.compile(r"Parsed_showinfo.*config in time_base: (\d+)/(\d+), frame_rate: (\d+)/(\d+)")
_TIME = re.compile(r"Parsed_showinfo.* n: *\d+ pts: *(-?\d+) ")


def read_video(
    path: str | os.PathLike[str], *, limit: int | None = None, tell: Callable[[str], object] = warnings.warn
) -> tuple[np.ndarray, float]:
    """Read a video file: every frame that is in it, once, whatever their time stamps say.

    Args:
        path: any format that ffmpeg reads.
        limit: stop after so many frames.
        tell: is told of frames that are not evenly spaced in time, and of frames beyond the limit.

    Returns:
        Frames ``[n, h, w, 3]`` uint8, and frames a second: that of the file, or the mean where they vary.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no video, or is damaged or cut short.
        OSError: it cannot be read.
    """
    path = check_file(path, "a video file")
    open(path, "rb").close()  # a file that may not be read is no damaged video
    with tempfile.TemporaryFile() as log:
        frames, more = _decode(path, limit, log)
        said = complaints(log) + _missing_end(path)
        if said and not more:
            got = f"; {len(frames)} frames before that can be read" if len(frames) else ""
            found = what_it_is(path)
            kind = f"; it is {found}" if found and "video" not in found else ""
            raise ValueError(
                f"{path} cannot be read as a video: damaged or cut short ({'; '.join(said[:3])}){kind}{got}"
            )
        if not len(frames):
            raise ValueError(f"{path} cannot be read as a video: it holds no frames")
        fps, even = _rate(log, len(frames))
    if more:
        tell(f"{path} has more than {limit} frames; the first {limit} are used")
    if not even:
        tell(f"{path}: its frames are not evenly spaced in time; all {len(frames)} are used, one after the other")
    return frames, fps


def _decode(path: Path, limit: int | None, log: BinaryIO) -> tuple[np.ndarray, bool]:
    """Return the frames, and whether there are more than the limit."""
    # Not imageio_ffmpeg.read_frames: it forks Python, which may deadlock under the threads of JAX.
    command = [program(), "-nostdin", "-hide_banner", "-loglevel", "level+info", "-protocol_whitelist", "file"]
    command += ["-i", as_url(path), "-map", "0:v:0", "-fps_mode", "passthrough", "-vf", "showinfo=checksum=0"]
    # PPM has a small head on every frame, which says its size: nothing needs to be known before the first one.
    command += ["-c:v", "ppm", "-pix_fmt", "rgb24", "-f", "image2pipe", "-"]
    pixels, shape, count, more = bytearray(), None, 0, False
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log) as process:
        assert process.stdout is not None
        try:
            for size in _heads(process.stdout):
                if shape not in (None, size):
                    raise ValueError(f"{path} changes its size from {shape} to {size} at frame {count}; cut it there")
                if count == limit:
                    more = True
                    process.kill()
                    break
                shape, count = size, count + 1
                if len(pixels) > MOST_BYTES:
                    raise ValueError(f"{path} has more than {MOST_BYTES >> 30} GiB of frames; cut it shorter")
                pixels += process.stdout.read(size[0] * size[1] * 3)
        except BaseException:
            process.kill()
            raise
    height, width = shape or (0, 0)
    return np.frombuffer(pixels, np.uint8).reshape(count, height, width, 3), more


def _missing_end(path: Path) -> list[str]:
    """Say what an mp4 or QuickTime file lacks: ffmpeg sees no fault where the cut is between two frames."""
    place, size = 0, path.stat().st_size
    with open(path, "rb") as file:
        while place + 8 <= size:
            file.seek(place)
            length, kind = struct.unpack(">I4s", file.read(8))
            if not place and kind not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return []
            if length == 1:
                length = int.from_bytes(file.read(8), "big")
            if length < 8:  # 0 is a last box, which goes on to the end
                return []
            place += length
    return [f"its last {place - size:,} bytes are missing"] if place > size else []


def _heads(stream: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Yield height and width of one frame after the other; its pixels must be read in between."""
    while stream.readline() == b"P6\n":
        width, height = map(int, stream.readline().split())
        stream.readline()  # the largest value
        yield height, width


def _rate(log: BinaryIO, count: int) -> tuple[float, bool]:
    """Return frames a second, and whether the frames are evenly spaced."""
    log.seek(0)
    text = log.read().decode(errors="replace")
    stated = _RATE.search(text)
    if stated is None:
        return 0.0, True
    unit, fps = (Fraction(int(stated[i]), max(1, int(stated[i + 1]))) for i in (1, 3))
    times = np.array([int(time) for time in _TIME.findall(text)][:count])
    steps = np.diff(times)
    if not len(steps) or steps.min() <= 0:
        return float(fps), True
    even = bool(steps.max() <= _UNEVEN * steps.min())
    return float(fps if even and fps else len(steps) / (int(times[-1] - times[0]) * unit)), even
