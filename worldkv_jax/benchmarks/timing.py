"""Timing of one step: how long it takes, whether it compiles again, and whether live bytes grow."""

import contextlib
import dataclasses
import gc
import statistics
import time
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

import jax
from jax.extend.backend import backends

from worldkv_jax.compile_events import COMPILED, LOWERED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to measure each step."""

    repeats: int = 30
    warmup: int = 3
    budget_s: float = 10.0
    """Seconds after which no further repeat is begun; one is always timed."""
    call_limit_s: float = 3.0
    """A step that is expected to take longer is left out, where there is something to judge it by."""

    def __post_init__(self):
        if self.repeats < 1 or self.warmup < 1:
            raise ValueError(f"repeats={self.repeats} and warmup={self.warmup} must both be at least 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """What repeating a warm step showed."""

    median_s: float
    min_s: float
    max_s: float
    repeats: int
    compilations: int
    """Programs compiled while the warm step was timed; 0 if it is the same program every time."""
    live_bytes_before: dict[str, int]
    """Bytes of all live arrays before the timed repeats, by platform and kind of memory."""
    live_bytes_after: dict[str, int]
    live_bytes_flat: bool
    """Whether as many bytes are live after the repeats as before."""
    peak_bytes_before: int | None
    """Largest use of the device by this process so far, where the platform counts it."""
    peak_bytes_after: int | None


def measure(step: Callable[[], Any], effort: Effort) -> Timing:
    """Time a step after warming it up, waiting for its results each time.

    Args:
        step: does the work and returns the arrays that are ready when it is done.
        effort: how often.
    """
    for _ in range(effort.warmup):
        jax.block_until_ready(step())
    live, peak = live_bytes(), peak_bytes()
    seconds = []
    with count_compilations() as compiled:
        began = time.perf_counter()
        while len(seconds) < effort.repeats and (not seconds or time.perf_counter() - began < effort.budget_s):
            start = time.perf_counter()
            result = jax.block_until_ready(step())
            seconds.append(time.perf_counter() - start)
            del result  # freed outside the timed span, and before the next step needs the room
    live_after = live_bytes()
    return Timing(
        median_s=statistics.median(seconds),
        min_s=min(seconds),
        max_s=max(seconds),
        repeats=len(seconds),
        compilations=compiled.total(),
        live_bytes_before=live,
        live_bytes_after=live_after,
        live_bytes_flat=live_after == live,
        peak_bytes_before=peak,
        peak_bytes_after=peak_bytes(),
    )


@contextlib.contextmanager
def count_compilations() -> Generator[Counter]:
    """Count the programs that jax compiles inside the ``with`` block, by function name."""
    compiled: Counter = Counter()

    def listen(event: str, duration: float, **details) -> None:
        if event == COMPILED:
            compiled[details.get("fun_name", "?")] += 1

    with _listening(listen):
        yield compiled


@contextlib.contextmanager
def time_compilations() -> Generator[list[float]]:
    """Collect the seconds that jax spends on lowering and compiling inside the ``with`` block."""
    seconds: list[float] = []

    def listen(event: str, duration: float, **details) -> None:
        if event in (COMPILED, LOWERED):
            seconds.append(duration)

    with _listening(listen):
        yield seconds


@contextlib.contextmanager
def _listening(listen: Callable) -> Generator[None]:
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def live_bytes() -> dict[str, int]:
    """Sum the bytes of all live arrays by platform and kind of memory, such as ``cuda device``.

    An array that is split or copied over devices counts once. Garbage does not count: it would go at any moment, and
    what is compared would differ by chance.
    """
    gc.collect()
    total: Counter = Counter()
    # Every platform, because the host tiers of a GPU's bank are arrays of the CPU, if jax has been given one.
    for platform in backends():
        for array in jax.live_arrays(platform):
            total[f"{platform} {array.sharding.memory_kind}"] += array.nbytes
    return dict(sorted(total.items()))


def peak_bytes() -> int | None:
    """Return the largest number of bytes this process has used of the first device, or ``None`` if unknown."""
    stats = jax.devices()[0].memory_stats()
    return stats.get("peak_bytes_in_use") if stats else None
