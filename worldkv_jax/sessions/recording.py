"""What a rollout leaves behind: videos, latents and a report, whole or up to where it ended."""

import contextlib
import dataclasses
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from worldkv_jax.files import replacing
from worldkv_jax.media import VideoWriter, writing_video
from worldkv_jax.rollout import Chunk
from worldkv_jax.sessions.provenance import describe_machine
from worldkv_jax.sessions.results import write_json
from worldkv_jax.sessions.session import Session
from worldkv_jax.sessions.world_state import frames_of_chunks

WRITES = ("*video*.mp4", "*latents*.npy", "*report.json")
"""Names of what a recording writes."""


class Recording:
    """A rollout that is being recorded: call it with each chunk as it comes.

    Attributes:
        files: what was written, once the recording has ended.
        report: what `report.json` says, once the recording has ended.
        rows: what the report says of each chunk.
        videos: one a world, unless there is no decoder.
        latents: of each chunk, where they are kept.
    """

    def __init__(self, videos: list[VideoWriter], keep_latents: bool, left: int | None):
        self.files: list[Path] = []
        self.report: dict[str, Any] = {}
        self.videos, self._keep_latents = videos, keep_latents
        self.rows: list[dict[str, Any]] = []
        self.latents: list[np.ndarray] = []
        self._left = left

    def __call__(self, chunk: Chunk) -> None:
        """Take a chunk.

        Raises:
            ValueError: latents that are not finite, such as those of damaged weights.
        """
        if self._keep_latents or not self.videos:
            latents = np.asarray(chunk.latents, np.float32)
            if not np.isfinite(latents).all():
                raise ValueError(
                    f"the latents of chunk {chunk.index} have numbers that are not finite; check the weights "
                    "(worldkv inspect --verify), or use float32"
                )
            if self._keep_latents:
                self.latents.append(latents)
        if self.videos:
            assert chunk.frames is not None, "there is a video, so frames were decoded"
            shown = chunk.frames.shape[1] if self._left is None else min(self._left, chunk.frames.shape[1])
            self._left = None if self._left is None else self._left - shown
            for video, frames in zip(self.videos, chunk.frames if shown else (), strict=bool(shown)):
                video(frames[:shown])
        # Last: a chunk is reported when all of it is kept.
        self.rows.append(_row(chunk))


@contextlib.contextmanager
def recording(
    session: Session, folder: Path, about: dict[str, Any], *, latents: bool = False, first: int = 0
) -> Generator[Recording]:
    """Offer a `Recording` whose files appear in a folder when the block ends, well or not.

    If the block raises, what was recorded so far stays: ``video_cut.mp4``, ``latents_cut.npy``, and a report that names
    the reason under ``cut``. Files of a model without training are named so: they are found long after what was printed
    is gone.

    Args:
        session: what is rolled out; without its decoder there are no videos.
        folder: where to write.
        about: what the report says beside what is measured, such as ``{"seed": 0}``.
        latents: also keep latents.
        first: chunks that were made before, and that the video goes on from.

    Raises:
        ValueError: no chunk was recorded.
        OSError: the folder cannot be written to.
    """
    prefix = "random_weights_" if session.random_weights else ""
    names = [f"_{world}" if session.worlds > 1 else "" for world in range(session.worlds if session.decode else 0)]
    since = time.perf_counter()
    kept = None
    try:
        with contextlib.ExitStack() as open_files:
            videos = [
                open_files.enter_context(
                    writing_video(
                        folder / f"{prefix}video{name}.mp4", fps=session.fps, scale=session.pixel_scale, keep_cut=True
                    )
                )
                for name in names
            ]
            kept = Recording(videos, latents, _frames_left(session, first))
            yield kept
            if not kept.rows:
                raise ValueError("no chunk was made: nothing was given for the first one")
    except BaseException as error:
        if kept is not None and kept.rows:
            _finish(kept, session, folder, about, prefix, time.perf_counter() - since, cut=_reason(error))
        raise
    _finish(kept, session, folder, about, prefix, time.perf_counter() - since, cut=None)


def _frames_left(session: Session, first: int) -> int | None:
    """Count the frames of the video that are still to come when ``first`` chunks are made; ``None`` for all."""
    if session.pixel_frames is None or not first or not session.decode:
        return session.pixel_frames
    opening, later = frames_of_chunks(session.backbone, session.params, session.worlds)
    return max(0, session.pixel_frames - opening - (first - 1) * later)


def _finish(
    kept: Recording, session: Session, folder: Path, about: dict[str, Any], prefix: str, seconds: float, cut: str | None
) -> None:
    """Write latents and report; of a cut rollout as much as can be."""
    kept.files = [video.path for video in kept.videos if video.path is not None]
    if kept.latents:
        path = folder / f"{prefix}latents{'_cut' if cut else ''}.npy"
        with contextlib.suppress(OSError) if cut else contextlib.nullcontext():
            with replacing(path) as draft:
                np.save(draft, np.concatenate(kept.latents, axis=1))
            kept.files.append(path)
    kept.report = {
        **about,
        **describe_machine(),
        "cut": cut,
        "weights": "random" if session.random_weights else "loaded",
        "request": session.summary,
        "memory": dataclasses.asdict(session.memory),
        "plan": session.plan().to_json(),
        "seconds": seconds,
        "fps": _steady_fps(kept.rows),
        "latency": _latency(kept.rows),
        "chunks": kept.rows,
    }
    with contextlib.suppress(OSError) if cut else contextlib.nullcontext():
        kept.files.append(write_json(folder / f"{prefix}report.json", kept.report))


def _reason(error: BaseException) -> str:
    text = str(error).splitlines()[:1]
    return ": ".join([type(error).__name__, *text])


def _row(chunk: Chunk) -> dict[str, Any]:
    return {
        "index": chunk.index,
        "seconds": chunk.seconds,
        "frames": 0 if chunk.frames is None else chunk.frames.shape[1],
        "retrieved": chunk.retrieved,
        "attended_tokens": chunk.attended_tokens,
        "kv_bytes": chunk.kv_bytes,
    }


def _steady_fps(rows: list[dict[str, Any]]) -> float | None:
    """Return the frames a second after the chunks that compiled, the first two."""
    steady = rows[2:]
    return sum(row["frames"] for row in steady) / sum(row["seconds"] for row in steady) if steady else None


def _latency(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Measure from asking for a chunk until its frames are there; a live action shows in the first of them."""
    seconds = [row["seconds"] for row in rows]
    steady = seconds[2:] or seconds
    return {"median_seconds": float(np.median(steady)), "largest_seconds": float(np.max(steady))}
