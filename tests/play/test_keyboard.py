"""Keys that are held, tapped and scripted become the controls of a chunk."""

import pytest

from worldkv_jax.play.inbox import MOST_WAITING, Inbox
from worldkv_jax.play.keyboard import Keyboard, Transition
from worldkv_jax.play.protocol import Event, Refused
from worldkv_jax.sessions.camera_walk import ARROWS, CameraWalk
from worldkv_jax.sessions.steering import Controls


def at(milliseconds, *keys):
    return Transition(frozenset(keys), milliseconds)


@pytest.fixture
def keyboard():
    return Keyboard(CameraWalk().keys, ARROWS, 30.0)


def test_a_held_key_is_held_until_the_next_transition(keyboard):
    keyboard.hold([at(0, "w")])
    assert keyboard.sample(3).frames == (("w",),) * 3
    assert keyboard.sample(2).frames == (("w",),) * 2
    keyboard.hold([at(90, "w", "l")])
    assert keyboard.sample(1).frames == (("l", "w"),)
    keyboard.hold([at(120)])
    assert keyboard.idle and keyboard.sample(3).idle


def test_a_short_press_lasts_a_frame_at_least_and_a_longer_one_as_long_as_it_was(keyboard):
    keyboard.hold([at(0, "l"), at(2)])
    assert not keyboard.idle
    assert keyboard.sample(3).frames == (("l",), (), ())
    keyboard.hold([at(0, "l"), at(67)])
    assert keyboard.sample(3).frames == (("l",), ("l",), ())
    assert keyboard.idle


def test_a_key_that_was_seen_already_does_not_linger(keyboard):
    keyboard.hold([at(0, "l")])
    keyboard.sample(3)
    keyboard.hold([at(500)])
    assert keyboard.sample(3).idle


def test_a_script_is_played_once_and_replaces_what_is_held(keyboard):
    keyboard.hold([at(0, "w")])
    keyboard.follow([["l"], ["l", "w"], []])
    assert keyboard.sample(2).frames == (("l",), ("l", "w"))
    assert keyboard.sample(2).frames == ((), ())
    keyboard.follow([["l"]] * 5)
    keyboard.hold([at(0, "s")])
    assert keyboard.sample(1).frames == (("s",),)


def test_the_mouse_adds_up_and_arrows_have_names(keyboard):
    keyboard.turn(3.0, 1.0)
    keyboard.turn(-1.0, 1.0)
    assert keyboard.sample(3) == Controls(((),) * 3, (2.0, 2.0))
    keyboard.turn(1e6, 0.0)
    assert keyboard.sample(1).look == (180.0, 0.0)
    assert keyboard.named(["up", "left"]) == {"w", "j"}


def test_unknown_keys_and_endless_scripts_are_refused(keyboard):
    with pytest.raises(ValueError, match="unknown key 'x'"):
        keyboard.named(["x"])
    with pytest.raises(ValueError, match="too long"):
        keyboard.follow([[]] * 30_000)
    assert keyboard.idle


def test_controls_survive_json():
    controls = Controls((("w",), ("w",), ("l", "w"), ()), (1.5, -2.0))
    assert Controls.from_json(controls.to_json()) == controls
    for wrong in (None, 3, [[["w"], -1]], [[[["w"], 0]]], [[[["w"], 1]], [1e9, 0]], [[[["w"], 10**9]]], ["ab", "c"]):
        with pytest.raises(ValueError):
            Controls.from_json(wrong)


def test_what_a_client_that_is_gone_sent_is_not_done_later():
    inbox = Inbox(_Steering())
    inbox.take(Event(kind="camera_actions", payload=(("w",),), number=1))
    inbox.take(Event(kind="reset", payload=None, number=2))
    assert inbox and not inbox.idle
    inbox.forget()
    assert not inbox and inbox.idle and inbox.sample(3)[1] == []


def test_keys_are_taken_late_and_say_which_events_they_are_of():
    inbox = Inbox(_Steering())
    inbox.watch()
    assert inbox.watching and not inbox.idle
    inbox.take(Event(kind="camera_actions", payload=(("w",), ()), number=7))
    controls, applied = inbox.sample(3)
    assert controls.frames == (("w",), (), ()) and [number for number, _ in applied] == [7]
    assert inbox.latest == 7 and not inbox.watching
    with pytest.raises(Refused, match="unknown key"):
        inbox.take(Event(kind="camera_actions", payload=(("?",),), number=8))
    for number in range(MOST_WAITING):
        inbox.take(Event(kind="fork", payload=None, number=number))
    with pytest.raises(Refused, match="send fewer"):
        inbox.take(Event(kind="fork", payload=None, number=99))


class _Steering:
    keys, aliases, fps, tour = CameraWalk().keys, ARROWS, 30.0, (("l", 3),)
