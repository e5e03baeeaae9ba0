"""Overwriting part of a buffer where it lies."""

import functools

import jax
import jax.numpy as jnp


def overwrite(buffer: jax.Array, part: jax.Array, number: jax.Array, active: jax.Array, *, axis: int) -> jax.Array:
    """Write ``part`` over that run of its own length along ``axis`` which has this number, if ``active``.

    A donated buffer is written in place. Of bfloat16 a CPU goes through what stays as well: XLA has no update of it
    there, and would turn the buffer into float32 and back, under `jax.vmap` in a copy.
    """
    update, choose = (functools.partial(write, axis=axis) for write in (_update, _choose))
    if buffer.dtype == jnp.bfloat16:
        return jax.lax.platform_dependent(buffer, part, number, active, cpu=choose, default=update)
    return update(buffer, part, number, active)


def _update(buffer: jax.Array, part: jax.Array, number: jax.Array, active: jax.Array, *, axis: int) -> jax.Array:
    """Overwrite with itself what is to stay. One fused update, and under vmap too."""
    # Read with the index it is written with: only then does XLA fuse the read instead of copying the part out.
    length = part.shape[axis]
    old = jax.lax.dynamic_slice_in_dim(buffer, number * length, length, axis)
    new = jnp.where(active, part, old)
    return jax.lax.dynamic_update_slice_in_dim(buffer, new, number * length, axis)


def _choose(buffer: jax.Array, part: jax.Array, number: jax.Array, active: jax.Array, *, axis: int) -> jax.Array:
    """Choose number by number between the part and what is there."""
    length = part.shape[axis]
    written = active & (jax.lax.broadcasted_iota(jnp.int32, buffer.shape, axis) // length == number)
    # The part is repeated and not the buffer reshaped, which XLA would copy.
    runs = [buffer.shape[axis] // length if a == axis else 1 for a in range(buffer.ndim)]
    return jnp.where(written, jnp.tile(part, runs), buffer)
