"""The k lowest scores of each row, in order of position."""

from kernels_pallas.select_lowest.api import select_lowest

__all__ = ["select_lowest"]
