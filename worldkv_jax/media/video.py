"""Video files: frames to H.264 in mp4 as they come, whole or up to where a rollout ended."""

import contextlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from numpy.typing import ArrayLike

from worldkv_jax.files import free_name, replacing
from worldkv_jax.media.encoder import Encoder, remux
from worldkv_jax.media.ffmpeg import program
from worldkv_jax.media.frames import check_video
from worldkv_jax.media.video_reading import read_video

__all__ = ["VideoWriter", "read_video", "write_video", "writing_video"]


def write_video(path: str | os.PathLike[str], frames: ArrayLike, *, fps: float, scale: int = 1) -> Path:
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


class VideoWriter:
    """A video that is being written: call it with frames ``[n, h, w, 3]`` to append them.

    Attributes:
        frames: how many were appended.
        path: the file once it is there, complete or cut; ``None`` before, and where nothing was kept.
        cut: whether the file ends where an exception ended the block.
    """

    def __init__(self, encoder: Encoder):
        self.frames = 0
        self.path: Path | None = None
        self.cut = False
        self._encoder = encoder

    def __call__(self, frames: ArrayLike) -> None:
        for frame in check_video(frames):
            self._encoder.append(frame)
            self.frames += 1


@contextmanager
def writing_video(
    path: str | os.PathLike[str], *, fps: float, scale: int = 1, keep_cut: bool = False
) -> Generator[VideoWriter]:
    """Offer a function that appends frames ``[n, h, w, 3]`` to an mp4 file, which appears when the block ends well.

    For rollouts of any length: frames go to the encoder as they come. Path, rate and encoder are checked before the
    block begins. Other arguments and errors are those of `write_video`.

    With ``keep_cut``, what ends the block early (Ctrl-C, an error, a full disk) costs no frame that was appended: they
    become a playable ``NAME_cut.mp4`` (numbered if that is taken), ``path`` and ``cut`` of the writer tell, and the
    exception goes on. An older file at ``path`` stays. A signal such as SIGTERM must be turned into an exception by
    the program; of a process that is killed outright, a playable ``NAME.draft-XXXXXXXX.mp4`` remains::

        with writing_video("video.mp4", fps=16, keep_cut=True) as video:
            for chunk in chunks:
                video(chunk.frames[0])
        print(video.path, video.frames)

    Args:
        keep_cut: keep what was appended when the block raises.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"{path}: videos are written as .mp4, got {path.suffix or 'no suffix'}")
    if not 0 < fps <= 1000:
        raise ValueError(f"fps={fps} is not in (0, 1000]")
    program()
    with replacing(path) as draft:
        encoder = Encoder(draft, fps, scale)
        writer = VideoWriter(encoder)
        try:
            yield writer
            if not writer.frames:
                raise ValueError("no frames were given; a video needs at least one")
            encoder.close()
            with contextlib.suppress(OSError):  # no room for a second file: the first can be played as well
                remux(draft)
        except BaseException:
            if keep_cut and writer.frames:
                writer.path = _keep(encoder, draft, path.with_stem(f"{path.stem}_cut"))
                writer.cut = writer.path is not None
            raise
        finally:
            encoder.kill()
    writer.path = path


def _keep(encoder: Encoder, draft: Path, path: Path) -> Path | None:
    """Give what was appended so far a name of its own, and return it."""
    try:
        encoder.close(check=False)
        remux(draft)
    except BaseException:  # a full disk, or another Ctrl-C of somebody who does not want to wait
        encoder.kill()  # the draft itself can be played up to its last whole second
    try:
        read_video(draft, limit=1, tell=lambda _: None)
    except ValueError:
        return None
    path = free_name(path)
    os.replace(draft, path)
    return path
