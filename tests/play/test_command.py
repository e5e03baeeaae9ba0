"""The command `worldkv play`: its flags, what it says before it starts, and where it listens."""

import argparse
import importlib.util
import socket

import pytest

from worldkv_jax.cli import play
from worldkv_jax.cli.flags import from_flags
from worldkv_jax.cli.main import main
from worldkv_jax.play.admission import Limits
from worldkv_jax.play.guard import Guard
from worldkv_jax.play.program import Program


def parsed(*words):
    parser = argparse.ArgumentParser()
    play.add_arguments(parser)
    return parser.parse_args(words)


def test_tiny_stands_before_and_behind_the_model():
    for words in (("--tiny", "matrix-game-2"), ("matrix-game-2", "--tiny")):
        args = parsed(*words)
        assert from_flags(args.options_class, args).tiny
    args = parsed("matrix-game-2", "--variant", "gta_drive", "--longest", "90", "--memory", "sliding")
    options = from_flags(args.options_class, args)
    assert options.variant == "gta_drive" and not options.tiny and args.longest == 90
    assert options.played(90).chunks == 90 and options.played(90).actions == "-"


def test_without_the_extra_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["play", "demo-world"]) == 2
    assert 'pip install "worldkv-jax[play]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sessions", "0"], "give a positive number"),
        (["--worlds-gb", "nan"], "give a positive number"),
        (["--token-file", "nothing-there"], "no such file"),
        (["--port", "0", "--state", "a-file"], "a-file is a file; remove it or choose another folder"),
        (["--host", "203.0.113.7"], "cannot listen"),
        (["--port", "99999"], "cannot listen on 127.0.0.1 port 99999"),
        (["--port", "0", "--longest", "0"], "--longest 0: give the chunks that a world may have"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_loaded(words, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    assert main(["play", "demo-world", "--no-browser", "--no-compile-cache", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["play", "demo-world", "--port", port, "--no-browser", "--no-compile-cache"]) == 2
    assert "--port 0 takes a free port" in capsys.readouterr().err


def test_the_address_has_the_token():
    token = "x" * 20
    for host, start in (("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", f"http://{socket.gethostname()}:")):
        guard = Guard(host, token=token)
        program = Program.listen(host, 0, guard=guard, limits=Limits(), state=None, browser=False)
        with program.listening:
            assert program.address.startswith(start) and program.address.endswith(f"/?token={token}")


def test_a_token_from_any_editor_is_the_same(tmp_path, monkeypatch):
    """Notepad puts a byte order mark before it."""
    (tmp_path / "token.txt").write_text("a token that nobody guesses\n", encoding="utf-8-sig")
    made = []
    monkeypatch.setattr(play, "open_game", lambda args: None)
    monkeypatch.setattr(Program, "run", lambda program, game: made.append(program.guard.token))
    words = ["--port", "0", "--no-browser", "--no-compile-cache", "--no-state"]
    assert main(["play", "demo-world", "--token-file", str(tmp_path / "token.txt"), *words]) == 0
    assert made == ["a token that nobody guesses"]
