"""UMT5 beside transformers' encoder, with the same random weights, of files that transformers wrote."""

from pathlib import Path

import jax
import jax.numpy as jnp
import torch
import transformers

from checkpoints.restore import load_params
from ports.wan.encoders import umt5
from worldkv_jax.benchmarks.peers import Pair

SIZE = umt5.UMT5Config(vocabulary=8192, dim=1024, attention_dim=1024, ffn_dim=2816, heads=16, layers=8)
TOKENS = 512


def compare(folder: Path, config: umt5.UMT5Config = SIZE, tokens: int = TOKENS) -> Pair:
    """Encode one prompt."""
    torch.manual_seed(0)
    reference = transformers.UMT5EncoderModel(
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
    reference.save_pretrained(folder)
    loaded, params = load_params(folder, umt5.COMPONENT, dtype=jnp.float32)
    ids = torch.randint(0, config.vocabulary, (1, tokens))
    mask = torch.ones_like(ids)
    given = jnp.asarray(ids.numpy(), jnp.int32), jnp.asarray(mask.numpy(), jnp.int32)
    encode = jax.jit(umt5.encode, static_argnums=0)

    @torch.no_grad()
    def theirs():
        return reference(input_ids=ids, attention_mask=mask).last_hidden_state.numpy()

    return Pair(
        what=f"{tokens} tokens, width {config.dim}, {config.layers} layers, float32",
        ours=lambda: jax.block_until_ready(encode(loaded, params, *given)),
        theirs=theirs,
        tolerance=1e-3,
    )
