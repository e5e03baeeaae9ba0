"""Where callers enter the anchor similarity."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from kernels_pallas import dispatch
from kernels_pallas.anchor_similarity.reference import Partials

AVAILABLE = ("xla", "mosaic_gpu", "triton")


def anchor_similarity(
    keys: Float[Array, "*B T N H"],
    anchor: Float[Array, "*B N H"],
    *,
    implementation: dispatch.Implementation = None,
    interpret: bool = False,
) -> Partials:
    """Sum how much every key resembles the anchor, over all heads together (WorldKV, World Compression).

    ``keys [..., T, N, H]`` are of any float dtype, ``anchor [..., N, H]`` comes from `anchor_vector`; leading
    axes are layers and worlds. Returns float32 `Partials`: ``dot [..., T]``, ``key_sq [..., T]``, ``anchor_sq
    [...]``. A run that shards the heads adds them up with `lax.psum` and then calls `cosine`; under
    `jax.shard_map` a Pallas version wants ``check_vma=False``.

    `implementation` is static: None, "xla", "mosaic_gpu", "triton", or several in order of preference.
    `interpret` runs a Pallas version in the interpreter. Raises ValueError for shapes, dtypes or names that
    do not fit, NotImplementedError if the named version cannot run.
    """
    if keys.ndim < 3 or anchor.shape != (*keys.shape[:-3], *keys.shape[-2:]):
        raise ValueError(
            f"anchor {anchor.shape} does not fit keys {keys.shape}; expected [..., N, H] and [..., T, N, H]"
        )
    for name, array in (("keys", keys), ("anchor", anchor)):
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"{name} is {array.dtype}; expected a float dtype")
    return dispatch.call("anchor_similarity", AVAILABLE, implementation, interpret, keys, anchor)
