"""Series of files: numbers compared as numbers, nothing hidden, nothing twice, gaps told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldkv_jax.readers import find_series, in_order, numbers_of


def silent(_):
    raise AssertionError("nothing is to be told")


@given(st.permutations(range(121)))
def test_numbers_are_compared_as_numbers(numbers):
    """As text 10 comes before 2."""
    paths = [Path(f"frame_{number}.png") for number in numbers]
    assert in_order(paths, tell=silent) == [Path(f"frame_{number}.png") for number in range(121)]


def test_padded_names_and_several_numbers():
    for names in (["0001", "0002", "0010"], ["a1_2", "a1_10", "a2_1"], ["1305.10.png", "1305.25.png"], ["a", "b", "c"]):
        assert in_order(map(Path, reversed(names)), tell=lambda _: None) == [*map(Path, names)]


def test_hidden_files_are_passed_over_and_suffixes_taken_in_either_case(tmp_path):
    for name in ("._1.png", ".DS_Store", "1.png", "2.PNG", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "3.png").mkdir()
    assert [path.name for path in find_series(tmp_path, "*.png", "*.jpg", tell=silent)] == ["1.png", "2.PNG"]
    assert find_series(tmp_path / "nowhere", "*.png") == []


@pytest.mark.parametrize("names", [("1.png", "01.png"), ("1.png", "1.jpg"), ("a_7.png", "a_007.png")])
def test_two_files_with_one_number_are_refused(names):
    with pytest.raises(ValueError, match="have one number"):
        in_order(names)


def test_fractions_that_may_be_meant_either_way_are_refused():
    with pytest.raises(ValueError, match=r"not clear which comes first.*as many digits"):
        in_order(["12.5.png", "12.25.png"])


def test_gaps_are_told_once():
    said = []
    in_order([f"{number}.png" for number in (0, 1, 2, 5, 6, 9)], tell=said.append)
    assert len(said) == 1 and "jump from 2.png to 5.png; about 4 of 10 are missing" in said[0]
    in_order([f"{number}.png" for number in (0, 10, 20)], tell=silent)
    with pytest.warns(UserWarning, match="jump"):
        in_order(["0.png", "1.png", "3.png"])


def test_the_number_that_counts():
    assert numbers_of([Path("cam2_0007.png"), Path("cam2_0009.png")]) == [7, 9]
    for names in (["a.png", "b.png"], ["1_1.png", "2_2.png"], ["1.png"]):
        assert numbers_of([*map(Path, names)]) is None
