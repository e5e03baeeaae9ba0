"""What clients send: right messages are read, wrong ones refused with words, and nothing else ever happens."""

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldkv_jax.play.protocol import Event, Init, Refused, read


def send(**message):
    return read(msgpack.packb(message))


def event(kind, payload=None, number=1):
    (one,) = send(type="event", kind=kind, payload=payload, event_id=number)
    return one


def test_an_init_needs_nothing_but_its_type():
    init = send(type="init")
    assert (init.seed, init.form, init.max_chunks, init.extension) == (42, "webp", None, None)


def test_an_init_of_sglang_is_read_and_what_is_not_known_is_ignored():
    init = send(
        type="init",
        prompt="a street",
        size="832x480",
        fps=16,
        seed=7,
        max_chunks=20,
        num_inference_steps=4,
        realtime_output_format="jpeg",
        output_compression=80,
        realtime_output_pacing=False,
        realtime_causal_sink_size=3,
        condition_inputs={"camera_actions": [["w"], ["w", "l"]]},
        something_of_tomorrow={"a": 1},
    )
    assert (init.seed, init.max_chunks, init.form, init.quality) == (7, 20, "jpeg", 80)
    assert not init.paced and init.actions == (("w",), ("w", "l"))


def test_extensions_are_read():
    init = send(type="init", worldkv={"memories": ["default", "window"], "watch": True, "session": "abc"})
    assert init.extension.memories == ("default", "window")
    assert init.extension.watch and init.extension.session == "abc" and init.extension.idle == "pause"


def test_events_are_read():
    assert event("camera_actions", [["w"], []]).payload == (("w",), ())
    state = event("camera_actions", {"mode": "state", "transitions": [{"actions": ["w"], "client_ts_ms": 5}]})
    assert state.payload[0].keys == {"w"} and state.payload[0].milliseconds == 5
    assert event("fork").payload is None
    assert event("fork", {"at": 3}).payload == 3
    assert event("look", {"dx": 3, "dy": -1.5}).payload == (3.0, -1.5)
    assert event("reset", {"seed": 2**64 - 1}).payload == 2**64 - 1
    both = send(
        type="event",
        kind="composite_input",
        event_id=4,
        payload={"input_types": ["prompt", "heartbeat"], "prompt": "rain", "heartbeat": None},
    )
    assert [(one.kind, one.number) for one in both] == [("prompt", 4), ("heartbeat", 4)]


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": "greeting"},
        {"type": "init", "seed": "one"},
        {"type": "init", "seed": 2**64 - 1 - 2**64},
        {"type": "init", "max_chunks": 0},
        {"type": "init", "realtime_output_format": "gif"},
        {"type": "init", "first_frame": "/etc/passwd"},
        {"type": "init", "first_frame": 3},
        {"type": "init", "fps": float("nan")},
        {"type": "init", "worldkv": {"memories": ["a", "b", "c"]}},
        {"type": "init", "worldkv": {"memories": []}},
        {"type": "init", "worldkv": []},
        {"type": "init", "condition_inputs": {"camera_actions": "wwww"}},
        {"type": "event", "kind": "explode", "event_id": 1},
        {"type": "event", "kind": "prompt", "payload": "  ", "event_id": 1},
        {"type": "event", "kind": "rewind", "payload": {}, "event_id": 1},
        {"type": "event", "kind": "rewind", "payload": {"chunk": -1}, "event_id": 1},
        {"type": "event", "kind": "rewind", "payload": {"chunk": True}, "event_id": 1},
        {"type": "event", "kind": "camera_actions", "payload": [["w"] * 99], "event_id": 1},
        {"type": "event", "kind": "camera_actions", "payload": {"mode": "state"}, "event_id": 1},
        {"type": "event", "kind": "look", "payload": {"dx": 1e9}, "event_id": 1},
        {"type": "event", "kind": "heartbeat", "event_id": "x"},
        {"type": "event", "kind": "save", "payload": {"name": "a\nb"}, "event_id": 1},
        {"type": "event", "kind": "composite_input", "payload": {"input_types": [[]]}, "event_id": 1},
    ],
    ids=str,
)
def test_wrong_messages_are_refused_with_words(message):
    with pytest.raises(Refused, match=r"\w+ \w+"):
        send(**message)


def test_a_text_is_the_picture_itself_and_never_a_place():
    assert send(type="init", first_frame="data:image/png;base64,aGk=").first_frame == b"hi"
    for place in ("http://example.org/a.png", "../a.png", "file:///etc/passwd"):
        with pytest.raises(Refused, match="not its place"):
            send(type="init", first_frame=place)


def test_bytes_that_are_no_map_are_refused():
    deep = b"\x91" * 5000 + b"\xc0"
    for data in (b"", b"\xc1", b"hello", msgpack.packb([1, 2]), msgpack.packb(None), deep, b"\xdf\xff\xff\xff\xff"):
        with pytest.raises(Refused):
            read(data)


_LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
_TREES = st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)
_FIELDS = ["type", "kind", "payload", "event_id", "seed", "worldkv", "memories", "first_frame", "condition_inputs"]
_INNER = ["camera_actions", "mode", "transitions", "actions", "input_types", "at", "chunk", "fps", "replay"]
_NAMES = st.sampled_from([*_FIELDS, *_INNER])
_KINDS = st.sampled_from(["init", "event", "camera_actions", "fork", "look", "composite_input", "state", "record"])


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    _only_reads_or_refuses(data)


@settings(max_examples=300)
@given(st.dictionaries(_NAMES, _TREES | _KINDS | st.dictionaries(_NAMES, _TREES | _KINDS), max_size=8), _KINDS, _KINDS)
def test_any_map_is_read_or_refused(message, kind, inner):
    _only_reads_or_refuses(msgpack.packb(message | {"type": kind}))
    _only_reads_or_refuses(msgpack.packb(message | {"type": "event", "kind": inner, "event_id": 1}))


def _only_reads_or_refuses(data):
    try:
        made = read(data)
    except Refused as error:
        assert str(error)
    else:
        assert isinstance(made, Init) or all(isinstance(one, Event) for one in made)
