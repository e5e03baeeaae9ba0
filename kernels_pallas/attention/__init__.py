"""Attention of queries to the valid rows of keys and values."""

from kernels_pallas.attention.api import attention

__all__ = ["attention"]
