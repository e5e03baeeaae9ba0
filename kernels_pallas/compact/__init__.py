"""The kept tokens of keys and values, moved together."""

from kernels_pallas.compact.api import compact

__all__ = ["compact"]
