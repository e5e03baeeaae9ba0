"""Attention of a chunk to its context, beside PyTorch's fused one."""

import jax
import jax.numpy as jnp
import numpy as np
import torch

from kernels_pallas.attention.api import attention
from worldkv_jax.benchmarks.pairs import Pair, Place, Work

SIZE = (1560, 6240, 4, 128)
"""Queries, rows, heads and their width: LingBot-World's chunk at half its resolution, of four of its heads."""


def compare(place: Place, size: tuple[int, int, int, int] = SIZE) -> Pair:
    """Attend to a context that is filled; nothing is written."""
    queries, rows, heads, width = size

    def drawn() -> list[np.ndarray]:
        random = np.random.default_rng(0)
        return [random.normal(size=(1, n, heads, width)).astype(np.float32) for n in (queries, rows, rows)]

    def ours() -> Work:
        parts = list(map(jnp.asarray, drawn()))
        attend = jax.jit(lambda *parts: attention(*parts, length=jnp.int32(rows)))
        return lambda: jax.block_until_ready(attend(*parts))

    def theirs() -> Work:
        # As the models call it, whose heads lie side by side in each row, before and after.
        parts = [torch.from_numpy(part).transpose(1, 2) for part in drawn()]
        attend = torch.nn.functional.scaled_dot_product_attention
        return lambda: attend(*parts).transpose(1, 2).contiguous().numpy()

    what = f"{queries} queries, {rows} rows, {heads} heads of {width}, float32"
    return Pair(what=what, ours=ours, theirs=theirs, tolerance=1e-4)
