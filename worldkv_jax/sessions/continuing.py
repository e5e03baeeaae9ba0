"""Going on with a world: from a folder, or from an earlier moment of its time line."""

import contextlib
import os
import typing
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, Protocol

import jax
from jax.sharding import Mesh

from worldkv_jax.counts import counted
from worldkv_jax.memory.layout import Layout
from worldkv_jax.rollout import Chunk, ChunkInput, Noise, World, split
from worldkv_jax.rollout.stream import exhaust
from worldkv_jax.rollout.world import check_unconsumed
from worldkv_jax.sessions.identity import check_identity, key_from_json, key_to_json, world_identity
from worldkv_jax.sessions.saving import WorldSaver
from worldkv_jax.sessions.world_folder import WorldFolder, empty_manifest, writing
from worldkv_jax.sessions.world_manifest import WorldManifest
from worldkv_jax.sessions.world_state import input_of
from worldkv_jax.sessions.world_state import restore as restore_state
from worldkv_jax.whole_numbers import whole

if typing.TYPE_CHECKING:
    from worldkv_jax.sessions.answers import Answers
    from worldkv_jax.sessions.session import Session
    from worldkv_jax.sessions.timeline import TimeLine


class Keeper(Protocol):
    """Keeps moments of a rollout: a `TimeLine` in memory, or a `WorldSaver` on disk."""

    @property
    def key(self) -> jax.Array | None:
        """Random key of what it holds; ``None`` where it holds nothing yet, or the noise was given."""
        ...

    def begin(self, world: World, noise: jax.Array | Noise) -> World:
        """Take the world that goes on, and what its noise is drawn from; return the one to go on with."""
        ...

    def __call__(self, index: int, chunk: ChunkInput, world: World) -> None:
        """Take note of a chunk that is begun, see `worldkv_jax.rollout.Watch`."""
        ...

    def done(self, index: int) -> None:
        """Take note that whoever takes the chunks is done with this one."""
        ...

    def finish(self, world: World) -> None:
        """Take the world after the last chunk."""
        ...


def keep(
    chunks: Generator[Chunk, None, World],
    keeper: Keeper | None,
    place: Callable[[], contextlib.AbstractContextManager[Any]],
) -> Generator[Chunk, None, World]:
    """Pass chunks on, each made within a place, and tell the keeper when one is done with and what comes out."""
    while True:
        # Entered for each chunk alone: whoever takes the chunks goes on outside of the mesh.
        with place():
            try:
                chunk = next(chunks)
            except StopIteration as end:
                if keeper is not None:
                    keeper.finish(end.value)
                return end.value
        yield chunk
        if keeper is not None:
            keeper.done(chunk.index)


def identify(session: "Session", world: World) -> dict[str, Any]:
    """Describe what decides how a session's world goes on."""
    return world_identity(session.model, session.backbone, session.params, world.memory.layout)


def check_before_loading(session: "Session", manifest: WorldManifest, path: str | os.PathLike[str]) -> None:
    """Check that a session can go on with a world, but for its weights, see `Session.restore`.

    Raises:
        ValueError: it is a world of something else, with all that differs.
    """
    chunks = max(session.chunks, manifest.room or 0)
    layout = Layout(config=session.memory, spec=session.backbone.spec, worlds=session.worlds, chunks=chunks)
    here = world_identity(session.model, session.backbone, None, layout)
    check_identity(manifest.identity, here, what=str(path))


@contextlib.contextmanager
def saving(
    session: "Session",
    path: str | os.PathLike[str],
    *,
    every: int,
    answers: "Answers | None",
    stopped: Callable[[OSError], object],
) -> Generator[WorldSaver]:
    """Offer a `WorldSaver`, see `Session.saving`."""
    with writing(path, empty_manifest()) as folder:
        saver = WorldSaver(folder, every, lambda world: identify(session, world), answers, stopped)
        try:
            yield saver
        finally:
            saver.close()


def save(session: "Session", world: World, path: str | os.PathLike[str], key: jax.Array | None) -> None:
    """Write one point, see `Session.save`."""
    check_unconsumed(world)
    with writing(path, empty_manifest()) as folder:
        folder.admit(identify(session, world), int(world.position), key_to_json(key))
        folder.add_world(world)


def restore(session: "Session", path: str | os.PathLike[str], *, at: int | None, chunks: int | None) -> World:
    """Put a world together again, see `Session.restore`."""
    folder = WorldFolder(path)
    manifest = folder.manifest
    at = manifest.end if at is None else whole("at", at)
    if not 0 <= at <= manifest.end:
        raise ValueError(f"{path} holds a world of {counted(manifest.end, 'chunk')}; chunk {at} is not there")
    worlds = manifest.identity["worlds"]
    world = session.start(worlds=worlds, chunks=max(session.chunks if chunks is None else chunks, manifest.room or 0))
    check_identity(manifest.identity, identify(session, world), what=str(path))
    made = folder.point_before(at)
    if made is not None:
        world = restore_state(
            session.backbone,
            session.params,
            world,
            manifest.points[made].state,
            manifest.stored_at(made),
            folder.store.get,
            example=lambda: _example(session, worlds),
            decode=session.decode,
            elsewhere=split(mesh) if isinstance(mesh := session.placement.sharding, Mesh) else None,
        )
    made = made or 0
    if made == at:
        return world
    key = key_from_json(manifest.key)
    missing = [chunk for chunk in range(made, at) if chunk not in manifest.inputs]
    if key is None or missing:
        what = "its noise" if key is None else f"what chunk {missing[0]} was given"
        raise ValueError(
            f"{path} does not say {what}, so only its points can be restored: chunks {sorted(manifest.points)}"
        )
    like = _example(session, worlds)
    inputs = {chunk: input_of(like, manifest.inputs[chunk], folder.store.get, chunk=chunk) for chunk in range(made, at)}
    return replay(session, world, inputs, key, at)


def rewind(session: "Session", timeline: "TimeLine", chunk: int) -> World:
    """Go back, see `Session.rewind`."""
    return replay(session, timeline.before(chunk), timeline.inputs, timeline.noise, chunk)


def replay(
    session: "Session", world: World, given: Mapping[int, ChunkInput], noise: jax.Array | Noise | None, until: int
) -> World:
    """Make chunks again that were made before; return the world when ``until`` chunks are made."""
    inputs = [given[chunk] for chunk in range(int(world.position), until)]
    if not inputs:
        return world
    given_noise, key = (noise, None) if callable(noise) else (None, noise)
    return exhaust(session.stream(world, inputs, noise=given_noise, key=key))


def remaining(inputs: Iterable[ChunkInput], world: World) -> Iterable[ChunkInput]:
    """Leave out of a whole rollout's inputs what a world was given already.

    Raises:
        ValueError: nothing is left, or inputs that come live, which begin anew.
    """
    position = int(world.position)
    if not position:
        return inputs
    if not isinstance(inputs, list):
        raise ValueError(f"the world is at chunk {position}, and what comes live begins anew: give what comes next")
    if position >= len(inputs):
        raise ValueError(
            f"the world has {counted(position, 'chunk')} and the whole path {len(inputs)}: nothing is left to make; "
            "give a longer one, of which the world's own past is the beginning"
        )
    return inputs[position:]


def _example(session: "Session", worlds: int) -> ChunkInput:
    return next(iter(session.inputs(worlds=worlds)))
