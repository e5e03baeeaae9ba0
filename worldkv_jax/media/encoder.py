"""An ffmpeg process that encodes frames as they come, into a file that can be played wherever it ends."""

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import IO

import numpy as np

from worldkv_jax.media.ffmpeg import as_rate, as_url, complaints, program
from worldkv_jax.media.frames import as_bytes, enlarge

# Visually lossless; 4:2:0 and BT.709 tags are what every player and browser shows with the right colours. The tags
# stand on the frames, where all versions of ffmpeg look for them.
_ENCODER = (
    *("-c:v", "libx264", "-preset", "medium", "-crf", "17", "-pix_fmt", "yuv420p"),
    "-vf",
    "scale=out_color_matrix=bt709:out_range=tv,"
    "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv",
)
# Pieces of a second, each of which says what it holds: what is there can be played although the end is missing.
_IN_PIECES = ("-movflags", "+empty_moov+default_base_moof", "-frag_duration", "1000000", "-f", "mp4")
# One table of contents at the front, for browsers that play while they load.
_IN_ONE = ("-c", "copy", "-movflags", "+faststart", "-f", "mp4")
_QUIET = ("-nostdin", "-hide_banner", "-y", "-loglevel", "level+error")


class Encoder:
    """Encodes frames ``[h, w, 3]`` of one size; the process starts with the first one, whose size it needs."""

    def __init__(self, path: Path, fps: float, scale: int):
        self.path, self.fps, self.scale = path, fps, scale
        self.process: subprocess.Popen[bytes] | None = None
        self.size: str | None = None
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (`kill` closes it)

    def append(self, frame: np.ndarray) -> None:
        """Encode one frame.

        Raises:
            ValueError: it has another size than those before.
            OSError: the encoder has stopped; the text says why.
        """
        pixels = _pad_to_even(enlarge(as_bytes(frame), self.scale))
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        process = self.process or self._start(size)
        if size != self.size:
            raise ValueError(f"frames of {size} in a video of {self.size}")
        try:
            _pipe(process).write(pixels.tobytes())
        except OSError:  # a broken pipe: the encoder stopped early; its exit status and message say why
            self.close()

    def close(self, *, check: bool = True) -> None:
        """Wait until all frames are written.

        Raises:
            OSError: the encoder failed, unless ``check`` is off.
        """
        if self.process is None:
            return
        with contextlib.suppress(OSError):
            _pipe(self.process).close()
        if self.process.wait() and check:
            raise OSError(
                f"encoding {self.size} video failed (ffmpeg status {self.process.returncode}): "
                f"{'; '.join(complaints(self.log))[-500:]}"
            )

    def kill(self) -> None:
        """Stop at once."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.log.close()

    def _start(self, size: str) -> subprocess.Popen[bytes]:
        self.size = size
        command = [program(), *_QUIET, "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", as_rate(self.fps)]
        command += ["-i", "-", *_ENCODER, *_IN_PIECES, as_url(self.path)]
        # Not imageio_ffmpeg.write_frames: it does not look at the exit status, and a full disk would go unseen.
        # In a session of its own, for Ctrl-C in a terminal reaches a whole group and would end the encoder first;
        # and deaf to broken limits of size (SIGXFSZ), which then are errors like a full disk.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
            restore_signals=False,
        )
        return self.process


def _pipe(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None, "the encoder was started without a pipe"
    return process.stdin


def remux(path: Path) -> None:
    """Turn a file of pieces into one with a table of contents at its front, in its place.

    Raises:
        OSError: there is no room for a second file, or nothing in the first; it stays as it is.
    """
    other = path.with_suffix(".new")
    with tempfile.TemporaryFile() as log:
        command = [program(), *_QUIET, "-i", as_url(path), *_IN_ONE, as_url(other)]
        try:
            if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode:
                raise OSError("; ".join(complaints(log)))
            os.replace(other, path)
        finally:
            other.unlink(missing_ok=True)


def _pad_to_even(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
