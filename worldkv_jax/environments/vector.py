"""A batch of worlds as one environment of gymnasium: made in one program, begun and ended one by one."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from worldkv_jax.environments.control import CameraControl, Control
from worldkv_jax.environments.frames import as_pixels, frame_space
from worldkv_jax.extras import optional_imports
from worldkv_jax.memory import reset as reset_memory
from worldkv_jax.rollout import Backbone, ChunkInput, World, generate_chunk
from worldkv_jax.rollout.noise import draw_noise
from worldkv_jax.rollout.stream import place_like
from worldkv_jax.sessions.seeds import key_of
from worldkv_jax.sessions.session import Session

with optional_imports():
    from gymnasium.error import ResetNeeded
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space


class WorldVectorEnv(VectorEnv):
    """Worlds that agents walk through, one chunk a step, all in one program on the device.

    Each begins and ends by itself: a world whose chunks are made begins anew with the next step, whose action for it
    is not used, and ``reset(options={"reset_mask": ...})`` begins any of them anew at any time. What an agent sees, and
    the worlds of seeds, are those of `WorldEnv`, up to rounding.
    """

    def __init__(self, session: Session, worlds: int, *, control: Control | None = None):
        """Make an environment that has no worlds yet.

        Args:
            session: a loaded model on one device, whose bank is there as well.
            worlds: how many.
            control: what actions mean; by default `CameraControl`.

        Raises:
            ValueError: a session that cannot be batched so; the text says what to use instead.
        """
        self.session, self.num_envs = session, worlds
        self.control = CameraControl() if control is None else control
        self.single_observation_space, self.single_action_space = frame_space(session), self.control.space
        self.observation_space = batch_space(self.single_observation_space, worlds)
        self.action_space = batch_space(self.single_action_space, worlds)
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP, "render_fps": session.fps}
        self._fresh = _first_world(session)
        self._worlds = jax.tree.map(lambda leaf: jnp.stack([leaf] * worlds), self._fresh)
        self._made = np.zeros(worlds, np.int32)
        self._actions: list[Any] = [self.control.rest] * worlds
        self._inputs: list[Iterator[ChunkInput]] = [self._live(number) for number in range(worlds)]
        self._keys: list[jax.Array] = [key_of(0)] * worlds
        shape: Any = self.observation_space.shape  # some spaces have none
        self._seen = np.zeros(shape, np.uint8)
        _check_stays(session, self._fresh, next(self._live(0)))

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict]:
        """Begin worlds with their first chunks.

        Args:
            seed: of each world, or one number ``s`` for ``s, s + 1, ...``; by default drawn, after earlier seeds.
            options: ``{"reset_mask": bool [worlds]}`` for the worlds to begin anew, by default all; the others stand
                as they are, and their latest frame is seen again.

        Raises:
            ValueError: a mask or seeds of another number of worlds, or a mask that names none.
        """
        if isinstance(seed, int | np.integer):
            seed = int(seed)
            super().reset(seed=seed)
            seeds: Sequence[int | None] = range(seed, seed + self.num_envs)
        else:
            super().reset()
            seeds = [None] * self.num_envs if seed is None else seed
        mask = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, bool)))
        if mask.dtype != bool or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(f"reset_mask is {mask!r}, expected {self.num_envs} bools, at least one of them true")
        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds for {self.num_envs} worlds; give one each, None for any")
        self._begin(mask, seeds)
        return self._make(mask)

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:
        """Make the next chunk of every world.

        Raises:
            gymnasium.error.ResetNeeded: before the first `reset`, or after an error.
            ValueError: another number of actions, or one that is none.
        """
        if not self._made.all():
            raise ResetNeeded("there are no worlds: call reset")
        if len(actions) != self.num_envs:
            raise ValueError(f"{len(actions)} actions for {self.num_envs} worlds; give one each")
        ended = self._made >= self.session.chunks
        self._actions = [self.control.rest if end else action for end, action in zip(ended, actions)]
        if ended.any():
            self._begin(ended, [None] * self.num_envs)
        seen, info = self._make(np.ones(self.num_envs, bool))
        return seen, np.zeros(self.num_envs), np.zeros(self.num_envs, bool), self._made >= self.session.chunks, info

    def _live(self, number: int) -> Iterator[ChunkInput]:
        """Return what a world that begins is given, chunk by chunk."""
        steer = self.control.begin(self.session.backbone.spec.chunk_frames)
        return iter(self.session.inputs(lambda chunk: steer(self._actions[number]), worlds=1))

    def _begin(self, mask: np.ndarray, seeds: Sequence[int | None]) -> None:
        """Let worlds forget everything, where the mask says."""
        self._worlds = _begin_anew(self._worlds, self._fresh, jnp.asarray(mask))
        self._made[mask] = 0
        for number in np.flatnonzero(mask).tolist():
            seed = seeds[number]
            self._keys[number] = key_of(int(self.np_random.integers(2**63)) if seed is None else seed)
            self._actions[number] = self.control.rest
            self._inputs[number] = self._live(number)

    def _make(self, mask: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """Make a chunk of the worlds that the mask names; one program makes one of all, and the others are left."""
        try:
            chunks = {number: next(self._inputs[number]) for number in np.flatnonzero(mask).tolist()}
        except BaseException:
            self._made[:] = 0  # such as an action that is none: some worlds would have gone on and others not
            raise
        unused = next(iter(chunks.values()))
        stacked = _stack([chunks.get(number, unused) for number in range(self.num_envs)])
        frames, picks, self._worlds = _step(
            self.session.params,
            self._worlds,
            stacked,
            jnp.stack(self._keys),
            None if mask.all() else jnp.asarray(mask),
            backbone=self.session.backbone,
        )
        frames = as_pixels(np.asarray(frames)[:, 0])
        self._made += mask
        self._seen = np.where(mask[:, None, None, None], frames[:, -1], self._seen)
        info = {"frames": frames, "chunk": self._made - 1}
        return self._seen, info if picks is None else info | {"retrieved": np.asarray(picks.chunks)[:, 0]}


def _first_world(session: Session) -> World:
    """Make a world of which there can be several in one program."""
    advice = "use gymnasium.vector.SyncVectorEnv([lambda: WorldEnv(session)] * worlds)"
    if isinstance(session.placement.sharding, Mesh):
        raise ValueError(f"worlds that are split over a mesh are not batched so; {advice}")
    world = session.start(worlds=1)
    if not world.memory.jittable:
        tier = session.memory.bank.tier if session.memory.bank else None
        raise ValueError(f"bank.tier={tier!r} is out of jit's reach: open the model with tier='device', or {advice}")
    return world._replace(decoder=place_like(session.params, session.backbone.init_decoder(session.params, 1)))


def _check_stays(session: Session, world: World, chunk: ChunkInput) -> None:
    """Raise ValueError for a model whose state takes its shape with the first chunk: worlds would not be alike."""
    step = functools.partial(_make_one, backbone=session.backbone)
    after = jax.eval_shape(step, session.params, world, chunk, key_of(0))[-1]
    describe = functools.partial(jax.tree.map, lambda leaf: (leaf.shape, leaf.dtype))
    if describe(after) != describe(world):
        raise ValueError(
            f"{session.model} keeps state that takes its shape with the first chunk, so that worlds that begin and "
            "others cannot be in one program; use gymnasium.vector.SyncVectorEnv([lambda: WorldEnv(session)] * worlds)"
        )


def _stack(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@functools.partial(jax.jit, donate_argnames="worlds")
def _begin_anew(worlds: World, fresh: World, mask: jax.Array) -> World:
    def choose(new, old):
        return jnp.where(mask.reshape(-1, *[1] * (old.ndim - 1)), new[None], old)

    memory = reset_memory(worlds.memory, mask)
    others = jax.tree.map(choose, fresh._replace(memory=None), worlds._replace(memory=None))
    return others._replace(memory=memory)


@functools.partial(jax.jit, static_argnames="backbone", donate_argnames="worlds")
def _step(params, worlds: World, chunks: ChunkInput, keys: jax.Array, mask: jax.Array | None, *, backbone: Backbone):
    one = functools.partial(_make_one, backbone=backbone)
    frames, picks, after = jax.vmap(one, in_axes=(None, 0, 0, 0))(params, worlds, chunks, keys)
    if mask is not None:
        keep = lambda new, old: jnp.where(mask.reshape(-1, *[1] * (old.ndim - 1)), new, old)  # noqa: E731
        after = jax.tree.map(keep, after, worlds)
    return frames, picks, after


def _make_one(params, world: World, chunk: ChunkInput, key: jax.Array, *, backbone: Backbone):
    noise = draw_noise(key, world.position, 1, (backbone.schedule.steps, *backbone.latent_shape))
    generated, after = generate_chunk(backbone, params, world._replace(decoder=None), chunk, noise)
    frames, decoder = backbone.decode(params, generated.latents, world.decoder)
    return frames, generated.picks, after._replace(decoder=decoder)
