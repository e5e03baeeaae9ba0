"""The numbers of the study as tables: each variant with its interval, and its paired difference from a reference."""

from collections.abc import Mapping, Sequence

import numpy as np

from ports.demo_world.scenario import FIRST, LATE
from ports.demo_world.study.runs import Result
from ports.demo_world.study.variants import Variant
from worldkv_jax.evaluation.intervals import Interval, mean_interval, paired_interval

Results = Mapping[str, Result]
"""By the variant's name."""

_TIE = 0.1  # dB: variants this near to the best one, or whose interval reaches it, count as equally good


def row(result: Result, reference: Result) -> dict:
    """Return one variant's numbers; differences are of late-revisit PSNR, paired over worlds."""
    moving = np.array([]) if result.moving is None else result.moving[~np.isnan(result.moving)]  # not in every world
    return {
        "memory": result.name,
        "tokens": result.attended,
        "stored": result.stored_share,
        "first_psnr": mean_interval(result.of_phase(FIRST)),
        "late_psnr": mean_interval(result.of_phase(LATE)),
        "late_ssim": mean_interval(result.of_phase(LATE, result.ssim)),
        "behind": result.behind,
        "moving": mean_interval(moving) if moving.size else None,
        "difference": None if result.name == reference.name else late_difference(result, reference),
    }


def late_difference(result: Result, reference: Result) -> Interval:
    """Return the paired difference of late-revisit PSNR, on the worlds that both were measured on."""
    ours, theirs = result.of_phase(LATE), reference.of_phase(LATE)
    worlds = min(len(ours), len(theirs))
    return paired_interval(ours[:worlds], theirs[:worlds])


def first_difference(result: Result, reference: Result) -> Interval:
    """Return the paired difference of first-revisit PSNR."""
    return paired_interval(result.of_phase(FIRST), reference.of_phase(FIRST))


def table(variants: Sequence[Variant], results: Results, reference: str) -> list[dict]:
    """Return the rows of the variants that were measured."""
    return [row(results[v.name], results[reference]) for v in variants if v.name in results]


def markdown(rows: Sequence[Mapping], reference: str) -> str:
    """Write rows as a Markdown table; intervals are half-widths at 95 %."""
    walls, moves = (any(r[name] is not None for r in rows) for name in ("behind", "moving"))
    heads = ["memory", "attends", "stores", "first revisit, dB", "late revisit, dB", "late SSIM"]
    heads.append(f"late, minus {reference}")
    heads += ["from behind walls"] * walls + ["what moves, dB"] * moves
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for r in rows:
        cells = [
            r["memory"],
            f"{r['tokens']:,}",
            f"{100 * r['stored']:.0f} %",
            _text(r["first_psnr"]),
            _text(r["late_psnr"]),
            _text(r["late_ssim"], 3),
            _text(r["difference"], signed=True),
        ]
        if walls:
            cells.append("" if r["behind"] is None else f"{100 * r['behind']:.0f} %")
        if moves:
            cells.append(_text(r["moving"]))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def recommend(variants: Sequence[Variant], results: Results, *, tokens: int) -> tuple[Variant, Variant] | None:
    """Choose the memory to use: of those as good as the best within a budget, the one that stores least.

    Args:
        variants: candidates, of which those in the plain setting with a bank count.
        results: of the validation worlds.
        tokens: most stored tokens that may be attended to.

    Returns:
        The choice, and the best; ``None`` without candidates. Equally good is what is within 0.1 dB of the best, or
        whose paired interval reaches it. Of equal bytes the fewer tokens decide, then the order of the variants.
    """
    able = [
        v
        for v in variants
        if v.name in results and v.memory.mode == "worldkv" and v.plain and results[v.name].attended <= tokens
    ]
    if not able:
        return None
    best = max(able, key=lambda v: results[v.name].of_phase(LATE).mean())

    def as_good(v: Variant) -> bool:
        difference = late_difference(results[v.name], results[best.name])
        return difference.mean >= -_TIE or (difference.high is not None and difference.high >= 0)

    chosen = min(filter(as_good, able), key=lambda v: (results[v.name].stored_bytes, results[v.name].attended))
    return chosen, best


def _text(interval: Interval | None, digits: int = 2, *, signed: bool = False) -> str:
    if interval is None:
        return ""
    mean = f"{interval.mean:{'+' if signed else ''}.{digits}f}"
    return mean if interval.half_width is None else f"{mean} ± {interval.half_width:.{digits}f}"
