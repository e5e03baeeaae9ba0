"""Timing chunks of a model in the course of a rollout, one short burst after another."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from worldkv_jax import rollout as ro
from worldkv_jax.benchmarks.distant import distant_memory, pack_chunk, random_span
from worldkv_jax.benchmarks.rollout_cases import Case
from worldkv_jax.benchmarks.storage import recall_and_remember
from worldkv_jax.benchmarks.timing import Effort, Timing, measure
from worldkv_jax.memory import KVSpan
from worldkv_jax.memory.prefetching import prefetch
from worldkv_jax.memory.slot_bank import tier_sharding, world_sharding
from worldkv_jax.sessions.session import Session


@dataclasses.dataclass
class Bursts:
    """Runs a model for a few chunks from wherever a case begins."""

    session: Session
    inputs: list[ro.ChunkInput]
    timed: int
    """Chunks timed in a burst; one before them fills the pipeline, one behind them keeps it full."""
    seed: int = 0
    _carry: Any = None
    _decoder: Any = None

    def first_timed(self, case: Case) -> int:
        """Return the id of the first timed chunk of a case."""
        return case.length - self.timed

    def run(self, case: Case, *, decode: bool) -> list[float]:
        """Generate a burst and return the seconds of each timed chunk."""
        first = self.first_timed(case) - 1
        given = [self.inputs[1:][i % (len(self.inputs) - 1)] for i in range(first, case.length + 1)]
        made, world = ro.rollout(
            self.session.backbone,
            self.session.params,
            self._world(case, first),
            iter(given) if case.live else given,
            key=jax.random.key(self.seed),
            decode=decode,
        )
        self._decoder = world.decoder
        return [chunk.seconds for chunk in made[1:-1]]

    def verbs(self, case: Case, effort: Effort) -> Timing:
        """Time recalling and remembering on their own, with the bank on the device."""
        layout = case.layout(self.session.backbone.spec, self.session.worlds)
        memory = distant_memory(layout, case.length - 1, params=self.session.params, seed=self.seed)
        own, cameras = random_span(layout, self.seed), self.inputs[1].cameras

        def step():
            nonlocal memory
            picks, memory = recall_and_remember(memory, own, cameras)
            return picks, memory

        return measure(step, effort)

    def moves(self, case: Case, effort: Effort) -> dict[str, float]:
        """Time what a chunk moves between host and device while nothing else runs: seconds each way."""
        layout = case.layout(self.session.backbone.spec, self.session.worlds)
        memory = distant_memory(layout, case.length - 1, params=self.session.params, seed=self.seed)
        bank = layout.require_bank()
        packed = _first_world(pack_chunk(random_span(layout, self.seed), bank))
        target = tier_sharding(world_sharding(jax.tree.leaves(packed)[0][:, None]), bank.config.tier)
        cameras = self.inputs[1].cameras
        steps: dict[str, Callable] = {
            "to_device_s": lambda: prefetch(memory, cameras),
            "to_host_s": lambda: [jax.device_put(packed, target) for _ in range(layout.worlds)],
        }
        return {name: measure(step, effort).median_s for name, step in steps.items()}

    def _world(self, case: Case, position: int) -> ro.World:
        backbone, worlds = self.session.backbone, self.session.worlds
        if self._carry is None:  # a first chunk is generated for it: a carry may have to begin with one
            world = ro.start(backbone, self.session.params, case.memory, chunks=case.room, worlds=worlds)
            noise = jnp.zeros((backbone.schedule.steps, worlds, *backbone.latent_shape))
            _, world = ro.generate_chunk(backbone, self.session.params, world, self.inputs[0], noise)
            self._carry = world.carry
        layout = case.layout(backbone.spec, worlds)
        seen = position - backbone.lag
        memory = distant_memory(layout, seen, params=self.session.params, seed=self.seed)
        reached = jax.device_put(jnp.int32(position), memory.chunk.sharding)
        # The carry is given away with the world, so each burst gets a copy.
        decoder, self._decoder = self._decoder, None
        return ro.World(memory, jax.tree.map(jnp.copy, self._carry), reached, decoder)


@jax.jit
def _first_world(span: KVSpan) -> KVSpan:
    return jax.tree.map(lambda a: a[:, 0], span)
