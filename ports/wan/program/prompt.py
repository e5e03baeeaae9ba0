"""The prompt of a rollout: text for the encoder in a model folder, an embedding made elsewhere, or noise."""

import dataclasses
from pathlib import Path

import jax

from checkpoints.components import Component
from checkpoints.weights import open_weights
from ports.wan.encoders.prompts import TextEncoder, embed_prompt, is_embedding, load_embedding
from ports.wan.encoders.text import Tokenizer
from ports.wan.program.weights import load_for_once
from worldkv_jax.readers import text_or_file
from worldkv_jax.sessions import Placement


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt that was checked; of a text encoder no weights are read before `embed`."""

    given: str | None
    """Text or the path of an embedding; ``None`` for noise in its place, with random weights."""
    dim: int
    """Width that the transformer expects."""
    rows: int
    """Rows of the embedding."""
    dtype: str
    """Of the text encoder's weights."""
    ckpt: Path | None
    """Model folder with the text encoder; ``None`` with random weights, for which text counts as noise."""
    encoder: Component
    tokenizer: Path | None
    """Folder of the tokenizer."""

    @classmethod
    def check(
        cls,
        given: str | None,
        *,
        dim: int,
        rows: int,
        dtype: str,
        ckpt: Path | None,
        encoder: Component,
        tokenizer: Path | None = None,
    ) -> "Prompt":
        """Check that a prompt can be embedded.

        Args:
            given: text, a text file, or the path of an embedding.
            dim: width that the transformer expects.
            rows: rows of the embedding.
            dtype: of the text encoder's weights.
            ckpt: model folder with the text encoder; ``None`` for none, which text does not need then.
            encoder: the text encoder's files.
            tokenizer: folder of the tokenizer, if that is not ``ckpt``.

        Raises:
            FileNotFoundError: a file is missing.
            ModuleNotFoundError: reading text needs packages that are not installed.
            ValueError: an embedding that does not fit, or an encoder of another model.
        """
        if given is not None and is_embedding(given):
            load_embedding(given, dim=dim, length=rows)
        elif given is not None:
            given = text_or_file(given, what="`prompt`")
            if ckpt is not None:
                width = open_weights(ckpt, encoder).config.dim
                if width != dim:
                    raise ValueError(f"the text encoder in {ckpt} makes rows of {width} numbers, expected {dim}")
                Tokenizer.load(tokenizer or ckpt, length=rows)("")
        return cls(given=given, dim=dim, rows=rows, dtype=dtype, ckpt=ckpt, encoder=encoder, tokenizer=tokenizer)

    @property
    def is_embedding(self) -> bool:
        """Whether it was embedded elsewhere."""
        return self.given is not None and is_embedding(self.given)

    @property
    def is_read(self) -> bool:
        """Whether the text encoder is loaded."""
        return self.ckpt is not None and not self.is_embedding

    def embed(self, where: Placement) -> jax.Array:
        """Return the embedding ``[text_rows, text_dim]``; the encoder's weights are gone by then."""
        encoder = None
        if self.given is None or not (self.is_read or self.is_embedding):
            return jax.random.normal(jax.random.key(0), (self.rows, self.dim))
        if self.ckpt is not None and not self.is_embedding:
            size, params = load_for_once(self.ckpt, self.encoder, self.dtype, where)
            encoder = TextEncoder(size, params, Tokenizer.load(self.tokenizer or self.ckpt, length=self.rows))
        embedding = embed_prompt(self.given, dim=self.dim, encoder=encoder, length=self.rows)
        return jax.block_until_ready(embedding)  # only then may the encoder's weights go
