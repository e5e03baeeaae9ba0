"""What all comparisons with goldens share."""

import jax
import pytest


@pytest.fixture(autouse=True)
def exact_products():
    """Multiply in float32, as goldens were recorded."""
    with jax.default_matmul_precision("highest"):
        yield
