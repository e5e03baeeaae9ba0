"""Attention of a chunk to its context, beside PyTorch's fused one."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch

from kernels_pallas.attention.api import attention
from worldkv_jax.benchmarks.peers import Pair

SIZE = (1560, 6240, 4, 128)
"""Queries, rows, heads and their width: LingBot-World's chunk at half its resolution, of four of its heads."""


def compare(folder: Path, size: tuple[int, int, int, int] = SIZE) -> Pair:
    """Attend to a context that is filled; nothing is written."""
    queries, rows, heads, width = size
    random = np.random.default_rng(0)
    query, key, value = (
        random.normal(size=(1, count, heads, width)).astype(np.float32) for count in (queries, rows, rows)
    )
    ours = tuple(map(jnp.asarray, (query, key, value)))
    heads_first = [torch.from_numpy(part).transpose(1, 2).contiguous() for part in (query, key, value)]
    attend = jax.jit(lambda *parts: attention(*parts, length=jnp.int32(rows)))

    @torch.no_grad()
    def theirs():
        return torch.nn.functional.scaled_dot_product_attention(*heads_first).transpose(1, 2).numpy()

    return Pair(
        what=f"{queries} queries, {rows} rows, {heads} heads of {width}, float32",
        ours=lambda: jax.block_until_ready(attend(*ours)),
        theirs=theirs,
        tolerance=1e-4,
    )
