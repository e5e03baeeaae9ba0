"""A server of one's own, for as long as a program runs."""

import contextlib
import subprocess
import sys
from collections.abc import Generator


@contextlib.contextmanager
def local_server(*arguments: str) -> Generator[str]:
    """Start ``worldkv play`` with these arguments in a process of its own, on a free port; offer its address.

    Raises:
        ValueError: it does not start; with what it said.
    """
    program = "import sys; from worldkv_jax.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "play", *arguments, "--port", "0", "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert server.stdout is not None, "a pipe was asked for"
    try:
        address = server.stdout.readline().strip()
        if not address:
            raise ValueError(f"the server ended with status {server.wait()} before it was ready")
        yield address
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()
