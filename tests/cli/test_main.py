"""The command line: exit codes, messages, and that looking costs nothing."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worldkv_jax.cli.commands import find_commands
from worldkv_jax.cli.main import main
from worldkv_jax.entry_points import read_help

pytestmark = pytest.mark.usefixtures("plugin")


def test_a_command_runs(capsys):
    assert main(["shout", "ha", "--times", "3"]) == 0
    assert capsys.readouterr().out == "hahaha\n"


@pytest.mark.parametrize(("word", "encoding"), [("\N{SNOWMAN}", "ascii"), ("\udcff", "utf-8")])
def test_what_a_terminal_cannot_show_is_written_in_its_letters(monkeypatch, word, encoding):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    assert main(["shout", word]) == 0
    assert written.getvalue() == word.encode("ascii", "backslashreplace") + b"\n"


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_command_runs_where_nothing_can_be_printed(monkeypatch, closed):
    monkeypatch.setattr(sys, closed, None)  # as `>&-` leaves it
    assert main(["shout", "ha"]) == 0
    assert getattr(sys, closed).writable()  # bars and libraries write as well


@pytest.mark.parametrize(
    ("word", "code", "message"),
    [
        ("value", 2, "error: the value is wrong; give another\n"),
        ("missing", 2, "error: /nowhere/file: no such file or directory\n"),
        ("folder", 2, "error: cannot write results; choose another folder\n"),
        ("empty", 2, "error: ValueError\n"),
        ("interrupt", 130, "interrupted\n"),
    ],
)
def test_errors_of_the_user_are_one_line(capsys, word, code, message):
    assert main(["shout", word]) == code
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("argv", [["--debug", "shout", "value"], ["shout", "value", "--debug"]])
def test_debug_shows_the_traceback(capsys, argv):
    assert main(argv) == 2
    text = capsys.readouterr().err
    assert "Traceback" in text and text.endswith("error: the value is wrong; give another\n")


def test_defects_are_not_hidden():
    with pytest.raises(RuntimeError, match="a defect"):
        main(["shout", "defect"])


def test_an_unknown_command_names_the_nearest(capsys):
    assert main(["shoout"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown command 'shoout'; did you mean 'shout'? valid: ")


def test_broken_commands_say_what_is_missing(capsys):
    assert main(["heavy", "a"]) == 2
    assert "'heavy' cannot be loaded" in (text := capsys.readouterr().err) and "a_library_that_is_not_there" in text
    assert main(["lost"]) == 2
    assert "No module named 'other_project.lost'" in capsys.readouterr().err
    assert main(["wrong"]) == 2
    assert "has no add_arguments and no run" in capsys.readouterr().err


def test_help_lists_all_commands_without_importing_them(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    assert text.count("say a word, at 100 % volume") == 2  # also of the one that cannot be imported
    assert "is missing its parts" in text and "lost" in text
    assert "other_project" not in sys.modules


def test_help_of_a_command_has_its_options(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["shout", "--help"])
    text = capsys.readouterr().out
    assert "--times" in text and "100 % volume" in text


def test_wrong_options_and_no_command_exit_with_2(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["shout", "a", "--tiems", "3"])
    assert "--tiems" in capsys.readouterr().err
    assert main([]) == 2
    assert "say a word" in capsys.readouterr().err


def test_version_names_the_packages(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["worldkv-jax", "jax", "jaxlib", "flax"]
    assert "not installed" not in lines[1]


def test_help_and_version_do_not_import_jax(plugin_folder):
    code = (
        "import sys\nfrom worldkv_jax.cli.main import main\n"
        "for option in ('--help', '--version'):\n"
        "    try: main([option])\n"
        "    except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'jax', 'numpy', 'matplotlib', 'other_project'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(plugin_folder)])
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=True, timeout=300)


def test_help_lines_are_read_from_source():
    assert find_commands()["shout"] == "other_project.shout"
    assert read_help("other_project.shout") == "say a word, at 100 % volume"
    assert read_help("other_project.wrong") == "is missing its parts"
    for module in ("other_project", "other_project.lost", "no_such_package", "no_such_package.deeper", "sys"):
        assert read_help(module) == ""
