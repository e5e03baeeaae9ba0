"""UMT5 beside transformers' encoder, with the same random weights, of files that transformers wrote."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers

from checkpoints.restore import load_params
from ports.wan.encoders import umt5
from worldkv_jax.benchmarks.pairs import Pair, Place, Work

SIZE = umt5.UMT5Config(vocabulary=8192, dim=1024, attention_dim=1024, ffn_dim=2816, heads=16, layers=8)
TOKENS = 512


def draw(config: umt5.UMT5Config, *, seed: int = 0) -> transformers.UMT5EncoderModel:
    """Make transformers' encoder of these sizes, with random weights."""
    torch.manual_seed(seed)
    return transformers.UMT5EncoderModel(
        transformers.UMT5Config(
            vocab_size=config.vocabulary,
            d_model=config.dim,
            d_kv=config.attention_dim // config.heads,
            d_ff=config.ffn_dim,
            num_layers=config.layers,
            num_heads=config.heads,
            relative_attention_num_buckets=config.buckets,
            relative_attention_max_distance=config.max_distance,
            feed_forward_proj="gated-gelu",
        )
    ).eval()


def compare(place: Place, config: umt5.UMT5Config = SIZE, tokens: int = TOKENS) -> Pair:
    """Encode one prompt."""
    if not (place.scratch / "config.json").exists():
        draw(config).save_pretrained(place.scratch)
    ids = np.random.default_rng(0).integers(config.vocabulary, size=(1, tokens))
    mask = np.ones_like(ids)

    def ours() -> Work:
        loaded, params = load_params(place.scratch, umt5.COMPONENT, dtype=jnp.float32)
        given = jnp.asarray(ids, jnp.int32), jnp.asarray(mask, jnp.int32)
        encode = jax.jit(umt5.encode, static_argnums=0)
        return lambda: jax.block_until_ready(encode(loaded, params, *given))

    def theirs() -> Work:
        model = transformers.UMT5EncoderModel.from_pretrained(place.scratch).eval()
        given = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        return torch.no_grad()(lambda: model(**given).last_hidden_state.numpy())

    what = f"{tokens} tokens, width {config.dim}, {config.layers} layers, float32"
    return Pair(what=what, ours=ours, theirs=theirs, tolerance=1e-3)
