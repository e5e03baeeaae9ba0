"""Sizes that all demo worlds share, so that one model fits them."""

CHUNK_FRAMES = 3
CELLS = (8, 12)
"""Latent cells of a frame, rows and columns."""
