"""The noise that chunks are made of: drawn from a key, or given."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from worldkv_jax.rollout.backbone import Backbone

Noise = Callable[[int], jax.Array]
"""Gives chunk number ``i`` its noise ``[steps, B, *latent_shape]``."""


def choose_noise(key: jax.Array | None, noise: Noise | None, backbone: Backbone, worlds: int) -> Noise:
    """Return what gives each chunk its noise: the function that was given, or draws from the key.

    Raises:
        ValueError: neither or both of them, something else, or several keys.
    """
    if (key is None) == (noise is None):
        raise ValueError("give either key or noise: exactly one of them decides the world")
    if noise is not None:
        if not callable(noise):
            raise ValueError(f"noise is a {type(noise).__name__}; give a function from a chunk's number to its noise")
        return noise
    if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)) or key.ndim:
        raise ValueError(f"key is {key!r}; give one typed key, such as jax.random.key(0)")
    shape = (backbone.schedule.steps, *backbone.latent_shape)
    return lambda index: draw_noise(key, np.int32(index), worlds, shape)


@functools.partial(jax.jit, static_argnums=(2, 3))
def draw_noise(key: jax.Array, index: jax.Array, worlds: int, shape: tuple[int, ...]) -> jax.Array:
    """Draw the noise of chunk ``index``, each world's from a key of its own: the same alone and in a batch.

    Returns:
        float32 ``[steps, B, *latent_shape]``, where ``shape`` is ``(steps, *latent_shape)``.
    """
    keys = jax.vmap(lambda world: jax.random.fold_in(jax.random.fold_in(key, world), index))(jnp.arange(worlds))
    # float32 by name: under x64 the default would be another world.
    return jax.vmap(lambda key: jax.random.normal(key, shape, jnp.float32), out_axes=1)(keys)
