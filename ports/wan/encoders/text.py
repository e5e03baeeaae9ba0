"""Prompts as tokens: the cleaning and the tokenizer of the Wan family's UMT5."""

import html
import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

LENGTH = 512
"""Tokens of a prompt, padding and the end of the text included (Wan 2.1)."""

_PLACES = ("tokenizer.json", "google/umt5-xxl/tokenizer.json", "tokenizer/tokenizer.json")


class Tokens(NamedTuple):
    """Prompts as token ids."""

    ids: np.ndarray
    """int32 ``[B, n]``, padded past the end of the text."""
    mask: np.ndarray
    """int32 ``[B, n]``, 1 for tokens including the end of the text, 0 for padding."""
    cut: np.ndarray
    """bool ``[B]``, whether the prompt was too long and lost its end."""


def clean(prompt: str) -> str:
    """Repair broken Unicode, resolve HTML entities and make every run of white space one space.

    Raises:
        ModuleNotFoundError: ftfy is not installed.
    """
    text = _library("ftfy").fix_text(prompt)
    text = html.unescape(html.unescape(text))  # captions scraped from the web are escaped twice
    return re.sub(r"\s+", " ", text).strip()


class Tokenizer:
    """The UMT5 tokenizer, read from a ``tokenizer.json``."""

    def __init__(self, model: Any, *, length: int = LENGTH):
        """Take a ``tokenizers.Tokenizer`` and the number of tokens that every prompt is padded or cut to."""
        pad, end = model.token_to_id("<pad>"), model.token_to_id("</s>")
        if pad is None or end is None:
            raise ValueError("this tokenizer has no <pad> and </s>; expected the tokenizer.json of google/umt5-xxl")
        if length < 1:
            raise ValueError(f"length={length} leaves no room for the end of the text; give at least 1")
        model.enable_truncation(length)
        model.enable_padding(length=length, pad_id=pad, pad_token="<pad>")
        self._model = model

    @classmethod
    def load(cls, path: str | Path, *, length: int = LENGTH) -> "Tokenizer":
        """Read a tokenizer.

        Args:
            path: a ``tokenizer.json``, its folder, or the model folder that holds it.
            length: tokens that every prompt is padded or cut to.

        Raises:
            FileNotFoundError: there is no ``tokenizer.json``.
            ModuleNotFoundError: tokenizers is not installed.
            ValueError: it is not one of UMT5.
        """
        path = Path(path)
        file = next((path / place for place in _PLACES if (path / place).is_file()), path)
        if not file.is_file():
            # A SentencePiece model alone would do for most text, but not for characters that it does not know.
            raise FileNotFoundError(
                f"no tokenizer at {path}; expected a tokenizer.json, or a folder with one of {', '.join(_PLACES)}"
            )
        try:
            model = _library("tokenizers").Tokenizer.from_file(str(file))
        except ModuleNotFoundError:
            raise
        except Exception as error:  # the library raises bare exceptions
            raise ValueError(f"{file} is not a tokenizer.json that can be read: {error}") from error
        return cls(model, length=length)

    def __call__(self, prompts: str | Sequence[str]) -> Tokens:
        """Clean prompts and turn them into tokens; one prompt is a batch of one."""
        prompts = [prompts] if isinstance(prompts, str) else prompts
        encoded = [self._model.encode(clean(prompt)) for prompt in prompts]
        return Tokens(
            ids=np.array([one.ids for one in encoded], np.int32),
            mask=np.array([one.attention_mask for one in encoded], np.int32),
            cut=np.array([bool(one.overflowing) for one in encoded]),
        )


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ModuleNotFoundError(
            f'reading prompts needs {name}: pip install "worldkv-jax[text]"; or give a prompt embedding instead, '
            "a .npy or .safetensors file",
            name=name,
        ) from error
