"""The README's examples run as they stand."""

import re
from pathlib import Path

import jax
import pytest

README = Path(__file__).parent.parent / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("source", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_runs(source, capsys):
    with jax.numpy_dtype_promotion("standard"):
        exec(compile(source, "README.md", "exec"), {})
    assert capsys.readouterr().out
