"""The heap of the process: what is free in it goes back to the system."""

import ctypes
import functools
from collections.abc import Callable


def give_back() -> None:
    """Give the system the pages of the heap that nothing is on; does nothing where the C library cannot.

    Worlds and thumbnails live among the temporaries of every chunk, each thread in a heap of its own. When a session
    ends, what it leaves are holes, and glibc keeps holes: the process stays as large as the most that was ever needed.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library; Windows names none
        return None
