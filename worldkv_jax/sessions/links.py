"""What a chunk sends from device to device, where several share it."""

import jax.numpy as jnp

from worldkv_jax.memory import KVSpec


def sent_bytes(spec: KVSpec, passes: int, *, worlds: int, chips: int, over: str) -> int:
    """Count what each of several chips sends to others for one chunk.

    Over ``heads`` each block sums three results over the chips, of all tokens: self-attention, cross-attention and
    feed-forward. Over ``tokens`` it exchanges queries, keys, values and what was attended, of a chip's own tokens.

    Args:
        spec: of the model.
        passes: of a chunk.
        worlds: in the batch.
        chips: that share it.
        over: ``heads`` or ``tokens``.
    """
    width = spec.heads * spec.head_dim * jnp.dtype(spec.dtype).itemsize
    others = (chips - 1) / chips * worlds * spec.chunk_tokens * width  # of activations, that lie on other chips
    return int(spec.layers * passes * others * (3 * 2 if over == "heads" else 4 / chips))
