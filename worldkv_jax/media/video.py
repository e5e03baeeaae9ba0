"""Video files: frames to H.264 in mp4 and back, by the ffmpeg that imageio-ffmpeg brings along."""

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import imageio_ffmpeg
import numpy as np

from worldkv_jax.media.files import replacing
from worldkv_jax.media.frames import as_bytes, check_frames, enlarge

# Visually lossless; 4:2:0 and BT.709 tags are what every player and browser shows with the right colours.
_ENCODER = (
    *("-c:v", "libx264", "-preset", "medium", "-crf", "17", "-pix_fmt", "yuv420p"),
    *("-vf", "scale=out_color_matrix=bt709:out_range=tv"),
    *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
    *("-movflags", "+faststart", "-f", "mp4"),
)

# What ffmpeg says about the stream it puts out: "Video: rawvideo ..., rgb24(...), 192x128 [...], ..., 12 fps".
_STREAM = re.compile(r"Video: rawvideo.*?rgb24.*?, (\d+)x(\d+).*?, ([\d.]+) fps")


def write_video(path: str | os.PathLike, frames, *, fps: float, scale: int = 1) -> Path:
    """Write frames to an mp4 file, whole or not at all.

    H.264 needs even sides: an odd one is extended by repeating its last row or column.

    Args:
        path: where to write, ending in ``.mp4``; parent folders are made, an older file is replaced.
        frames: ``[n, h, w, 3]`` float in [0, 1] or uint8, NumPy or JAX.
        fps: frames a second.
        scale: enlarge every pixel to ``scale x scale``, for tiny frames.

    Returns:
        The path.

    Raises:
        ValueError: invalid frames, fps or scale, or another suffix.
        OSError: the folder cannot be written to, or the encoder failed (with its message).
    """
    with writing_video(path, fps=fps, scale=scale) as append:
        append(frames)
    return Path(path)


@contextmanager
def writing_video(path: str | os.PathLike, *, fps: float, scale: int = 1) -> Iterator[Callable[[Any], None]]:
    """Offer a function that appends frames ``[n, h, w, 3]`` to an mp4 file, which appears when the block ends well.

    For rollouts of any length: frames go to the encoder as they come. Arguments and errors are those of `write_video`.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"{path}: videos are written as .mp4, got {path.suffix or 'no suffix'}")
    if not 0 < fps <= 1000:
        raise ValueError(f"fps={fps} is not in (0, 1000]")
    with (
        replacing(path) as draft,
        tempfile.TemporaryFile() as log,
        _Encoder(draft, fps, scale, log) as encoder,
    ):
        yield encoder.append


class _Encoder:
    """An ffmpeg process that starts with the first frame, whose size it needs."""

    def __init__(self, path: Path, fps: float, scale: int, log: BinaryIO):
        self.path, self.fps, self.scale, self.log = path, fps, scale, log
        self.process, self.size = None, None

    def append(self, frames) -> None:
        frames = check_frames(frames)
        if frames.ndim != 4:
            raise ValueError(f"frames: got shape {frames.shape}, expected [n, height, width, 3]")
        if self.process is None:
            self._start(_pad_to_even(enlarge(as_bytes(frames[0]), self.scale)).shape)
        try:
            for frame in frames:
                pixels = _pad_to_even(enlarge(as_bytes(frame), self.scale))
                if f"{pixels.shape[1]}x{pixels.shape[0]}" != self.size:
                    raise ValueError(f"frames of {pixels.shape[1]}x{pixels.shape[0]} in a video of {self.size}")
                self.process.stdin.write(pixels.tobytes())
        except BrokenPipeError:
            self._finish()  # the encoder stopped early; its exit status and message say why

    def _start(self, shape) -> None:
        self.size = f"{shape[1]}x{shape[0]}"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", self.size, "-r", f"{self.fps:g}", "-i", "-", *_ENCODER, os.fspath(self.path)]
        # Not imageio_ffmpeg.write_frames: it does not look at the exit status, and a full disk would go unseen.
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log)

    def _finish(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        if self.process.wait():
            self.log.seek(0)
            message = " ".join(self.log.read().decode(errors="replace").split())[-500:]
            status = self.process.returncode
            raise OSError(f"encoding {self.size} video failed (ffmpeg status {status}): {message}")

    def __enter__(self) -> "_Encoder":
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None and self.process is None:
            raise ValueError("no frames were given; a video needs at least one")
        if kind is None:
            self._finish()
        elif self.process is not None:
            self.process.kill()
            self.process.communicate()


def _pad_to_even(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def read_video(path: str | os.PathLike) -> tuple[np.ndarray, float]:
    """Read a whole video file.

    Args:
        path: any format that ffmpeg reads.

    Returns:
        Frames ``[n, h, w, 3]`` uint8, and frames a second.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no video, or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no video file at {path}")
    # Not imageio_ffmpeg.read_frames: it forks Python, which may deadlock under the threads of JAX.
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "info", "-i", os.fspath(path)]
    command += ["-map", "0:v:0", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    log = result.stderr.decode(errors="replace")
    stream = _STREAM.search(log)
    if result.returncode or stream is None or not result.stdout:
        reason = "it holds no frames" if result.returncode == 0 else log.strip().splitlines()[-1]
        raise ValueError(f"{path} cannot be read as a video: {reason}")
    width, height = int(stream[1]), int(stream[2])
    frames = np.frombuffer(result.stdout, np.uint8).reshape(-1, height, width, 3)
    return frames.copy(), float(stream[3])
