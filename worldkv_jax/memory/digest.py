"""What a bank makes of a finished chunk, whatever memory it is in."""

import jax

from worldkv_jax.memory.compression import compress
from worldkv_jax.memory.index import describe_chunk
from worldkv_jax.memory.layout import BankLayout, WindowLayout
from worldkv_jax.memory.quantization import quantize
from worldkv_jax.memory.spans import KVSpan
from worldkv_jax.memory.window import Window, push


def digest(
    window: Window,
    own: KVSpan,
    cameras: jax.Array,
    chunk: jax.Array,
    *,
    window_layout: WindowLayout,
    bank_layout: BankLayout,
) -> tuple[Window, KVSpan, jax.Array]:
    """Roll the window; prune, quantize and describe the chunk.

    Args:
        window: before the chunk.
        own: ``[L, B, T, N, H]`` of the chunk.
        cameras: ``[B, F, 4, 4]`` of the chunk.
        chunk: int32, its id.
        window_layout: static sizes of the window.
        bank_layout: and of what is stored.

    Returns:
        The new window, what is stored of the chunk, ``[L, B, P, N, H]``, and its description ``[B, D]``.
    """
    spec, compression = bank_layout.spec, bank_layout.compression
    window = push(window, own, chunk * spec.chunk_frames, window_layout)
    description = describe_chunk(cameras, own.keys, bank_layout)
    if compression.at == "store":
        own = compress(own, compression, frames=spec.chunk_frames)
    return window, quantize(own, bank_layout.config.storage, spec.dtype), description
