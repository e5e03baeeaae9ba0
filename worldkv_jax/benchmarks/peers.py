"""The comparison with other programs: the same work by ours and theirs in turn, with the ratio of each round."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldkv_jax.sessions.provenance import describe_machine


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """The same work, done by ours and by theirs; each returns an array when it is done."""

    what: str
    """What is done, with its sizes."""
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    tolerance: float
    """Largest deviation of the results, as a share of the largest number."""


Peer = Callable[[Path], Pair]
"""Makes a pair; may write to a folder, which is removed after the comparison."""


def run_peer_benchmark(
    peers: Mapping[str, Peer | str],
    rounds: int,
    scratch: Path,
    *,
    progress: Callable[[Iterable[dict], int], Iterable[dict]] | None = None,
) -> dict[str, Any]:
    """Compare with every peer: one round to warm up, whose results are compared, then rounds that are timed.

    Args:
        peers: by name; or the reason why one cannot be compared with.
        rounds: timed, of ours and theirs in turn.
        scratch: an empty folder.
        progress: wraps the rows as they come; it is also given how many there will be.

    Returns:
        The machine and the rows; all of it has a JSON form.

    Raises:
        ValueError: no rounds, or results that differ.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds} must be at least 1")
    rows = (_compare(name, peer, rounds, scratch / name) for name, peer in peers.items())
    return {
        **describe_machine(),
        "rounds": rounds,
        "rows": list(rows if progress is None else progress(rows, len(peers))),
    }


def _compare(name: str, peer: Peer | str, rounds: int, scratch: Path) -> dict[str, Any]:
    if isinstance(peer, str):
        return {"peer": name, "skipped": peer}
    scratch.mkdir()
    pair = peer(scratch)
    deviation = _deviation(pair.ours(), pair.theirs())
    if not deviation <= pair.tolerance:
        raise ValueError(
            f"{name}: ours deviates by {deviation:.1e} of the largest number, allowed are {pair.tolerance:.1e}: it is "
            "not the same work"
        )
    timed = [(_time(pair.ours), _time(pair.theirs)) for _ in range(rounds)]
    return {
        "peer": name,
        "what": pair.what,
        "deviation": deviation,
        **_summary("", [(ours[0], theirs[0]) for ours, theirs in timed]),
        **_summary("processor_", [(ours[1], theirs[1]) for ours, theirs in timed]),
    }


def _time(work: Callable[[], Any]) -> tuple[float, float]:
    """Return seconds of the clock and of the process's threads."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def _summary(prefix: str, pairs: list[tuple[float, float]]) -> dict[str, float]:
    ratios = [ours / max(theirs, 1e-9) for ours, theirs in pairs]
    return {
        f"{prefix}ours_s": statistics.median(ours for ours, _ in pairs),
        f"{prefix}theirs_s": statistics.median(theirs for _, theirs in pairs),
        f"{prefix}ratio": statistics.median(ratios),
        f"{prefix}least": min(ratios),
        f"{prefix}most": max(ratios),
    }


def _deviation(ours: Any, theirs: Any) -> float:
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if ours.shape != theirs.shape:
        raise ValueError(f"ours has shape {ours.shape} and theirs {theirs.shape}: it is not the same work")
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))
