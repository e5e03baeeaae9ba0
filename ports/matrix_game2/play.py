"""Play: actions of whole rollouts or live ones become what each chunk is given."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ports.matrix_game2.actions import (
    Rows,
    action_windows,
    check_rows,
    chunks_of_rows,
    hold,
    join,
    rows_of_chunk,
)
from ports.matrix_game2.backbone import Given
from ports.matrix_game2.config import LATENT_ROWS, WINDOW_ROWS
from ports.matrix_game2.poses import motion_of
from ports.matrix_game2.scene import Scene
from ports.matrix_game2.variants import Variant
from ports.wan.latents import CHUNK_FRAMES
from worldkv_jax.cameras.actions import MotionUnits, Stance, dead_reckon, resting
from worldkv_jax.rollout import ChunkInput

Action = str | Rows
"""What one world does during a chunk: letters, or a row for each of its pixel frames (or one row for all)."""
Source = Callable[[int], Action | Sequence[Action] | None]
"""Is asked once a chunk, with its number: an action of all worlds, a list with one for each, or ``None`` to end."""


class Track(NamedTuple):
    """How far one world has come: the rows that its next chunk still sees, and where its camera stands."""

    chunk: int = 0
    rows: Rows | None = None
    stance: Stance = resting()


class Seen(NamedTuple):
    """What one world's chunk is given of its actions."""

    poses: np.ndarray  # [F, 4, 4] camera-to-world, of the last pixel frame of each latent frame
    keyboard: np.ndarray  # [F, 12, K]
    mouse: np.ndarray | None  # [F, 12, 2]


def advance(track: Track, rows: Rows, variant: Variant, units: MotionUnits) -> tuple[Track, Seen]:
    """Take one world a chunk further.

    Args:
        track: where it is.
        rows: its actions during the chunk, see `rows_of_chunk`.
        variant: whose actions they are.
        units: how far an action moves the camera.

    Returns:
        Where it is then, and what the chunk sees.
    """
    own, first = rows_of_chunk(track.chunk), track.chunk * CHUNK_FRAMES
    frames = range(first, first + CHUNK_FRAMES)
    known = rows if track.rows is None else join([track.rows, rows])
    known_from = own.stop - len(known.keyboard)
    before = None if track.rows is None else track.rows.keyboard[-1]
    path = dead_reckon(motion_of(variant, rows, units, before=before), units, track.stance)
    at_frames = LATENT_ROWS * np.asarray(frames) - own.start
    poses = jax.tree.map(lambda part: part[at_frames], path).pose()
    windows = jax.tree.map(lambda part: action_windows(part, frames, first_row=known_from), known)
    forgotten = max(0, LATENT_ROWS * frames.stop - WINDOW_ROWS - known_from)
    rest = jax.tree.map(lambda part: part[forgotten:], known)
    stop = jax.tree.map(lambda part: part[-1], path)
    return Track(track.chunk + 1, rest, stop), Seen(poses, *windows)


def follow(
    scene: Scene,
    variant: Variant,
    actions: Iterable[Sequence[Rows]],
    *,
    units: MotionUnits | None = None,
    tracks: Sequence[Track] | None = None,
) -> Generator[ChunkInput, None, list[Track]]:
    """Make what each chunk is given, one chunk at a time.

    Make a list of it where all actions are known; give it to `stream` as it is where they come live.

    Args:
        scene: what the first images contribute, of all worlds.
        variant: whose actions they are.
        actions: for each chunk the rows of every world.
        units: how far an action moves the camera; those of Matrix-Game 3 by default, uncalibrated.
        tracks: where the worlds are, to go on with a rollout.

    Returns:
        Where the worlds are after the last chunk (the generator's return value).
    """
    units = units or MotionUnits()
    tracks = [Track()] * scene.cells.shape[0] if tracks is None else list(tracks)
    for worlds in actions:
        chunk = tracks[0].chunk
        tracks, seen = zip(*(advance(track, rows, variant, units) for track, rows in zip(tracks, worlds, strict=True)))
        yield given(scene, chunk, jax.tree.map(lambda *parts: np.stack(parts), *seen))
    return list(tracks)


def given(scene: Scene, chunk: int, seen: Seen) -> ChunkInput:
    """Put together what a chunk is given, of all worlds together."""
    poses, keyboard, mouse = jax.tree.map(lambda part: jnp.asarray(part, jnp.float32), seen)
    return ChunkInput(poses, Given(keyboard, mouse, scene.chunk_cells(chunk), scene.tokens))


def cut_rows(worlds: Sequence[Rows]) -> list[list[Rows]]:
    """Cut the rows of whole rollouts into chunks.

    Args:
        worlds: rows of every world, for the same number of frames.

    Returns:
        For each chunk the rows of every world.

    Raises:
        ValueError: rows that do not fill whole chunks, or not as many in every world.
    """
    counts = sorted({len(rows.keyboard) for rows in worlds})
    if len(counts) > 1:
        raise ValueError(f"the worlds have different numbers of rows of actions: {counts}; all must be as long")
    pieces = [slice(rows.start, rows.stop) for rows in map(rows_of_chunk, range(chunks_of_rows(counts[0])))]
    return [[jax.tree.map(lambda part: part[piece], rows) for rows in worlds] for piece in pieces]  # noqa: B023


def ask(source: Source, variant: Variant, *, worlds: int = 1, first: int = 0) -> Iterator[list[Rows]]:
    """Ask a person, an agent or a program for actions, once a chunk and not before the chunk is due.

    Args:
        source: what to ask.
        variant: whose actions they are.
        worlds: worlds in the batch.
        first: number of the first chunk.

    Yields:
        For each chunk the rows of every world.

    Raises:
        ValueError: an action that is none, or not one for each world.
    """
    chunk = first
    while (given := source(chunk)) is not None:
        answer: Any = given  # anybody's
        alone = isinstance(answer, str | Rows) or not isinstance(answer, Iterable)
        actions = [given] * worlds if alone else list(given)
        if len(actions) != worlds:
            raise ValueError(
                f"got {len(actions)} actions for chunk {chunk}; give one, or one for each of {worlds} worlds"
            )
        yield [_rows(variant, action, len(rows_of_chunk(chunk)), chunk) for action in actions]
        chunk += 1


def play(
    scene: Scene,
    variant: Variant,
    source: Source,
    *,
    units: MotionUnits | None = None,
    tracks: Sequence[Track] | None = None,
) -> Generator[ChunkInput, None, list[Track]]:
    """Make what each chunk is given while the rollout goes on; arguments and errors are those of `ask` and `follow`.

    Give it to `stream`, which yields each chunk before it asks for the next one's actions: whoever answers has seen
    all frames up to there.
    """
    first = tracks[0].chunk if tracks else 0
    actions = ask(source, variant, worlds=scene.cells.shape[0], first=first)
    return follow(scene, variant, actions, units=units, tracks=tracks)


def _rows(variant: Variant, action: Any, count: int, chunk: int) -> Rows:
    if isinstance(action, str):
        return hold(variant, action, count)
    if not isinstance(action, Rows):
        raise ValueError(f"the action for chunk {chunk} is {action!r}; give letters such as 'WL', or Rows")
    rows = check_rows(variant, *action)
    if len(rows.keyboard) not in (1, count):
        raise ValueError(f"chunk {chunk} has {count} pixel frames; got {len(rows.keyboard)} rows of actions")
    return jax.tree.map(lambda part: np.broadcast_to(part, (count, part.shape[1])), rows)
