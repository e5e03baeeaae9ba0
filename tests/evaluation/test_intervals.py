"""Confidence intervals: coverage, pairs, and what has none."""

import numpy as np
import pytest

from worldkv_jax.evaluation import mean_interval, paired_interval


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [mean_interval(rng.normal(3.0, 2.0, size=6), confidence=0.9) for _ in range(2000)]
    share = np.mean([i.low <= 3.0 <= i.high for i in intervals])
    assert 0.88 < share < 0.92


def test_pairs_cancel_what_differs_between_worlds():
    rng = np.random.default_rng(1)
    worlds = rng.normal(20, 3, size=12)
    a, b = worlds + 0.5 + 0.1 * rng.normal(size=12), worlds
    difference = paired_interval(a, b)
    assert 0.35 < difference.low < 0.5 < difference.high < 0.65
    assert difference.half_width < 0.1 * mean_interval(a).half_width


def test_one_world_has_no_interval():
    alone = mean_interval([4.0])
    assert alone == (4.0, None, None, 1) and alone.half_width is None and alone.text() == "4.00"
    assert mean_interval([1.0, 2.0]).text(1) == "1.5 [-4.9, 7.9]"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([]), "at least one value"),
        (lambda: mean_interval([[1.0]]), r"shape \(1, 1\)"),
        (lambda: mean_interval([1.0, np.nan]), "1 of 2 values are not finite"),
        (lambda: mean_interval([1.0, 2.0], confidence=95), r"confidence=95 is outside \(0, 1\)"),
        (lambda: paired_interval([1.0], [1.0, 2.0]), "are not pairs"),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
