"""Code of a clone, run unchanged: imported without its packages, attending in its own way, one chunk at a time."""

import sys

import pytest

from worldkv_jax.benchmarks.pairs import NotComparable

upstream = pytest.importorskip("ports.peers.upstream", exc_type=ImportError)
pytestmark = pytest.mark.torch

ATTENTION = """
FLASH_ATTN_2_AVAILABLE = FLASH_ATTN_3_AVAILABLE = True

def flash_attention(q):
    raise AssertionError("needs a GPU")

def attention(q, dtype="bfloat16"):
    assert not FLASH_ATTN_2_AVAILABLE
    return f"{q} in {dtype}"
"""
MODEL = """
import torch
import no_such_library.parts as parts
from .attention import flash_attention
from . import encoder

device = torch.cuda.current_device()

def forward():
    return flash_attention("queries")
"""


@pytest.fixture
def clone(tmp_path):
    """A clone whose package, and one of whose modules, cannot be imported."""
    modules = tmp_path / "wan/modules"
    modules.mkdir(parents=True)
    for place in (tmp_path / "wan/__init__.py", modules / "__init__.py", modules / "encoder.py"):
        place.write_text("raise AssertionError('needs a GPU')")
    (modules / "attention.py").write_text(ATTENTION)
    (modules / "model.py").write_text(MODEL)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "wan"]:
        del sys.modules[name]


def test_a_module_is_imported_without_what_it_does_not_need(clone):
    unused = ("wan.modules.encoder", "no_such_library", "no_such_library.parts")
    (model,) = upstream.import_clone(clone, ("wan", "wan.modules"), ("wan.modules.model",), unused=unused)
    assert model.forward() == "queries in torch.float32" and str(model.device) == "cpu"
    assert "no_such_library" not in sys.modules
    with pytest.raises(NotComparable, match="cannot be imported: No module named 'no_such_library'"):
        upstream.import_clone(clone, ("wan", "wan.modules"), ("wan.modules.model",), unused=unused[:1])


def test_a_loop_waits_until_it_is_asked():
    made = []

    def run():
        for chunk in turns.loop(range(5)):
            if chunk == 2:
                raise ValueError("there is no chunk 2")
            made.append(chunk)

    turns = upstream.Turns(run)
    for chunk in range(2):
        assert made == list(range(chunk))
        turns.take()
    with pytest.raises(ValueError, match="there is no chunk 2"):
        turns.take()
