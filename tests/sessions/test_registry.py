"""Models of other packages join by name, and are imported only when they are chosen."""

import sys

import pytest

from worldkv_jax import open_model
from worldkv_jax.cli.main import main
from worldkv_jax.sessions import model_names

MODEL = '''
"""Somebody else's model."""

from worldkv_jax.sessions import ModelOptions, open_model, option, options_class

HELP = "a world of somebody else"

@options_class
class TheirOptions(ModelOptions):
    """Open their world."""

    turns: str = option("R60", "where to look", metavar="SCRIPT")

    def check(self, memory=None, *, weights=True, decode=True):
        if not self.turns:
            raise ValueError("`turns` is empty; give camera moves")
        return open_model("demo-world", trajectory=self.turns).check(memory, weights=weights, decode=decode)

class Nothing:
    """No options."""
'''


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A package with models, as pip would install it."""
    (tmp_path / "their_world.py").write_text(MODEL)
    metadata = tmp_path / "their_world-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-world\nVersion: 1.0\n")
    entries = ["their-world = their_world:TheirOptions", "no-options = their_world:Nothing", "gone = nowhere:Options"]
    (metadata / "entry_points.txt").write_text("[worldkv_jax.models]\n" + "\n".join(entries) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("their_world", None)


def test_a_model_of_another_package_is_opened_by_name(plugin, tmp_path, capsys):
    assert {"their-world", "demo-world"} <= set(model_names())
    assert "their_world" not in sys.modules
    assert open_model("their-world", turns="R90").check().chunks == 3
    assert main(["plan", "their-world", "--turns", "R40", "--memory", "sliding"]) == 0
    assert "sliding memory" in capsys.readouterr().out
    assert main(["plan", "their-world", "--turns", ""]) == 2
    assert "--turns is empty; give camera moves" in capsys.readouterr().err


def test_help_names_it_without_importing_it(plugin, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["rollout", "--help"])
    assert "a world of somebody else" in capsys.readouterr().out
    assert "their_world" not in sys.modules


@pytest.mark.parametrize("method", ["load", "start", "stream"])
def test_options_that_are_taken_for_a_session_say_what_is_missing(method):
    with pytest.raises(AttributeError, match=rf"have no {method}: check\(\) makes a session .* open_model"):
        getattr(open_model("demo-world"), method)


def test_what_neither_options_nor_sessions_have_is_missing_as_anywhere():
    with pytest.raises(AttributeError, match="'DemoOptions' object has no attribute 'chekc'"):
        _ = open_model("demo-world").chekc


@pytest.mark.parametrize(("name", "says"), [("no-options", "is no options dataclass"), ("gone", "cannot be loaded")])
def test_broken_models_are_named(plugin, name, says):
    with pytest.raises(ValueError, match=says):
        open_model(name)
