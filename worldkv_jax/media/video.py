"""Video files: frames to H.264 in mp4 and back, by the ffmpeg that imageio-ffmpeg brings along."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

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
    path, frames = Path(path), check_frames(frames)
    if frames.ndim != 4:
        raise ValueError(f"frames: got shape {frames.shape}, expected [n, height, width, 3]")
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"{path}: videos are written as .mp4, got {path.suffix or 'no suffix'}")
    if not 0 < fps <= 1000:
        raise ValueError(f"fps={fps} is not in (0, 1000]")
    with replacing(path) as draft:
        _encode(draft, frames, fps, scale)
    return path


def _encode(path: Path, frames: np.ndarray, fps: float, scale: int) -> None:
    first = _pad_to_even(enlarge(as_bytes(frames[0]), scale))
    size = f"{first.shape[1]}x{first.shape[0]}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", size, "-r", f"{fps:g}", "-i", "-", *_ENCODER, os.fspath(path)]
    # Not imageio_ffmpeg.write_frames: it does not look at the exit status, and a full disk would go unseen.
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        try:
            for frame in frames:
                process.stdin.write(_pad_to_even(enlarge(as_bytes(frame), scale)).tobytes())
            process.stdin.close()
        except BrokenPipeError:
            pass  # the encoder stopped early; its exit status and message say why
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
        if process.returncode:
            log.seek(0)
            message = " ".join(log.read().decode(errors="replace").split())[-500:]
            raise OSError(f"encoding {size} video failed (ffmpeg status {process.returncode}): {message}")


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
