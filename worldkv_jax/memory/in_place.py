"""Overwriting part of a buffer where it lies."""

import jax
import jax.numpy as jnp


def overwrite(buffer: jax.Array, part: jax.Array, start: tuple[jax.Array, ...], active: jax.Array) -> jax.Array:
    """Write ``part`` into ``buffer`` at ``start`` if ``active``; a donated buffer is written in place.

    But for half precision under `jax.vmap` on a CPU, where XLA copies the buffer.
    """
    if buffer.dtype in (jnp.bfloat16, jnp.float16):
        return jax.lax.platform_dependent(buffer, part, start, active, cpu=_branch, default=_select)
    return _select(buffer, part, start, active)


def _select(buffer: jax.Array, part: jax.Array, start: tuple[jax.Array, ...], active: jax.Array) -> jax.Array:
    """Overwrite with itself what is to stay. One fused update, and under vmap too."""
    # Read with the indices it is written with: only then does XLA fuse the read instead of copying the part out.
    old = jax.lax.dynamic_slice(buffer, start, part.shape)
    return jax.lax.dynamic_update_slice(buffer, jnp.where(active, part, old), start)


def _branch(buffer: jax.Array, part: jax.Array, start: tuple[jax.Array, ...], active: jax.Array) -> jax.Array:
    """Overwrite or not: XLA on CPU knows no fused update of half precision in place, and a plain one it does."""
    return jax.lax.cond(active, lambda b: jax.lax.dynamic_update_slice(b, part, start), lambda b: b, buffer)
