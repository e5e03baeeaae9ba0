"""Where callers enter attention."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from kernels_pallas.attention import blocked, reference, splash

Implementation = Literal["xla", "cudnn", "blocked", "splash"]

FEW_LOGITS = 2**17
"""Those of one world stay in a core's cache whatever is done with them, and a loop costs more than it saves."""


def attention(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B W G H"],
    value: Float[Array, "B W G H"],
    *,
    length: Int32[Array, "*B"] | None = None,
    implementation: Implementation | None = None,
) -> Float[Array, "B T N H"]:
    """Attend ``query [B, T, N, H]`` to the first ``length`` rows of ``key`` and ``value [B, W, G, H]``.

    Softmax does not care about the order of rows once RoPE is in the keys, so a memory context is packed as a prefix
    and one length replaces a mask: that is the form which cuDNN's fused kernel takes.

    Args:
        query: of ``N`` heads.
        key: of ``G`` heads, of which each serves ``N / G`` of the queries'.
        value: of as many.
        length: int32 scalar or ``[B]``, valid rows, at least 1; ``None`` for all.
        implementation: static. ``None`` is "cudnn" for half precision on a GPU, "blocked" on a CPU unless a world's
            logits are few or a mesh is set, because a loop over heads would gather those that are split; "splash" on a
            TPU where it takes the shapes; "xla" else.

    Returns:
        ``[B, T, N, H]`` in the dtype of ``query``.

    Raises:
        ValueError: shapes that do not fit, or an unknown implementation.
    """
    worlds, _, heads, width = query.shape
    if key.shape != value.shape or key.shape[::3] != (worlds, width) or heads % key.shape[2]:
        raise ValueError(
            f"query {query.shape}, key {key.shape} and value {value.shape} do not fit; expected [B, T, N, H] and twice "
            "[B, W, G, H], where G divides N"
        )
    if length is not None:
        length = jnp.broadcast_to(jnp.asarray(length, jnp.int32), (worlds,))
    match implementation or _default(query, key):
        case "blocked":
            valid = jnp.full(worlds, key.shape[1], jnp.int32) if length is None else length
            # By the platform of the lowering: a CPU also compiles for a TPU that is not there.
            return jax.lax.platform_dependent(
                *(query, key, value),
                cpu=lambda q, k, v: blocked.attention(q, k, v, valid),
                default=lambda q, k, v: reference.attention(q, k, v, length),
            )
        case "splash":
            valid = jnp.full(worlds, key.shape[1], jnp.int32) if length is None else length
            return splash.attention(query, key, value, valid)
        case "xla" | "cudnn" as name:
            return reference.attention(query, key, value, length, implementation=name)
    raise ValueError(f"implementation={implementation!r} is unknown; give 'xla', 'cudnn', 'blocked', 'splash' or None")


def _default(query: jax.Array, key: jax.Array) -> Implementation:
    # Chosen when traced, not by the platform of the lowering: without a GPU cuDNN cannot even be traced. It has no
    # float32 kernel.
    if jax.default_backend() == "gpu":
        return "xla" if query.dtype == jnp.float32 else "cudnn"
    if jax.default_backend() == "tpu":
        return "splash" if splash.takes(query, key) else "xla"
    logits = math.prod(query.shape[1:3]) * key.shape[1]  # of one: a world must not depend on the batch that it is in
    loops = jax.default_backend() == "cpu" and logits > FEW_LOGITS and jax.sharding.get_abstract_mesh().empty
    return "blocked" if loops else "xla"
