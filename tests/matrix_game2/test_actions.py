"""Actions: keys, scripts, arrays, and what latent frames see of them."""

import random

import numpy as np
import pytest

from ports.matrix_game2.actions import (
    Rows,
    action_windows,
    check_rows,
    chunks_of_rows,
    hold,
    parse_script,
    press,
    rows_of_chunk,
    rows_of_keys,
)
from ports.matrix_game2.benchmark_actions import benchmark_rows
from ports.matrix_game2.variants import GTA_DRIVE, TEMPLERUN, UNIVERSAL, VARIANTS, variant_named

each_variant = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)


def test_rows_of_keys():
    rows = hold(UNIVERSAL, "wdl", 2)
    np.testing.assert_array_equal(rows.keyboard, [[1, 0, 0, 1]] * 2)
    np.testing.assert_array_equal(rows.mouse, np.float32([[0, 0.1]] * 2))
    np.testing.assert_array_equal(hold(UNIVERSAL, "q", 1).keyboard, [[0, 0, 0, 0]])
    np.testing.assert_array_equal(hold(UNIVERSAL, "I J", 1).mouse, np.float32([[0.1, -0.1]]))
    rows = hold(GTA_DRIVE, "aw", 1)
    np.testing.assert_array_equal(rows.keyboard, [[1, 0]])
    np.testing.assert_array_equal(rows.mouse, np.float32([[0, -0.1]]))
    assert hold(TEMPLERUN, "q", 1).mouse is None
    np.testing.assert_array_equal(hold(TEMPLERUN, "q", 1).keyboard, [[1, 0, 0, 0, 0, 0, 0]])  # not all zero
    np.testing.assert_array_equal(hold(TEMPLERUN, "C", 1).keyboard, [[0, 0, 0, 0, 1, 0, 0]])


@each_variant
def test_every_letter_does_something_of_its_own(variant):
    made = {}
    for letter in variant.letters:
        rows = hold(variant, letter, 1)
        assert rows.keyboard.dtype == np.float32
        made[letter] = (*rows.keyboard[0], *([] if rows.mouse is None else rows.mouse[0]))
    idle = [letter for letter in made if made[letter] == made[variant.rest]]
    assert set(idle) <= {"q", "u"}
    assert len(set(made.values())) == len(made) - len(idle) + 1


@pytest.mark.parametrize(
    ("variant", "letters", "message"),
    [
        (UNIVERSAL, "", "no key in ''; press 'Q' to do nothing"),
        (UNIVERSAL, "wx", "unknown key 'x' in 'wx'; variant 'universal' has W, S, A, D, I, K, J, L, U, Q"),
        (UNIVERSAL, "ww", "twice"),
        (UNIVERSAL, "ws", "both W and S"),
        (UNIVERSAL, "wlj", "both J and L"),
        (GTA_DRIVE, "ad", "both A and D"),
        (GTA_DRIVE, "i", "unknown key 'i'"),
        (TEMPLERUN, "wa", "one key at a time"),
    ],
)
def test_keys_that_cannot_be_pressed(variant, letters, message):
    with pytest.raises(ValueError) as error:
        press(variant, letters)
    assert message in str(error.value)


def test_a_script():
    text = "W2 wl3, Q  # look around\n J"
    assert parse_script(UNIVERSAL, text) == ["w", "w", "wl", "wl", "wl", "q", "j"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (" # nothing", "empty"),
        ("W 3", "word 2 of the script of actions, '3', is not letters and a number"),
        ("W0", "word 1"),
        ("W L-3", "word 2"),
        ("W X2", "word 2 of the script of actions: unknown key 'x'"),
        ("W99999 W9", "more than 100000 chunks at word 2"),
    ],
)
def test_scripts_that_cannot_be_read(text, message):
    with pytest.raises(ValueError) as error:
        parse_script(UNIVERSAL, text)
    assert message in str(error.value)


def test_chunks_share_the_rows_among_them():
    ranges = [rows_of_chunk(chunk) for chunk in range(4)]
    assert [row for rows in ranges for row in rows] == list(range(9 + 3 * 12))
    assert [len(rows) for rows in ranges] == [9, 12, 12, 12]
    for chunk in range(4):
        assert chunks_of_rows(ranges[chunk].stop) == chunk + 1


@pytest.mark.parametrize(("count", "advice"), [(1, "give 9"), (10, "give 9 or 21"), (20, "9 or 21"), (22, "21 or 33")])
def test_rows_that_do_not_fill_chunks(count, advice):
    with pytest.raises(ValueError, match=f"{count} rows of actions do not match .*{advice}"):
        chunks_of_rows(count)


def test_windows_end_before_the_row_of_their_own_frame():
    track = np.arange(60, dtype=np.float32)[:, None]
    windows = action_windows(track, range(6))[..., 0]
    np.testing.assert_array_equal(windows[0], np.zeros(12))  # the first row, repeated
    np.testing.assert_array_equal(windows[1], [0] * 9 + [1, 2, 3])
    np.testing.assert_array_equal(windows[5], range(8, 20))
    later = action_windows(track[8:], range(5, 6), first_row=8)[..., 0]
    np.testing.assert_array_equal(later[0], range(8, 20))
    with pytest.raises(IndexError, match="sees row 4, before row 8"):
        action_windows(track[8:], range(4, 6), first_row=8)


def test_an_action_is_seen_within_its_own_chunk():
    """Three, seven and eleven of the twelve rows that the chunk's latent frames see are its own."""
    rows = rows_of_keys(UNIVERSAL, ["q", "q", "w"])
    seen = action_windows(rows.keyboard, range(6, 9))[..., 0].sum(axis=1)
    np.testing.assert_array_equal(seen, [3, 7, 11])


def test_arrays_are_taken_as_they_are():
    rows = check_rows(UNIVERSAL, np.eye(4), np.zeros((4, 2)).tolist())
    assert isinstance(rows, Rows)
    assert rows.keyboard.dtype == rows.mouse.dtype == np.float32
    assert check_rows(TEMPLERUN, np.zeros((3, 7))).mouse is None


@pytest.mark.parametrize(
    ("variant", "keyboard", "mouse", "message"),
    [
        (UNIVERSAL, np.zeros((9, 2)), np.zeros((9, 2)), "2 columns, but variant 'universal' has 4: forward, back"),
        (GTA_DRIVE, np.zeros((9, 7)), np.zeros((9, 2)), "look like rows for 'templerun'"),
        (TEMPLERUN, np.zeros((9, 7)), np.zeros((9, 2)), "'templerun' has no mouse"),
        (UNIVERSAL, np.zeros((9, 4)), None, "needs a mouse"),
        (UNIVERSAL, np.zeros((9, 4)), np.zeros((8, 2)), r"shape (8, 2), expected (9, 2)"),
        (UNIVERSAL, np.zeros(9), None, "shape (9,), expected [n, columns]"),
        (UNIVERSAL, np.zeros((0, 4)), None, "shape (0, 4)"),
        (UNIVERSAL, [[0, 0, np.nan, 0]], np.zeros((1, 2)), "row 0 of the keyboard has nan in column 2"),
        (UNIVERSAL, np.zeros((2, 4)), [[0, 0], [np.inf, 0]], "row 1 of the mouse has inf in column 0"),
        (UNIVERSAL, [[1, 0, 0], [1, 0, 0, 0]], None, "the keyboard is not an array of numbers"),
    ],
)
def test_arrays_that_do_not_fit(variant, keyboard, mouse, message):
    with pytest.raises(ValueError) as error:
        check_rows(variant, keyboard, mouse)
    assert message in str(error.value)


@each_variant
def test_benchmark_actions_are_drawn_anew_every_twelve_rows(variant):
    rows = benchmark_rows(variant, 57, random.Random(1))
    assert rows.keyboard.shape == (57, len(variant.columns))
    changes = np.flatnonzero((np.diff(rows.keyboard, axis=0) != 0).any(axis=1)) + 1
    assert set(changes) <= {1, 13, 25, 37, 49}
    again = benchmark_rows(variant, 57, random.Random(1))
    np.testing.assert_array_equal(again.keyboard, rows.keyboard)
    with pytest.raises(ValueError, match="count=56"):
        benchmark_rows(variant, 56, random.Random(1))


def test_a_mistyped_variant_is_corrected():
    with pytest.raises(ValueError, match="did you mean 'templerun'"):
        variant_named("temple_run")
