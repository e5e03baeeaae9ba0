"""Sizes that all demo worlds share, so that one model fits them, and what they are made of."""

import jax
import numpy as np

AnyArray = jax.Array | np.ndarray
"""Part of a world: drawn on the host, rendered where JAX computes."""
CHUNK_FRAMES = 3
CELLS = (8, 12)
"""Latent cells of a frame, rows and columns."""
