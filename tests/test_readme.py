"""The examples of the README and of the documents run as they stand."""

import re
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LONG = ("README", "environments", "index", "models", "play", "worlds")
"""Pages whose examples open models."""
EXAMPLES = [
    pytest.param(page.name, source, marks=pytest.mark.long if page.stem in LONG else (), id=f"{page.stem}-{number}")
    for page in PAGES
    for number, source in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL))
]


def test_there_are_examples():
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize(("page", "source"), EXAMPLES)
def test_example_runs(page, source, capsys):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # as users have it
        exec(compile(source, page, "exec"), {})
    assert capsys.readouterr().out
