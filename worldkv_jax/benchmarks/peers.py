"""The comparison with other programs: the same work by ours and theirs in turn, with the ratio of each round."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldkv_jax.benchmarks.pairs import NotComparable, Peer, Place, Work
from worldkv_jax.benchmarks.peer_memory import peak_of_process
from worldkv_jax.entry_points import load_entry
from worldkv_jax.sessions.provenance import describe_machine


def run_peer_benchmark(
    peers: Mapping[str, str],
    rounds: int,
    scratch: Path,
    *,
    upstream: tuple[Path, ...] = (),
    memory: bool = False,
    progress: Callable[[Iterable[dict], int], Iterable[dict]] | None = None,
) -> dict[str, Any]:
    """Compare with every peer: one round to warm up, whose results are compared, then rounds that are timed.

    Args:
        peers: entry points ``module:function`` of a `Peer`, by name.
        rounds: timed, of ours and theirs in turn.
        scratch: an empty folder.
        upstream: folders of clones.
        memory: also find the memory that a process takes to do the work once, one of ours and one of theirs.
        progress: wraps the rows as they come; it is also given how many there will be.

    Returns:
        The machine and the rows; all of it has a JSON form. Who cannot be compared with has a row that says why.

    Raises:
        ValueError: no rounds, or results that differ.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds} must be at least 1")

    def compare(name: str, entry: str) -> dict[str, Any]:
        place = Place(scratch=scratch / name, rounds=rounds, upstream=upstream)
        place.scratch.mkdir()
        try:
            row = _time_pair(name, _load(name, entry), place)
        except NotComparable as reason:
            return {"peer": name, "skipped": str(reason)}
        if memory:
            ours, theirs = (peak_of_process(entry, place, side) for side in ("ours", "theirs"))
            row |= {"ours_peak_bytes": ours, "theirs_peak_bytes": theirs, "peak_ratio": ours / theirs}
        return row

    rows = (compare(name, entry) for name, entry in peers.items())
    return {
        **describe_machine(),
        "rounds": rounds,
        "rows": list(rows if progress is None else progress(rows, len(peers))),
    }


def _load(name: str, entry: str) -> Peer:
    try:
        return load_entry("peer", name, entry)
    except ValueError as error:
        raise NotComparable(f"{error}: pip install 'worldkv-jax[torch]'") from error


def _time_pair(name: str, peer: Peer, place: Place) -> dict[str, Any]:
    pair = peer(place)
    ours, theirs = pair.ours(), pair.theirs()
    deviation = _deviation(ours(), theirs())
    if not deviation <= pair.tolerance:
        raise ValueError(
            f"{name}: ours deviates by {deviation:.1e} of the largest number, allowed are {pair.tolerance:.1e}: it is "
            "not the same work"
        )
    timed = [(_time(ours), _time(theirs)) for _ in range(place.rounds)]
    return {
        "peer": name,
        "what": pair.what,
        "deviation": deviation,
        **_summary("", [(ours[0], theirs[0]) for ours, theirs in timed]),
        **_summary("processor_", [(ours[1], theirs[1]) for ours, theirs in timed]),
    }


def _time(work: Work) -> tuple[float, float]:
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
