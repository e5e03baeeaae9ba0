"""A model that was opened: checked, then loaded, then rolled out."""

import contextlib
import dataclasses
import functools
import os
import typing
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, Sharding

from worldkv_jax import rollout as ro
from worldkv_jax.byte_counts import format_bytes
from worldkv_jax.counts import counted
from worldkv_jax.memory import MemoryConfig
from worldkv_jax.rollout import Backbone, Chunk, ChunkInput, World
from worldkv_jax.rollout.stream import collect
from worldkv_jax.rollout.world import check_unconsumed
from worldkv_jax.sessions import continuing
from worldkv_jax.sessions.loaded import Loaded, Placement
from worldkv_jax.sessions.plan import Cost, Plan, make_plan
from worldkv_jax.sessions.seeds import key_of

if typing.TYPE_CHECKING:
    from worldkv_jax.sessions.answers import Answers
    from worldkv_jax.sessions.saving import WorldSaver
    from worldkv_jax.sessions.timeline import TimeLine


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """What an options dataclass checked; after `load`, a model that can be rolled out.

    Worlds are values: `start` makes as many as are wanted, and they take turns as their owner likes.
    """

    model: str
    """Name of the model."""
    backbone: Backbone
    memory: MemoryConfig
    chunks: int
    """Chunks that the options ask for, which the memory has room for."""
    fps: float
    """Frames a second of the video."""
    count_cost: Callable[[], Cost] = dataclasses.field(repr=False)
    """Counts what the model needs besides its memory: a plan asks, and a rollout need not wait for it."""
    loader: Callable[[Placement], Loaded] = dataclasses.field(repr=False)
    """Loads the weights and encodes prompt and picture, one large network at a time; see `load`."""
    worlds: int = 1
    pixel_frames: int | None = None
    """Frames of the video, where the last chunk makes more than were asked for."""
    pixel_scale: int = 1
    """Pixels that each pixel of the video becomes, for tiny worlds."""
    random_weights: bool = False
    decode: bool = True
    """Whether frames are wanted, and not only latents."""
    summary: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What was asked for, for a report: files, sizes, whatever the model was given."""
    notes: tuple[str, ...] = ()
    """What one would not expect, to be said aloud."""
    loaded: Loaded | None = dataclasses.field(default=None, repr=False)
    placement: Placement = dataclasses.field(default_factory=Placement)
    """Where the weights were placed."""

    def load(self, sharding: Mesh | Sharding | None = None, *, fsdp: bool = False) -> "Session":
        """Place the weights and encode what every chunk is conditioned on.

        Args:
            sharding: a mesh with Auto axes ``model`` (heads and hidden units), ``data`` (worlds) or both, which
                weights and worlds are split over; one sharding for all weights; or the default device.
            fsdp: also spread the weights over ``data``: those of a layer are brought together when it runs.

        Returns:
            The session with its weights; what is to be said of them is added to its notes.

        Raises:
            OSError: a file is missing or cannot be read.
            ValueError: weights that are damaged or do not fit, or a mesh that does not fit the model.
        """
        placement = Placement(sharding=sharding, fsdp=fsdp)
        loaded = self.loader(placement)
        return dataclasses.replace(self, loaded=loaded, notes=self.notes + loaded.notes, placement=placement)

    @functools.cached_property
    def cost(self) -> Cost:
        """What the model needs besides its memory."""
        return self.count_cost()

    @property
    def params(self) -> Any:
        """The weights.

        Raises:
            ValueError: the session is not loaded.
        """
        return self._loaded().params

    def inputs(self, *sources: Any, worlds: int | None = None, **options: Any) -> Iterable[ChunkInput]:
        """Make what each chunk is given, on the devices of the weights.

        Args:
            sources: of the model's own kind: camera poses, actions, or a callable that is asked chunk by chunk. By
                default what the options said.
            worlds: worlds in the batch; by default as many as the options ask for.
            options: of the model's own, such as ``intrinsics`` of the poses.

        Returns:
            A list where all is known ahead; a generator where it comes live.

        Raises:
            ValueError: what does not fit the model; or the session is not loaded.
        """
        made = self._loaded().inputs(*sources, worlds=self.worlds if worlds is None else worlds, **options)
        return [self._placed(chunk) for chunk in made] if isinstance(made, list) else map(self._placed, made)

    @property
    def live(self) -> Callable[[Sequence[Any]], Callable[[int], Any]] | None:
        """What makes the source that the options ask chunk by chunk, given what it answered before, see `Loaded`.

        Raises:
            ValueError: the session is not loaded.
        """
        return self._loaded().live

    def start(self, *, worlds: int | None = None, chunks: int | None = None) -> World:
        """Make a world that remembers nothing yet.

        Args:
            worlds: worlds in the batch; by default as many as the options ask for.
            chunks: length that the memory has room for; by default what the options ask for.
        """
        sizes = {
            "chunks": self.chunks if chunks is None else chunks,
            "worlds": self.worlds if worlds is None else worlds,
        }
        mesh = self.placement.sharding
        if isinstance(mesh, Mesh):
            with self._on_mesh():
                return ro.start_on_mesh(self.backbone, self.params, self.memory, mesh, **sizes)
        return ro.start(self.backbone, self.params, self.memory, **sizes)

    def stream(
        self,
        world: World,
        inputs: Iterable[ChunkInput] | None = None,
        *,
        seed: int | None = None,
        key: jax.Array | None = None,
        noise: ro.Noise | None = None,
        keeper: continuing.Keeper | None = None,
        progress: bool = False,
    ) -> Generator[Chunk, None, World]:
        """Generate chunk by chunk, see `worldkv_jax.rollout.stream`.

        Args:
            world: the state to go on from; it is consumed.
            inputs: of `inputs`; by default what the options said, from where the world is.
            seed: of the noise; 0 where neither key nor noise is given, or what the keeper has.
            key: typed random key instead.
            noise: noise of each chunk instead.
            keeper: a `TimeLine`, or what `saving` offers, to keep moments of the world.
            progress: show a bar.

        Yields:
            Each chunk.

        Returns:
            The world after the last chunk (the generator's return value).
        """
        if seed is not None and (key is not None or noise is not None):
            raise ValueError("give one of seed, key and noise: exactly one of them decides the world")
        check_unconsumed(world)
        drawn_from = key if noise is None else noise
        if drawn_from is None:
            kept = None if keeper is None or seed is not None else keeper.key
            key = drawn_from = key_of(seed or 0) if kept is None else kept
        if inputs is None:
            inputs = continuing.remaining(self.inputs(worlds=world.memory.layout.worlds), world)
        if keeper is not None:
            world = keeper.begin(world, drawn_from)
        chunks = ro.stream(
            self.backbone,
            self.params,
            world,
            inputs,
            key=key,
            noise=noise,
            decode=self.decode,
            progress=progress,
            watch=keeper,
        )
        return (yield from continuing.keep(chunks, keeper, self._on_mesh))

    def rollout(
        self, world: World, inputs: Iterable[ChunkInput] | None = None, **options: Any
    ) -> tuple[list[Chunk], World]:
        """Collect what `stream` yields, and the world after it; takes the options of `stream`."""
        return collect(self.stream(world, inputs, **options))

    def fork(self, world: World, count: int = 2) -> tuple[World, ...]:
        """Branch a world, see `worldkv_jax.rollout.fork`: ``world, other = session.fork(world)``."""
        return ro.fork(world, count)

    def rewind(self, timeline: "TimeLine", chunk: int) -> World:
        """Go back to the moment when ``chunk`` chunks were made: to a point, and from there by what was given.

        Streamed on with the same time line, the world forgets what came after.

        Raises:
            ValueError: the time line does not reach there, or no whole number of chunks.
        """
        return continuing.rewind(self, timeline, chunk)

    def saving(
        self,
        path: str | os.PathLike[str],
        *,
        every: int = 5,
        answers: "Answers | None" = None,
        stopped: Callable[[OSError], object] = lambda error: None,
    ) -> contextlib.AbstractContextManager["WorldSaver"]:
        """Keep a rollout in a world folder while it goes on: give what this offers to `stream` as its keeper.

        Args:
            path: a new folder, or one that holds the world as it is; or a URL such as ``gs://bucket/room`` of a
                key-value store that TensorStore writes to.
            every: chunks from one point to the next, each a moment that the world can go on from.
            answers: what asks a live source, whose answers are then kept as well.
            stopped: is told once why no more can be kept, while the rollout goes on.

        Raises:
            OSError: the folder cannot be written to.
            ValueError: another process writes to it, or what is there is no world.
        """
        return continuing.saving(self, path, every=every, answers=answers, stopped=stopped)

    def save(self, world: World, path: str | os.PathLike[str], *, key: jax.Array | None = None) -> None:
        """Write a world to a folder; where an earlier moment of it is there, what is new of it.

        Args:
            world: the world, which stays as it is.
            path: the folder.
            key: random key of its noise, to be kept with it.

        Raises:
            OSError: the folder cannot be written to, or has no room.
            ValueError: another world is there, or another process writes to it.
        """
        continuing.save(self, world, path, key)

    def restore(self, path: str | os.PathLike[str], *, at: int | None = None, chunks: int | None = None) -> World:
        """Read a world that was saved, from whichever tier to that of this session.

        Args:
            path: the folder.
            at: how many of its chunks; by default all. Between two points it is made again from the earlier one.
            chunks: length that its memory has room for; by default what the options ask for.

        Raises:
            OSError: something is missing.
            ValueError: a world of something else, with all that differs; damage; or no such chunk.
        """
        return continuing.restore(self, path, at=at, chunks=chunks)

    def plan(self) -> Plan:
        """Count what the rollout needs, as it was asked for."""
        return make_plan(self.backbone, self.memory, self.cost, chunks=self.chunks, worlds=self.worlds)

    def __repr__(self) -> str:
        state = "checked; load() places its weights" if self.loaded is None else "loaded"
        weights = " with RANDOM WEIGHTS" if self.random_weights else ""
        worlds = f"{self.worlds} worlds of " if self.worlds > 1 else ""
        lines = [
            f"Session of {self.model}{weights}, {state}",
            f"  {worlds}{counted(self.chunks, 'chunk')} under {self.memory.mode} memory",
            f"  {format_bytes(self.plan().total_bytes)} on the device",
            *(f"  note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)

    def _loaded(self) -> Loaded:
        if self.loaded is None:
            raise ValueError("the session has no weights yet; take what its load() returns")
        return self.loaded

    def _placed(self, inputs: Any) -> Any:
        """Bring inputs to all devices of a mesh: what was encoded before lies on one."""
        mesh = self.placement.sharding
        if not isinstance(mesh, Mesh):
            return inputs
        everywhere = ro.split(mesh)
        return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf), everywhere), inputs)

    def _on_mesh(self) -> contextlib.AbstractContextManager[Any]:
        mesh = self.placement.sharding
        return jax.set_mesh(mesh) if isinstance(mesh, Mesh) else contextlib.nullcontext()
