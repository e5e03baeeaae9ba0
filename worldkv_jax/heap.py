"""The heap of the process: what is free in it goes back to the system."""

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import jax

from worldkv_jax.compile_events import COMPILED

_LONG = 0.1  # seconds; what compiles faster leaves little


def give_back() -> None:
    """Give the system the pages of the heap that nothing is on; does nothing where the C library cannot.

    Worlds and thumbnails live among the temporaries of every chunk, each thread in a heap of its own. When a session
    ends, what it leaves are holes, and glibc keeps holes: the process stays as large as the most that was ever needed.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def give_back_after_compiling() -> None:
    """Let every longer compilation end with `give_back`, in the whole process; calling it again changes nothing.

    XLA compiles a video decoder in 240 MiB, of which it frees three quarters.
    """

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        if event == COMPILED and duration_secs > _LONG:
            give_back()

    jax.monitoring.register_event_duration_secs_listener(listen)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library; Windows names none
        return None
