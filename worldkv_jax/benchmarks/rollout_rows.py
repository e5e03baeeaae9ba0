"""Rows of the rollout benchmark: what was measured, beside what was counted from the shapes."""

import dataclasses
import operator
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from worldkv_jax.benchmarks.rollout_cases import RIVALS, Case
from worldkv_jax.benchmarks.timing import Timing
from worldkv_jax.memory.report import attended_tokens, bytes_by_tier
from worldkv_jax.sessions.plan import chunk_flops
from worldkv_jax.sessions.session import Session

Row = dict[str, Any]


def make_row(
    case: Case,
    session: Session,
    rounds: Sequence[Sequence[float]],
    *,
    decode: bool,
    frames: int,
    ceiling: float,
    timed: Iterable[int],
    moves: Mapping[str, float] | None,
) -> Row:
    """Put together what is known of one case.

    Args:
        case: the memory and its length.
        session: the model.
        rounds: seconds of each timed chunk, round by round.
        decode: whether the chunks were decoded.
        frames: of one decoded chunk.
        ceiling: operations a second of the largest product alone.
        timed: ids of the timed chunks of one burst.
        moves: seconds that a chunk's moves between host and device take alone, each way.
    """
    layout = case.layout(session.backbone.spec, session.worlds)
    cost = session.cost if decode else dataclasses.replace(session.cost, decode_flops=0.0)
    flops = statistics.fmean(chunk_flops(layout, cost, chunk) for chunk in timed)
    seconds = [second for timed_chunks in rounds for second in timed_chunks]
    median = statistics.median(seconds)
    return {
        **_names(case),
        "decode": decode,
        "median_s": median,
        "min_s": min(seconds),
        "max_s": max(seconds),
        "repeats": len(seconds),
        "round_s": [statistics.median(timed_chunks) for timed_chunks in rounds],
        "fps": frames * session.worlds / median,
        "attended_tokens": layout.spec.chunk_tokens + attended_tokens(layout, case.length - 1),
        "flops": flops,
        "flops_per_s": flops / median,
        "ceiling_share": flops / median / ceiling,
        "kv_bytes": bytes_by_tier(layout, case.length),
        "capacity": layout.bank.capacity if layout.bank else None,
        "moved_bytes": _moved_bytes(case, layout),
        "moves": None if moves is None else dict(moves),
    }


def skipped_row(case: Case, rows: Sequence[Row]) -> Row:
    """Say why a case was not measured; a chunk of full KV is estimated from shorter rollouts, if there are two."""
    row = {**_names(case), "skipped": case.skipped}
    measured = [other for other in rows if other["mode"] == case.mode == "full" and not other["decode"]]
    if len(measured) > 1:
        # Attention is the part of a chunk that grows, and it grows with the tokens attended to.
        lengths = [other["length"] for other in measured]
        slope, start = np.polyfit(lengths, [other["median_s"] for other in measured], 1)
        row["estimated_s"] = float(start + slope * case.length)
    return row


def add_hidden_shares(rows: Sequence[Row]) -> None:
    """Add to rows with a bank in host memory which share of their moves did not show, beside the bank on the device.

    ``exposed_s`` is how much longer a chunk took, ``hidden_share`` is 1 where it took no longer at all; both are
    ``None`` where there is no bank on the device to compare with.
    """
    for row in rows:
        if row["moves"] is None:
            continue
        twin = _find(rows, mode=row["mode"], length=row["length"], decode=row["decode"], tier="device")
        row |= {"exposed_s": None, "hidden_share": None}
        if twin is not None:
            alone = sum(row["moves"].values())
            row["exposed_s"] = max(0.0, _over_rounds(lambda ours, theirs: ours - theirs, row, twin))
            row["hidden_share"] = max(0.0, 1 - row["exposed_s"] / alone)


def verb_row(case: Case, timing: Timing, rows: Sequence[Row]) -> Row:
    """Compare recalling and remembering, timed on their own, with a whole chunk."""
    chunk = _find(rows, **_names(case), decode=False)
    return {
        **_names(case),
        **dataclasses.asdict(timing),
        "chunk_share": None if chunk is None else timing.median_s / chunk["median_s"],
    }


def ratios(rows: Sequence[Row]) -> list[Row]:
    """Compare WorldKV at the longest length with full KV, and with a window that attends to as many tokens.

    Returns:
        For each bank and way of decoding how many times faster than full KV (from an estimate if ``estimated``) and
        which share of the window's speed; ``None`` where there is nothing to compare with.
    """
    longest = max((row["length"] for row in rows), default=0)
    found = []
    for row in rows:
        if row["mode"] not in RIVALS or row["length"] != longest or "skipped" in row:
            continue
        full = _find(rows, mode="full", length=longest, decode=row["decode"])
        window = _find(rows, mode=RIVALS[row["mode"]], length=longest, decode=row["decode"])
        times_full = None if full is None else _over_rounds(operator.truediv, full, row)
        estimate = None if row["decode"] else _estimate(rows, longest)
        if full is None and estimate is not None:
            times_full = estimate / row["median_s"]
        found.append(
            {
                **{name: row[name] for name in ("mode", "tier", "live", "length", "decode")},
                "times_full": times_full,
                "estimated": full is None and times_full is not None,
                "share_of_window": None if window is None else _over_rounds(operator.truediv, window, row),
            }
        )
    return found


def _over_rounds(compare: Callable[[float, float], float], one: Row, other: Row) -> float:
    """Compare two rows round by round: what slowed the machine for a while met both."""
    return statistics.median(map(compare, one["round_s"], other["round_s"]))


def _names(case: Case) -> Row:
    return {"mode": case.mode, "tier": case.tier, "live": case.live, "length": case.length}


def _moved_bytes(case: Case, layout) -> dict[str, int] | None:
    """Count what a chunk moves: itself to the host, its picks to the device (at least, where cameras are guessed)."""
    if case.tier in (None, "device"):
        return None
    return {"to_host": layout.bank.chunk_bytes, "to_device": layout.bank.retrieval.chunks * layout.bank.chunk_bytes}


def _find(rows: Sequence[Row], **wanted) -> Row | None:
    """Find the measured row with these values; cameras known ahead unless asked for otherwise."""
    wanted = {"live": False, **wanted}
    for row in rows:
        if "skipped" not in row and all(row[name] == value for name, value in wanted.items()):
            return row
    return None


def _estimate(rows: Sequence[Row], length: int) -> float | None:
    for row in rows:
        if row["mode"] == "full" and row["length"] == length and "skipped" in row:
            return row.get("estimated_s")
    return None
