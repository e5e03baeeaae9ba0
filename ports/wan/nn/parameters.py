"""Modules apart from their parameters: drawn, described without allocating, bound back under jit.

Parameters are nested dictionaries, so they can be donated, sharded, cast and saved like any pytree. Every module
here is built as ``Module(config, rngs=...)`` from a hashable configuration.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

Layer = TypeVar("Layer", bound=nnx.Module)


def init_params(
    module: Callable[..., nnx.Module], config: Any, seed: int, *, dtype: Any = jnp.float32, generator: str = "rbg"
) -> dict:
    """Draw the parameters of a module, on the device and leaf by leaf in ``dtype``.

    The default generator compiles five times as fast as JAX's own, ``"threefry2x32"``, whose numbers alone are the same
    on every kind of device.
    """

    @jax.jit
    def draw(key):
        params = nnx.to_pure_dict(nnx.split(module(config, rngs=nnx.Rngs(key)))[1])
        return jax.tree.map(lambda a: a.astype(dtype), params)

    return draw(jax.random.key(seed, impl=generator))


def abstract_params(module: Callable[..., nnx.Module], config: Any) -> dict:
    """Describe the parameters of a module as ``jax.ShapeDtypeStruct``, float32, without allocating any."""
    return nnx.to_pure_dict(_abstract(module, config)[1])


def bind(module: Callable[..., nnx.Module], config: Any, params: dict) -> Any:
    """Give a module its parameters; works under jit."""
    return nnx.merge(_abstract(module, config)[0], params)


def stack_layers(make: Callable[[nnx.Rngs], Layer], count: int, rngs: nnx.Rngs) -> Layer:
    """Make ``count`` layers as one module whose parameters have a leading layer axis, to be scanned over."""
    return nnx.split_rngs(splits=count)(nnx.vmap(make))(rngs)


@functools.lru_cache(maxsize=32)
def _abstract(module, config):
    return nnx.split(nnx.eval_shape(lambda: module(config, rngs=nnx.Rngs(0))))
