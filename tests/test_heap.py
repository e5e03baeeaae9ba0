"""What is free in the heap goes back to the system, of itself after compiling."""

import gc
import sys

import jax
import numpy as np
import pytest

from worldkv_jax import heap
from worldkv_jax.compile_events import COMPILED


def resident_mib():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 2**10


@pytest.mark.skipif(sys.platform != "linux" or heap._malloc_trim() is None, reason="of glibc")
def test_holes_that_are_left_go_back_to_the_system():
    pieces = [np.ones(2**16, np.uint8) for _ in range(1600)]  # too small to be mapped each by itself
    full = resident_mib()
    last = pieces[-1]  # above the hole
    del pieces
    gc.collect()
    heap.give_back()
    assert resident_mib() < full - 60 and last.all()


def test_a_long_compilation_gives_back_once(monkeypatch):
    given = []
    monkeypatch.setattr(heap, "give_back", lambda: given.append(1))
    heap.give_back_after_compiling()
    heap.give_back_after_compiling()
    jax.monitoring.record_event_duration_secs("/jax/core/compile/jaxpr_trace_duration", 9.0)
    jax.monitoring.record_event_duration_secs(COMPILED, heap._LONG / 2)
    assert not given
    monkeypatch.setattr(heap, "_LONG", 0.0)
    jax.jit(lambda x: x * 3 + 7)(np.arange(5.0)).block_until_ready()
    assert len(given) == 1
