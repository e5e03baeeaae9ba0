"""Streaming through causal layers: what they remember of the frames before, and passes piece by piece."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

Caches = tuple[jax.Array, ...]
"""What the layers of a network remember between two passes, in order of their use; shapes never change."""


class Past:
    """What causal layers recall of the frames before a pass, and what they remember for the next.

    Every pass walks the layers in the same order, so a place in that order is all the name a cache needs. A
    ``Past`` lives for one pass; a network with its caches going in and coming out is a pure function.
    """

    def __init__(self, caches: Caches | None = None):
        """Begin a pass with what the last one remembered; ``None`` begins a stream."""
        self._before = caches
        self._after: list[jax.Array] = []

    @property
    def begins(self) -> bool:
        """Whether the stream begins with this pass."""
        return self._before is None

    def recall(self, x: jax.Array, frames: int) -> jax.Array:
        """Return what the layer last remembered, ``[B, frames, H, W, c]`` before ``x [B, T, H, W, c]``; first zeros.

        Raises:
            ValueError: what is remembered belongs to frames of another size or type.
        """
        shape = (x.shape[0], frames, *x.shape[2:])
        if self._before is None:
            return jnp.zeros(shape, x.dtype)
        place = len(self._after)  # every layer remembers once
        found = self._before[place] if place < len(self._before) else None
        if found is None or (found.shape, found.dtype) != (shape, x.dtype):
            got = "nothing" if found is None else f"{found.dtype} {found.shape}"
            raise ValueError(
                f"the stream's state holds {got} in place {place}, expected {x.dtype} {shape}; go on with the state "
                "that the pass before returned, for as many worlds of the same size"
            )
        return found

    def remember(self, frames: jax.Array) -> None:
        """Keep ``frames`` for the layer's next pass."""
        self._after.append(frames)

    def prepend(self, x: jax.Array, frames: int) -> jax.Array:
        """Put the frames before in front of ``x [B, T, H, W, c]``, and remember the last ones of both."""
        both = jnp.concatenate([self.recall(x, frames), x], axis=1)
        # Left alone, XLA cuts these frames out at the end of the pass and keeps what every layer computed until
        # then: three times the memory for a decoder on a GPU.
        both, last = jax.lax.optimization_barrier((both, both[:, -frames:]))
        self.remember(last)
        return both

    def finish(self, network: "Network", x: jax.Array) -> jax.Array:
        """Pass ``x [B, T, H, W, c]`` through the rest of the network, which makes a frame of each.

        On a CPU one after another: all frames of a pass at once take it several times the memory.
        """
        before = None if self._before is None else self._before[len(self._after) :]
        if before is None:  # then there is one frame
            y, after = run_piece(network, x, None)
        else:
            y, after = jax.lax.platform_dependent(
                x,
                before,
                cpu=lambda x, before: run_pieces(network, x, 1, before),
                default=lambda x, before: run_piece(network, x, before),
            )
        self._after += after
        return y

    @property
    def remembered(self) -> Caches:
        """What the layers remembered in this pass."""
        return tuple(self._after)


Network = Callable[[jax.Array, Past], jax.Array]


def run_piece(network: Network, piece: jax.Array, caches: Caches | None) -> tuple[jax.Array, Caches]:
    """Pass one piece ``[B, T, H, W, c]`` through a network and return its output and caches."""
    past = Past(caches)
    return network(piece, past), past.remembered


def run_pieces(network: Network, x: jax.Array, size: int, caches: Caches) -> tuple[jax.Array, Caches]:
    """Pass ``x [B, n * size, H, W, c]`` through a network, ``size`` frames at a time.

    One piece after another, so that memory does not grow with their number.

    Returns:
        The outputs of all pieces, joined along the frames, and the caches.
    """
    pieces = jnp.moveaxis(x.reshape(x.shape[0], x.shape[1] // size, size, *x.shape[2:]), 1, 0)

    def step(caches, piece):
        y, caches = run_piece(network, piece, caches)
        return caches, y

    caches, y = jax.lax.scan(step, caches, pieces)
    return join_pieces(y), caches


def join_pieces(pieces: jax.Array) -> jax.Array:
    """Join ``[n, B, T, ...]`` along the frames: ``[B, n * T, ...]``."""
    count, batch, frames, *rest = pieces.shape
    return jnp.moveaxis(pieces, 0, 1).reshape(batch, count * frames, *rest)


def empty_caches(network: Network, piece: jax.Array) -> Caches:
    """Make the caches of a stream that nothing has passed yet: zeros, for pieces like this one."""
    caches = jax.eval_shape(lambda x: run_piece(network, x, None)[1], piece)
    return jax.tree.map(lambda cache: jnp.zeros(cache.shape, cache.dtype), caches)


def count_bytes(caches: Caches) -> int:
    """Return the bytes of caches, or of their descriptions."""
    return sum(math.prod(cache.shape) * cache.dtype.itemsize for cache in caches)
