"""The ceiling: how fast this machine multiplies matrices of a model's largest shape."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_PAIRS = 8  # enough that starting the program does not show


class Product(NamedTuple):
    """A product of tokens with a linear map, there and back, several times."""

    rows: int
    """Tokens."""
    d_in: int
    d_out: int
    dtype: str

    @property
    def flops(self) -> float:
        """Operations of one call of `product_step`, two for a multiply-add."""
        return 2.0 * 2 * _PAIRS * self.rows * self.d_in * self.d_out


def widest_product(params: Any, *, layers: int, rows: int, dtype: str) -> Product:
    """Find the largest linear map of a model's blocks: its feed-forward layers, as a rule.

    Args:
        params: a pytree; kernels of the blocks are ``[L, d_in, d_out]``.
        layers: ``L``.
        rows: tokens that go through it at once.
        dtype: what it is computed in.

    Raises:
        ValueError: there is no linear map among the parameters.
    """
    shapes = [leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim >= 2]
    stacked = [shape[-2:] for shape in shapes if len(shape) == 3 and shape[0] == layers]
    kernels = stacked or [shape[-2:] for shape in shapes]
    if not kernels:
        raise ValueError("no parameter has two axes, so there is no product to take as the ceiling")
    d_in, d_out = max(kernels, key=lambda shape: (shape[0] * shape[1], shape))
    return Product(rows, d_in, d_out, dtype)


def product_step(product: Product) -> Callable[[], jax.Array]:
    """Make random matrices and return the step that multiplies them."""
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = ((product.rows, product.d_in), (product.d_in, product.d_out), (product.d_out, product.d_in))
    # Scaled so that numbers neither grow nor vanish on the way.
    scales = (1.0, product.d_in**-0.5, product.d_out**-0.5)
    arrays = [
        (scale * jax.random.normal(key, shape)).astype(product.dtype) for key, shape, scale in zip(keys, shapes, scales)
    ]
    return lambda: _multiply(*arrays)


@jax.jit
def _multiply(x, up, down):
    return jax.lax.fori_loop(0, _PAIRS, lambda _, x: jnp.dot(jnp.dot(x, up), down), x)
