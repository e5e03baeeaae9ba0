"""The ``worldkv`` command line: chooses a command, runs it, and turns its errors into messages."""

import argparse
import atexit
import contextlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

from worldkv_jax.cli.commands import find_commands, load_command
from worldkv_jax.cli.errors import Terminated, signals_as_exceptions, user_message
from worldkv_jax.entry_points import read_help
from worldkv_jax.names import check_name

_PACKAGES = ("worldkv-jax", "jax", "jaxlib", "flax")
_USER_ERROR, _INTERRUPTED, _UNREAD, _TERMINATED = 2, 130, 141, 143  # the codes that argparse and shells use


def program() -> NoReturn:
    """Be the program ``worldkv``: run `main`, and end the process with its code.

    An interrupt may stop JAX in the middle of compiling, and what it leaves there kills Python while it clears its
    modules away (SIGSEGV, jax 0.10.2): whoever asks for the code would hear of a crash. By then everything is written
    and said, so the process ends there.
    """
    code = main()
    if code in (_INTERRUPTED, _TERMINATED):
        for number in (signal.SIGINT, signal.SIGTERM):  # whoever asks twice is served already
            signal.signal(number, signal.SIG_IGN)
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # nobody may be reading any more
                stream.flush()
        os._exit(code)
    sys.exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program's name; ``sys.argv`` by default.

    Returns:
        Exit code: 0 done; 2 for what users can cause (wrong arguments and files, missing packages, too little memory,
        a device that is not there), whose text is printed after ``error:`` (with its traceback under ``--debug``); 130
        interrupted, 143 terminated, 141 where nobody reads the output any more. Other exceptions are defects of the
        program and pass through.

    Raises:
        SystemExit: after ``--help`` and ``--version`` (code 0) and for options that do not exist (code 2).
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    # Taken out here, so that it may stand anywhere, also behind the sub-commands of a command.
    argv = [word for word in argv if word != "--debug"]
    for name in ("stdout", "stderr"):
        _prepare(name)
    try:
        with signals_as_exceptions():
            code = _run(argv)
            sys.stdout.flush()  # here, where a closed pipe is still an error of ours
            return code
    except BrokenPipeError:
        # What is still buffered would fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _UNREAD
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except Terminated:
        print("terminated", file=sys.stderr)
        return _TERMINATED
    except Exception as error:
        said = user_message(error)
        if said is None:
            raise
        if debug:
            traceback.print_exc()
        print(f"error: {said}", file=sys.stderr)
        return _USER_ERROR


def _prepare(name: str) -> None:
    """Let anything be printed: names of files may have what a terminal cannot show, and `2>&-` leaves no stream."""
    stream = getattr(sys, name)
    if stream is None:
        setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (for as long as the program runs)
    elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="backslashreplace")


def _run(argv: list[str]) -> int:
    modules = find_commands()
    # The program's own options take no values, so the first word that is no option is the command.
    chosen = next((word for word in argv if not word.startswith("-")), None)
    if chosen is not None:
        check_name("command", chosen, modules)
    parser = argparse.ArgumentParser(
        prog="worldkv", description="World memory for autoregressive video world models.", allow_abbrev=False
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the versions of the packages that matter")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    command = None
    for name, module in modules.items():
        text = read_help(module)
        # argparse formats the one and not the other.
        subparser = commands.add_parser(name, help=text.replace("%", "%%"), description=text, allow_abbrev=False)
        if name == chosen:
            command = load_command(name, module)
            command.add_arguments(subparser)
    args = parser.parse_args(argv)
    if command is None:
        parser.print_help(sys.stderr)
        return _USER_ERROR
    command.run(args)
    return 0


class _Version(argparse.Action):
    """Print versions from package metadata, which takes no import of jax."""

    def __call__(self, parser, *_):
        for package in _PACKAGES:
            try:
                version = metadata.version(package)
            except metadata.PackageNotFoundError:
                version = "not installed"
            print(f"{package} {version}")
        parser.exit()
