"""The claims of the paper that the demo world can test, and our own of DEFAULT, each judged by an interval."""

from typing import NamedTuple

import numpy as np

from ports.demo_world.study.attention import Attention
from ports.demo_world.study.tables import Results, first_difference, late_difference
from worldkv_jax.evaluation.intervals import Interval, mean_interval

CLOSE = 0.2  # dB that count as keeping up
FORGETS = 3.0  # dB that count as forgetting
STRONG = 0.5  # rank correlation that counts as looking where views overlap


class _Comparison(NamedTuple):
    """A claim that one memory is better than another by more than a bound, in dB of late-revisit PSNR."""

    claim: str
    ours: str
    theirs: str
    bound: float = 0.0


_PAPERS = (
    _Comparison("A sliding window forgets", "full KV", "sliding window", FORGETS),
    _Comparison("Full KV remembers", "full KV", "sink + recent", FORGETS),
    _Comparison("WorldKV (PAPER) keeps up with full KV at about half its storage", "PAPER", "full KV", -CLOSE),
    _Comparison("0.25 is a sweet spot: as good as keeping all", "PAPER", "PAPER, nothing pruned", -CLOSE),
    _Comparison(
        "0.25 is a sweet spot: at equal tokens better than fewer whole chunks",
        "PAPER",
        "PAPER's tokens, 3 whole chunks",
    ),
    _Comparison("Anchors alone lose detail", "PAPER", "PAPER, anchors only"),
    _Comparison("The tokens least like the anchor are those to keep", "PAPER", "PAPER, the most similar kept"),
    _Comparison("Irrelevant history hurts: the nearest chunks beat full KV", "PAPER, nothing pruned", "full KV"),
)
_OURS = (
    _Comparison("DEFAULT is at least full KV minus 0.2 dB", "DEFAULT", "full KV", -CLOSE),
    _Comparison("DEFAULT is better than PAPER", "DEFAULT", "PAPER"),
    _Comparison("DEFAULT is better than OFFICIAL", "DEFAULT", "OFFICIAL"),
    _Comparison("so it is at OFFICIAL's tokens", "DEFAULT, OFFICIAL's tokens", "OFFICIAL"),
)


class Verdict(NamedTuple):
    """One claim, whether it stood, and what was measured."""

    claim: str
    verdict: str
    measured: str


def judge(results: Results, attention: Attention | None) -> list[Verdict]:
    """Judge every claim whose memories were measured, on worlds that nothing was chosen on.

    A difference is above or below its bound only if its whole 95 % interval is; otherwise the claim is undecided.
    """
    verdicts = [_compare(c, results, "reproduced") for c in _PAPERS if {c.ours, c.theirs} <= results.keys()]
    if attention is not None:
        verdicts.append(_attention(attention))
    return verdicts + [_compare(c, results, "holds") for c in _OURS if {c.ours, c.theirs} <= results.keys()]


def markdown(verdicts: list[Verdict]) -> str:
    """Write verdicts as a Markdown table."""
    lines = ["| claim | verdict | measured |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {v.claim} | **{v.verdict}** | {v.measured} |" for v in verdicts)])


def _compare(comparison: _Comparison, results: Results, word: str) -> Verdict:
    ours, theirs = results[comparison.ours], results[comparison.theirs]
    late, first = late_difference(ours, theirs), first_difference(ours, theirs)
    measured = (
        f"{ours.name} minus {theirs.name}: {late.text()} dB on late revisits, {first.text()} on first ones; "
        f"{ours.attended:,} against {theirs.attended:,} tokens, {100 * ours.stored_share:.0f} % against "
        f"{100 * theirs.stored_share:.0f} % of full KV's bytes"
    )
    return Verdict(comparison.claim, _verdict(late, comparison.bound, word), measured)


def _attention(attention: Attention) -> Verdict:
    heads = np.nanmean(attention.correlation, axis=0)
    mean = mean_interval(np.nanmean(attention.correlation, axis=(1, 2)))
    many = f"above {STRONG} in {(heads > STRONG).sum()} of {heads.size} heads"
    return Verdict(
        "Attention falls on chunks whose views overlap",
        _verdict(mean, STRONG, "reproduced"),
        f"rank correlation {mean.text()} over all layers and heads; {many}",
    )


def _verdict(interval: Interval, bound: float, word: str) -> str:
    if interval.low is None or interval.high is None or interval.low <= bound <= interval.high:
        return "undecided"
    return word if interval.low > bound else f"not {word}" if word == "reproduced" else "does not hold"
