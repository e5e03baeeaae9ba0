"""How much each key of a chunk resembles the chunk's anchor frame."""

from kernels_pallas.anchor_similarity.api import anchor_similarity
from kernels_pallas.anchor_similarity.reference import Kind, Partials, anchor_vector, cosine, squared_norm

__all__ = ["Kind", "Partials", "anchor_similarity", "anchor_vector", "cosine", "squared_norm"]
