"""Prompt embeddings: made from text, or read from a file that was made elsewhere."""

import dataclasses
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from checkpoints.safetensors_files import read_safetensors
from checkpoints.tensors import LazyTensor
from ports.wan.encoders import umt5
from ports.wan.encoders.text import LENGTH, Tokenizer
from worldkv_jax.readers import read_array

NAMES = ("prompt_embeds", "embedding")
"""What a prompt embedding is called among the tensors of a file, the first when we write it."""

Prompt = str | os.PathLike | np.ndarray | jax.Array
"""Text, the path of a prompt embedding, or the embedding itself."""


@dataclasses.dataclass(frozen=True)
class TextEncoder:
    """From text to prompt embeddings; run once a prompt, a rollout keeps the result."""

    config: umt5.UMT5Config
    params: dict
    tokenizer: Tokenizer

    def __call__(self, prompts: str | Sequence[str]) -> jax.Array:
        """Embed prompts, ``[B, 512, dim]`` in the dtype of the parameters, zero past their end.

        Warns where a prompt is too long and was cut.
        """
        tokens = self.tokenizer(prompts)
        for index in np.flatnonzero(tokens.cut):
            warnings.warn(
                f"prompt {index} is longer than {tokens.ids.shape[1]} tokens; the model does not see its end",
                stacklevel=2,
            )
        return _encode(self.config, self.params, tokens.ids, tokens.mask)


_encode = jax.jit(umt5.encode, static_argnums=0)


def is_embedding(prompt: str | os.PathLike) -> bool:
    """Tell whether a prompt is the path of a prompt embedding and not text."""
    return Path(prompt).suffix.lower() in (".npy", ".safetensors")


def embed_prompt(
    prompt: Prompt, *, dim: int, encoder: Callable[[str], jax.Array] | None = None, length: int = LENGTH
) -> jax.Array:
    """Return the embedding of a prompt in whatever form it is given.

    Args:
        prompt: text; the path of a ``.npy`` or ``.safetensors`` file, as text too; or ``[n, dim]``, ``[1, n, dim]``.
        dim: width that the diffusion transformer expects.
        encoder: for text, such as a `TextEncoder`.
        length: rows of the result.

    Returns:
        ``[length, dim]``, zero past the end of the prompt.

    Raises:
        ValueError: text without an encoder, or an embedding that does not fit.
    """
    if isinstance(prompt, np.ndarray | jax.Array):
        return jnp.asarray(_checked(prompt, "the prompt embedding", dim, length))
    if isinstance(prompt, os.PathLike) or is_embedding(prompt):
        return jnp.asarray(load_embedding(prompt, dim=dim, length=length))
    if encoder is None:
        raise ValueError(
            f"the prompt {prompt[:40]!r} is text, but there is no text encoder; load one, or give a prompt embedding: "
            "an array or the path of a .npy or .safetensors file"
        )
    return jnp.asarray(_checked(encoder(prompt), "the encoder's result", dim, length))


def load_embedding(path: str | os.PathLike, *, dim: int | None = None, length: int = LENGTH) -> np.ndarray:
    """Read a prompt embedding.

    Args:
        path: a ``.npy`` file, or a ``.safetensors`` file with one tensor or with one called ``prompt_embeds`` or
            ``embedding``; of shape ``[n, dim]`` or ``[1, n, dim]``.
        dim: width that is expected; ``None`` for any.
        length: rows of the result.

    Returns:
        ``[length, dim]`` in the dtype of the file, zero past the end of the prompt.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, shape or dtype, more rows than ``length``, or numbers that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no prompt embedding at {path}")
    try:
        if path.suffix.lower() == ".npy":
            embedding = read_array(path, what="a prompt's embedding")
        elif path.suffix.lower() == ".safetensors":
            embedding = _choose(read_safetensors(path).tensors).open()
        else:
            raise ValueError("expected a .npy or .safetensors file")
    except ValueError as error:
        raise ValueError(f"cannot read a prompt embedding from {path}: {error}") from error
    return _checked(embedding, str(path), dim, length)


def _choose(tensors: Mapping[str, LazyTensor]) -> LazyTensor:
    """Find the embedding among the tensors of a file."""
    named = [tensors[name] for name in NAMES if name in tensors]
    found = named or list(tensors.values())
    if len(found) != 1:
        raise ValueError(f"it has the tensors {', '.join(sorted(tensors)) or 'none'}; call one of them {NAMES[0]!r}")
    return found[0]


def _checked(embedding: np.ndarray | jax.Array, what: str, dim: int | None, length: int) -> np.ndarray:
    """Return an embedding as ``[length, dim]``, zero past its end."""
    if embedding.ndim == 3 and embedding.shape[0] == 1:
        embedding = embedding[0]
    if (
        embedding.ndim != 2
        or not 1 <= embedding.shape[0] <= length
        or embedding.shape[1] != (dim or embedding.shape[1])
    ):
        raise ValueError(f"{what} has shape {embedding.shape}, expected [n <= {length}, {dim or 'dim'}]")
    if not jnp.issubdtype(embedding.dtype, jnp.floating):
        raise ValueError(f"{what} has dtype {embedding.dtype}, expected floating-point numbers")
    if not np.isfinite(np.asarray(embedding, np.float32)).all():
        raise ValueError(f"{what} has numbers that are not finite")
    return np.pad(np.asarray(embedding), ((0, length - embedding.shape[0]), (0, 0)))
