"""A world that waits in host memory and comes back to the devices where it was."""

from typing import Any

import jax

from worldkv_jax.memory.slot_bank import tier_sharding
from worldkv_jax.rollout import World
from worldkv_jax.rollout.world import map_consumed


class HeldWorld:
    """Holds in host memory what a step consumes; stored chunks stay where they are, shared with all others."""

    def __init__(self, world: World):
        """Take a world that nobody goes on with."""
        self._places: list[Any] = []
        self._world = map_consumed(self._to_host, world)

    def back(self) -> World:
        """Return the world as a fork on its devices, any number of times."""
        places = iter(self._places)  # parts come in the order in which they left
        return map_consumed(lambda tree: jax.tree.map(jax.device_put, tree, next(places)), self._world)

    def _to_host(self, tree: Any) -> Any:
        self._places.append(jax.tree.map(lambda leaf: leaf.sharding, tree))
        return jax.tree.map(lambda leaf: jax.device_put(leaf, tier_sharding(leaf.sharding, "host")), tree)
