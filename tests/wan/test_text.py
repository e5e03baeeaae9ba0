"""Prompts to tokens: cleaning, where a tokenizer is found, prompts that are too long, what errors say."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from ports.wan.encoders.text import Tokenizer, clean

TOKENIZER = Path(__file__).parents[1] / "goldens" / "wan_parts" / "tiny_tokenizer" / "tokenizer.json"


@pytest.fixture
def tokenizer():
    pytest.importorskip("tokenizers")
    pytest.importorskip("ftfy")
    return Tokenizer.load(TOKENIZER, length=8)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  a \t castle\r\n in\u00a0snow\u3000", "a castle in snow"),
        ("donâ€™t &amp;amp; &amp;lt;stop&amp;gt;", "don't & <stop>"),
        ("", ""),
    ],
)
def test_cleaning(text, cleaned):
    pytest.importorskip("ftfy")
    assert clean(text) == cleaned
    assert clean(clean(text)) == cleaned


def test_prompts_are_padded_and_cut_with_their_end_kept(tokenizer):
    tokens = tokenizer(["castle", "", "castle " * 9])
    assert tokens.ids.dtype == tokens.mask.dtype == np.int32
    np.testing.assert_array_equal(tokens.ids[0], [267, 1, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(tokens.ids[1], [1, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(tokens.ids[2], [267] * 7 + [1])
    np.testing.assert_array_equal(tokens.mask.sum(axis=1), [2, 1, 8])
    np.testing.assert_array_equal(tokens.cut, [False, False, True])
    assert not tokenizer("castle " * 7).cut.any()  # just fits


def test_unknown_characters_are_unknown(tokenizer):
    assert 3 in tokenizer("Ω").ids and 2 not in tokenizer("Ω").ids


@pytest.mark.parametrize("place", ["tokenizer.json", "google/umt5-xxl/tokenizer.json", "tokenizer/tokenizer.json"])
def test_a_tokenizer_is_found_in_a_model_folder(tmp_path, tokenizer, place):
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(TOKENIZER, tmp_path / place)
    found = Tokenizer.load(tmp_path)("castle")
    assert found.ids.shape == (1, 512)
    np.testing.assert_array_equal(found.ids[0, :8], tokenizer("castle").ids[0])


def test_what_is_no_tokenizer(tmp_path):
    pytest.importorskip("tokenizers")
    with pytest.raises(FileNotFoundError, match=r"google/umt5-xxl/tokenizer\.json"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer\.json that can be read"):
        Tokenizer.load(tmp_path)
    with pytest.raises(ValueError, match="length=0"):
        Tokenizer.load(TOKENIZER, length=0)


def test_a_tokenizer_of_another_model(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, "a")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="no <pad> and </s>"):
        Tokenizer.load(tmp_path)


def test_missing_libraries_are_named(monkeypatch):
    for name in ("ftfy", "tokenizers"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=r'ftfy: pip install "worldkv-jax\[text\]"'):
        clean("a castle")
    with pytest.raises(ModuleNotFoundError, match="tokenizers: pip install"):
        Tokenizer.load(TOKENIZER)
