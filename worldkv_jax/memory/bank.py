"""What a bank is: stored chunks in one kind of memory, found by an index that is always on the device."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, Self

import jax
import jax.numpy as jnp

from worldkv_jax.memory.digest import Finished
from worldkv_jax.memory.index import Index, Picks
from worldkv_jax.memory.layout import BankLayout, WindowLayout
from worldkv_jax.memory.spans import KVSpan
from worldkv_jax.memory.window import Window


class Fetched(NamedTuple):
    """Picked chunks on the device, or on their way there.

    Chunks that are arrays of their own stay so until the context is packed. Joining them takes the device's own time
    and has to wait for the last to arrive; a device runs programs in the order in which they were given, so to join
    them before the chunk ahead is generated would make that chunk wait as well.
    """

    picks: Picks
    spans: KVSpan | tuple[KVSpan, ...]
    """As stored: one span ``[L, B, K, P, N, H]``, or ``B * K`` of ``[L, P, N, H]``, world by world, nearest first."""

    def joined(self, worlds: int) -> KVSpan:
        """Return one span ``[L, B, K, P, N, H]``; call it in the program that packs the context."""
        if isinstance(self.spans, KVSpan):
            return self.spans

        def stack(*parts: jax.Array) -> jax.Array:
            ranks = len(parts) // worlds
            by_world = [jnp.stack(parts[b * ranks : (b + 1) * ranks], axis=1) for b in range(worlds)]
            return jnp.stack(by_world, axis=1)

        return jax.tree.map(stack, *self.spans)


class Bank(Protocol):
    """Stored chunks of one tier; a pytree. All tiers hold the same bits under the same index."""

    index: Index
    layout: BankLayout
    """Static sizes; part of the jit key."""
    jittable: bool
    """Whether `fetch` and `store` can be traced. A bank that moves arrays between memories, or that shares them with
    other worlds, cannot: it compiles what it can on its own, and is called outside of jit."""

    @classmethod
    def empty(cls, layout: BankLayout) -> Self:
        """Make a bank that holds nothing.

        Raises:
            ValueError: the device lacks the tier's memory.
        """
        ...

    def replace(self, **changes: Any) -> Self:
        """Return the bank with other parts."""
        ...

    def fetch(self, picks: Picks, window: Window, *, known: Fetched | None = None) -> Fetched:
        """Bring picked chunks to where the window is, but for those that ``known`` has brought already."""
        ...

    def store(self, window: Window, finished: Finished, layout: WindowLayout) -> tuple[Window, Self]:
        """Take a chunk: roll the window, and store what `digest` makes of it.

        A bank that is not `jittable` consumes the window and itself.
        """
        ...

    def padded(self) -> Self:
        """Return the bank as it is saved: arrays whose number and shapes do not depend on how full it is."""
        ...

    def unpadded(self, chunk: int) -> Self:
        """Return the bank of which this is `padded`, after ``chunk`` chunks."""
        ...

    def map_consumed(self, apply: Callable[[Any], Any]) -> Self:
        """Apply a function to the arrays that `store` consumes; the others are never written again, so that several
        banks can hold them."""
        ...

    def read(self, slot: int) -> tuple[KVSpan, ...]:
        """Return the chunk of a slot that the index names: one span ``[L, P, N, H]`` for each world, as stored."""
        ...

    def newest(self) -> tuple[int | jax.Array, tuple[KVSpan, ...]] | None:
        """Return the chunk that was stored last, its number and what `read` returns, without waiting for it.

        What is returned stays when the bank is consumed. ``None``, or number -1, where none was stored; where the last
        one offered found no place, a bank may return one before it.
        """
        ...

    def filled(self, index: Index, chunks: Mapping[int, tuple[KVSpan, ...]], window: Window, offered: int) -> Self:
        """Return a bank with these chunks in these slots, where the window is; consumes an empty one.

        Args:
            index: that names them.
            chunks: by slot what `read` returned, of any tier; also as NumPy arrays.
            window: whose device, or split of heads, they belong to.
            offered: chunks that the model made so far.
        """
        ...
