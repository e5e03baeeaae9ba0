"""The examples run as they stand, and say something."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
OWN_PROCESS = ("mesh",)  # sets how many devices there are, before JAX knows
LONG = ("agent_explores", "released_model", "rule_of_your_own", "training_the_demo_world")  # open models
SHARED_PROCESS = [
    pytest.param(path, marks=pytest.mark.long if path.stem in LONG else (), id=path.stem)
    for path in EXAMPLES
    if path.stem not in OWN_PROCESS
]


def test_there_are_examples():
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("path", SHARED_PROCESS)
def test_example_runs(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # as users have it
        runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.count("\n") > 3


@pytest.mark.long
@pytest.mark.parametrize("name", OWN_PROCESS)
def test_example_runs_in_a_process_of_its_own(name, tmp_path):
    settings = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    # The folder alone, not the shell's: the package has to be found without it.
    settings["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=settings, timeout=900)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") > 3


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_a_notebook(path):
    """A title, and cells that begin with what they show."""
    cells = path.read_text().split("\n# %%")
    assert cells[0].startswith('"""') and len(cells) > 1
    assert all(cell.startswith(" ") and cell[1].isupper() for cell in cells[1:])
