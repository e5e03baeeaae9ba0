"""The examples run as they stand, and say something."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_there_are_examples():
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, tmp_path):
    """In a process of its own, as a user runs it: one sets how many devices there are."""
    settings = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    # The folder alone, not the shell's: the package has to be found without it.
    settings["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=settings, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") > 3
