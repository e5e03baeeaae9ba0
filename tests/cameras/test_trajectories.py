"""The trajectory language: what scripts mean, and where errors point."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldkv_jax.cameras import Move, parse, trajectory, validate_poses


def yaw(poses):
    return np.degrees(np.arctan2(poses[:, 0, 2], poses[:, 0, 0]))


def test_the_number_of_a_word_belongs_to_its_turns_first():
    assert parse("R_L90") == (Move("R", 90), Move("_"), Move("L", 90))
    assert parse("WLS30") == (Move("W"), Move("L", 30), Move("S"))
    assert parse("W_S2.5") == (Move("W", 2.5), Move("_"), Move("S", 2.5))
    assert parse("_12") == (Move("_", 12),)


def test_words_may_be_spelt_out_and_separated_freely():
    spelt = "right90, hold16 left90\n\tforward1.5,back.5 up10 down20"
    assert parse(spelt) == parse("R90_16L90W1.5S.5U10N20")
    assert [move.letter for move in parse(spelt)] == list("R_LWSUN")


@pytest.mark.parametrize(
    ("script", "place", "message"),
    [
        ("R_X90", 2, "unknown move 'X'"),
        ("R90 rigth20", 4, "unknown move 'rigth'; did you mean 'right'"),
        ("R90 l20", 4, "letters are upper case; unknown move 'l'"),
        ("90", 0, "a number must follow a move"),
        ("R90 .5", 6, None),
        ("R-90", 1, "unknown move '-'"),
        ("W _R_", 3, "turn 'R' has no angle"),
        ("R90 L0", 5, "amount 0 of 'L' is not a number above zero"),
        ("hold1.5", 4, "amount 1.5 of '_' is not a whole number of frames above zero"),
        ("R90\nX", 4, "unknown move 'X'"),
        ("R" + "9" * 400, 1, "amount inf"),
    ],
)
def test_errors_point_at_the_place(script, place, message):
    if message is None:
        place, message = 4, "a number must follow a move"
    with pytest.raises(ValueError, match="trajectory script") as caught:
        parse(script)
    told, line, caret = str(caught.value).split("\n")
    assert message in told and f"character {place + 1}" in told
    assert line == "  " + script.replace("\n", " ") and caret == "  " + " " * place + "^"


@pytest.mark.parametrize("script", ["", "  ,\n "])
def test_an_empty_script_is_refused(script):
    with pytest.raises(ValueError, match="is empty; give moves such as"):
        parse(script)


@given(st.text(alphabet="RLUNWSAD_hold90.5, \n-x", max_size=12))
def test_any_text_is_read_or_refused_with_a_value_error(text):
    try:
        moves = parse(text)
    except ValueError:
        return
    assert moves and all(isinstance(move, Move) for move in moves)


def test_moves_check_themselves():
    for letter, amount in (("X", 1), ("R", None), ("W", -1), ("_", 0.5)):
        with pytest.raises(ValueError):
            Move(letter, amount)


def test_a_turn_takes_two_degrees_a_frame_from_the_first_pose_on():
    poses = trajectory("R90 hold4 L30")
    assert poses.dtype == np.float32 and len(poses) == 45 + 4 + 15
    np.testing.assert_allclose(yaw(poses)[[0, 1, 44, 48, 49, -1]], [2, 4, 90, 90, 88, 60], atol=1e-4)


def test_a_turn_that_is_no_whole_number_of_steps_is_spread_evenly():
    poses = trajectory("R45")
    assert len(poses) == 23
    np.testing.assert_allclose(yaw(poses), 45 * np.arange(1, 24) / 23, atol=1e-4)
    assert len(trajectory("R0.3", degrees_per_frame=0.1)) == 3


def test_walks_follow_the_heading_and_keep_their_speed():
    poses = trajectory("R90 W D2", distance=1.0)
    assert len(poses) == 45 + 24 + 48
    np.testing.assert_allclose(poses[45 + 23, :3, 3], [1, 0, 0], atol=1e-6)  # east after turning right
    np.testing.assert_allclose(poses[-1, :3, 3], [1, 0, -2], atol=1e-6)  # then to the right of east
    steps = np.linalg.norm(np.diff(poses[44:, :3, 3], axis=0), axis=-1)
    np.testing.assert_allclose(steps, 1 / 24, atol=1e-6)
    assert len(trajectory("W", distance=5.0)) == 24


def test_walking_stays_on_the_ground_when_looking_up():
    poses = trajectory("U30 W")
    np.testing.assert_allclose(poses[-1, :3, 2], [0, -0.5, np.sqrt(0.75)], atol=1e-6)
    np.testing.assert_allclose(poses[-1, :3, 3], [0, 0, 1], atol=1e-6)


@given(st.lists(st.sampled_from(["R30", "L44", "U10", "N10", "W", "S0.5", "A", "D2", "hold3"]), min_size=1, max_size=8))
def test_every_path_is_rigid_and_retraced_by_the_opposite_script(words):
    poses = trajectory(" ".join(words))
    validate_poses(poses)
    opposite = str.maketrans("RLUNWSAD", "LRNUSWDA")
    there_and_back = trajectory(" ".join(words + [word.translate(opposite) for word in reversed(words)]))
    np.testing.assert_allclose(there_and_back[: len(poses)], poses, atol=1e-6)
    np.testing.assert_allclose(there_and_back[-1], np.eye(4), atol=1e-5)


def test_the_last_pose_is_held_and_nothing_is_cut():
    poses = trajectory("R10 W", 40)
    assert len(poses) == 40
    np.testing.assert_array_equal(poses[29:], np.broadcast_to(poses[28], (11, 4, 4)))
    with pytest.raises(ValueError, match=r"takes 29 frames, but frames=28; give frames=29 or more.*\[:frames\]"):
        trajectory("R10 W", 28)


def test_holds_without_a_number_take_theirs_in_order():
    assert len(trajectory("_ _5 _", hold_frames=2)) == 9
    assert len(trajectory("_ _5 _", hold_frames=[1, 3])) == 9
    for wrong in ([1], [1, 2, 3], 0, [1, 0], 1.5):
        with pytest.raises(ValueError, match="or 2 of them"):
            trajectory("_ _5 _", hold_frames=wrong)


@pytest.mark.parametrize(
    ("script", "settings", "message"),
    [
        ("U60 R10 U60", {}, "the pitch passes 90 degrees at frame 50"),
        ("hold999999999", {}, "longer than 1000000"),
        ("W1" + "0" * 300, {}, "longer than 1000000"),
        ("W", {"frames": 10**9}, "longer than 1000000"),
        ("W", {"degrees_per_frame": 0}, "speeds must be positive"),
        ("W", {"distance": float("nan")}, "speeds must be positive"),
        ("W2", {"distance": 0}, "has no speed with distance=0"),
    ],
)
def test_paths_that_make_no_sense_are_refused(script, settings, message):
    with pytest.raises(ValueError, match=message):
        trajectory(script, **settings)
