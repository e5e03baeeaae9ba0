"""Session files: small, and the same world again."""

import dataclasses
import json

import numpy as np
import pytest

from tests.sessions.tiny import assert_same, roll
from worldkv_jax import open_model
from worldkv_jax.cli.main import main
from worldkv_jax.sessions import Answers
from worldkv_jax.sessions.array_store import describe_array
from worldkv_jax.sessions.identity import fingerprint, made_with
from worldkv_jax.sessions.session_file import SessionFile, options_given, read_session, write_session

ROLLOUT = [
    "rollout",
    "demo-world",
    "--trajectory",
    "R60_L60",
    "--no-decode",
    "--latents",
    "--tier",
    "host",
    "--seed",
    "7",
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A session file of four chunks."""
    folder = tmp_path_factory.mktemp("shared")
    out = ["--session", str(folder / "session.json"), "--until", "4", "--out", str(folder / "out")]
    assert main([*ROLLOUT, *out]) == 0
    return folder / "session.json"


def test_the_same_world_is_made_again(shared, tmp_path, capsys):
    assert main(["replay", str(shared), "--out", str(tmp_path)]) == 0
    assert "4 chunks: the same world, bit for bit" in capsys.readouterr().out
    assert (tmp_path / "video.mp4").is_file() and shared.stat().st_size < 2000
    file = json.loads(shared.read_text())
    assert file["options"] == {"trajectory": "R60_L60"} and file["memory"] == {"tier": "host"} and file["seed"] == 7


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 8}, "the world is another one from chunk 0 on"),
        ({"made_with": {"jax": "0.1"}, "seed": 8}, "made with jax 0.1, here"),
        ({"weights": "others"}, "made with weights others"),
        ({"version": 2}, "format 2, and this program reads up to 1"),
        ({"format": "another"}, "is a 'another'"),
        ({"model": "demo-wrld"}, "did you mean 'demo-world'"),
        ({"options": {"speed": 1}}, "has no option 'speed'"),
        ({"memory": {"speed": 1}}, "the memory has no option 'speed'"),
        ({"surprise": 1}, "is damaged"),
    ],
)
def test_what_cannot_be_replayed_is_said(change, says, shared, tmp_path, capsys):
    file = tmp_path / "session.json"
    file.write_text(json.dumps(json.loads(shared.read_text()) | change))
    assert main(["replay", str(file), "--no-decode", "--out", str(tmp_path / "out")]) == 2
    assert says in capsys.readouterr().err


def test_a_session_file_is_written_over_when_that_is_asked_alone(tmp_path, capsys):
    path = tmp_path / "s.json"
    path.write_text("of another world")
    out = ["--session", str(path), "--out", str(tmp_path / "out")]
    assert main([*ROLLOUT, *out]) == 2
    assert "s.json is there already; name another file, or write over it with --force" in capsys.readouterr().err
    assert path.read_text() == "of another world" and not (tmp_path / "out").exists()


def test_a_file_that_is_none_and_a_path_that_goes_on(tmp_path, capsys):
    (tmp_path / "text.json").write_text("[]")
    assert main(["replay", str(tmp_path / "text.json")]) == 2
    assert "is no session file" in capsys.readouterr().err
    (tmp_path / "text.json").write_text('{"format": "worldkv-jax session"}')
    assert main(["replay", str(tmp_path / "text.json")]) == 2
    assert "is no session file (it has no 'version')" in capsys.readouterr().err
    (tmp_path / "text.json").write_text('{"format": "worldkv-jax played session", "version": 1}')
    assert main(["replay", str(tmp_path / "text.json")]) == 2
    assert "saved by the page of `worldkv play`; open it there" in capsys.readouterr().err
    assert main([*ROLLOUT, "--session", "s.json", "--from-world", "w", "--out", str(tmp_path)]) == 2
    assert "--from-world goes on with one" in capsys.readouterr().err


def test_what_a_person_answered_is_replayed(tmp_path):
    options = open_model("demo-world", trajectory="R60_L60")
    session = options.check().load()
    path = np.asarray(session.inputs()[0].cameras[0])
    answers = Answers(lambda chunk: path.tolist() if chunk < 3 else None)
    made, _ = roll(session, session.start(), session.inputs(answers), seed=1)
    file = SessionFile(
        model="demo-world",
        options=options_given(options),
        memory={},
        seed=1,
        made_with=made_with(),
        weights=fingerprint(session.params),
        latents=tuple(describe_array(chunk.latents).sha256 for chunk in made),
        answers=tuple(answers.given),
    )
    again = read_session(write_session(tmp_path / "session.json", file))
    assert again == file and [answer["seconds"] >= 0 for answer in again.answers] == [True] * 3
    session = again.asked().check().load()
    replayed, _ = roll(session, session.start(), session.inputs(again.source()), seed=again.seed)
    assert_same(replayed, made)
    sums = [describe_array(chunk.latents).sha256 for chunk in replayed]
    assert again.first_difference(sums) is None and again.first_difference(sums[:2]) == 2


def test_options_within_options_come_back():
    options = open_model("lingbot-world-fast", tiny=True, frames=33)
    file = SessionFile(
        model="lingbot-world-fast",
        options=json.loads(json.dumps(options_given(options))),
        memory={},
        seed=0,
        made_with={},
        weights="",
        latents=(),
    )
    assert file.asked() == options
    assert dataclasses.replace(file, options={"size": [32, 48], "tiny": True}).asked().size == (32, 48)
