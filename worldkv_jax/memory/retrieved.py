"""Retrieved chunks as the bank stores them, which become keys and values one layer at a time.

All layers of them at once would be twice the bytes of a bank in eight bits, beside the next chunk's on their way.
"""

import flax.struct
import jax
import jax.numpy as jnp

from worldkv_jax.memory.layout import BankLayout
from worldkv_jax.memory.quantization import dequantize
from worldkv_jax.memory.spans import KVSpan, concatenate


class Retrieved(flax.struct.PyTreeNode):
    """Chunks of a bank of separate arrays, as a part of a context."""

    chunks: tuple[tuple[KVSpan, ...], ...]  # K x B spans [L, P, N, H], as `quantize` makes them
    shift: jax.Array | None  # int32 [B, K], frames by which keys are moved in time
    layout: BankLayout = flax.struct.field(pytree_node=False)

    @property
    def rows(self) -> int:
        """Rows of all chunks, ``K * P``."""
        return len(self.chunks) * self.layout.stored_tokens

    @property
    def span(self) -> KVSpan:
        """Keys and values of all layers, ``[L, B, K * P, N, H]``."""
        stacked = tuple(jax.tree.map(lambda *worlds: jnp.stack(worlds, axis=1), *worlds) for worlds in self.chunks)
        return concatenate(self._restore(stacked))

    def of_layer(self, chunks: tuple[tuple[KVSpan, ...], ...]) -> list[KVSpan]:
        """Turn one layer of `chunks` into keys and values, ``[B, P, N, H]`` of each chunk."""
        return self._restore(tuple(jax.tree.map(lambda *worlds: jnp.stack(worlds), *worlds) for worlds in chunks))

    def _restore(self, stacked: tuple[KVSpan, ...]) -> list[KVSpan]:
        return [
            restore(span, None if self.shift is None else self.shift[:, rank, None], self.layout)
            for rank, span in enumerate(stacked)
        ]


def restore(stored: KVSpan, shift: jax.Array | None, layout: BankLayout) -> KVSpan:
    """Dequantize stored chunks ``[..., P, N, H]`` and move their keys by ``shift`` frames, int32 ``[..., P or 1]``."""
    span = dequantize(stored, layout.spec.dtype)
    if shift is None:
        return span
    assert layout.spec.rope is not None, "keys are moved by the model's rope"
    return span._replace(keys=layout.spec.rope.shift_time(span.keys, shift))
