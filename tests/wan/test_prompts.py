"""Prompt embeddings: files that hold them, the forms in which a prompt may be given, what errors say."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from checkpoints.safetensors_files import safetensors_name
from ports.wan.encoders import umt5
from ports.wan.encoders.prompts import TextEncoder, embed_prompt, load_embedding
from ports.wan.encoders.text import Tokens
from ports.wan.nn.parameters import init_params

EMBEDDING = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)


def save_embedding(path, embedding):
    """Write an embedding as others do: float32 in a .npy file, any dtype in a .safetensors file."""
    path.parent.mkdir(exist_ok=True)
    array = np.asarray(embedding)
    if path.suffix == ".npy":
        np.save(path, array.astype(np.float32))
    else:
        save_file({"prompt_embeds": array}, path)
    return path


class Words:
    """A tokenizer of words, by their length."""

    def __call__(self, prompts):
        prompts = [prompts] if isinstance(prompts, str) else prompts
        ids, mask = np.zeros((2, len(prompts), 6), np.int32)
        for row, prompt in enumerate(prompts):
            words = [len(word) for word in prompt.split()][:6]
            ids[row, : len(words)], mask[row, : len(words)] = words, 1
        return Tokens(ids, mask, np.array([len(prompt.split()) > 6 for prompt in prompts]))


@pytest.fixture(scope="module")
def encoder():
    config = umt5.UMT5Config(vocabulary=20, dim=4, attention_dim=4, ffn_dim=4, heads=1, layers=1)
    return TextEncoder(config, init_params(umt5.UMT5Encoder, config, 0), Words())


@pytest.mark.parametrize("name", ["a.npy", "new/a.safetensors"])
@pytest.mark.parametrize("shape", [(7, 4), (1, 7, 4)])
@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
def test_files_hold_embeddings(tmp_path, name, shape, dtype):
    path = save_embedding(tmp_path / name, jnp.asarray(EMBEDDING.reshape(shape), dtype))
    got = load_embedding(path, dim=4)
    assert got.shape == (512, 4) and not got[7:].any()
    assert got.dtype == (np.float32 if name.endswith("npy") else dtype)
    np.testing.assert_array_equal(got[:7].astype(np.float32), EMBEDDING.astype(dtype).astype(np.float32))


@pytest.mark.parametrize("names", [["anything"], ["mask", "prompt_embeds"], ["embedding", "mask"]])
def test_the_embedding_among_tensors(tmp_path, names):
    path = tmp_path / "a.safetensors"
    save_file({name: np.zeros(3, np.float32) if name == "mask" else EMBEDDING for name in names}, path)
    np.testing.assert_array_equal(load_embedding(path, length=7), EMBEDDING)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((9, 4), np.float32), r"has shape \(9, 4\), expected \[n <= 8, 4\]"),
        (np.zeros((2, 7, 4), np.float32), r"has shape \(2, 7, 4\)"),
        (np.zeros((0, 4), np.float32), r"has shape \(0, 4\)"),
        (np.zeros((7, 5), np.float32), r"has shape \(7, 5\), expected \[n <= 8, 4\]"),
        (np.zeros((7, 4), np.int32), "has dtype int32"),
        (np.full((7, 4), np.nan, np.float32), "not finite"),
        (np.array([{}]), "pickle"),
    ],
)
def test_files_that_hold_something_else(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=message) as error:
        load_embedding(tmp_path / "a.npy", dim=4, length=8)
    assert str(tmp_path / "a.npy") in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="no prompt embedding at"):
        load_embedding(tmp_path / "a.npy")
    for name in ("a.npy", "a.safetensors", "a.txt"):
        (tmp_path / name).write_bytes(b"castle")
        with pytest.raises(ValueError, match="cannot read a prompt embedding from"):
            load_embedding(tmp_path / name)
    save_file({"a": EMBEDDING, "b": EMBEDDING}, tmp_path / "two.safetensors")
    with pytest.raises(ValueError, match="a, b; call one of them 'prompt_embeds'"):
        load_embedding(tmp_path / "two.safetensors")


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn"])
def test_an_embedding_of_few_bits_is_read(tmp_path, dtype):
    half = np.asarray(jnp.asarray(EMBEDDING, dtype))
    name, raw = safetensors_name(half.dtype), half.tobytes()
    head = json.dumps({"a": {"dtype": name, "shape": half.shape, "data_offsets": [0, len(raw)]}}).encode()
    (tmp_path / "A.SAFETENSORS").write_bytes(len(head).to_bytes(8, "little") + head + raw)
    got = load_embedding(tmp_path / "A.SAFETENSORS", dim=4, length=8)
    assert got.dtype == half.dtype and (got[:7] == half).all()


def test_a_prompt_in_any_form(tmp_path, encoder):
    path = save_embedding(tmp_path / "a.npy", EMBEDDING)
    for form in (EMBEDDING, jnp.asarray(EMBEDDING)[None], path, str(path)):
        got = embed_prompt(form, dim=4, encoder=encoder)
        assert got.shape == (512, 4)
        np.testing.assert_array_equal(got[:7], EMBEDDING)
    text = embed_prompt("a castle in snow", dim=4, encoder=encoder)
    assert text.shape == (512, 4) and text[:4].any() and not text[4:].any()
    np.testing.assert_array_equal(text[:6], encoder("a castle in snow")[0])


def test_text_needs_an_encoder(encoder):
    with pytest.raises(ValueError, match="'a castle' is text, but there is no text encoder"):
        embed_prompt("a castle", dim=4)
    with pytest.raises(ValueError, match=r"the encoder's result has shape \(6, 4\), expected \[n <= 512, 5\]"):
        embed_prompt("a castle", dim=5, encoder=encoder)


def test_a_prompt_that_is_too_long_is_reported(encoder):
    with pytest.warns(UserWarning, match="prompt 1 is longer than 6 tokens"):
        encoder(["a castle", "one two three four five six seven"])
