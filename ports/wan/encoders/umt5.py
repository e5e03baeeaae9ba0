"""UMT5 text encoder: token ids to the prompt embedding that the Wan family attends to."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from checkpoints.components import Component, Shapes
from checkpoints.key_tables import LINEAR, Row
from ports.wan.nn.layers import Linear, RMSNorm
from ports.wan.nn.parameters import abstract_params, bind, stack_layers


@dataclasses.dataclass(frozen=True, kw_only=True)
class UMT5Config:
    """Size of a UMT5 encoder; UMT5-XXL unless told otherwise."""

    vocabulary: int = 256384
    dim: int = 4096
    attention_dim: int = 4096
    """Of all heads together."""
    ffn_dim: int = 10240
    heads: int = 64
    layers: int = 24
    buckets: int = 32
    """Classes of distances between two tokens, half of them for each direction."""
    max_distance: int = 128
    """Distance in tokens from which on all share a bucket."""

    def __post_init__(self):
        if self.attention_dim % self.heads:
            raise ValueError(f"attention_dim={self.attention_dim} is not a multiple of heads={self.heads}")
        if self.buckets < 4 or self.buckets % 4 or self.max_distance <= self.buckets // 4:
            raise ValueError(
                f"buckets={self.buckets} must be a positive multiple of 4, and max_distance={self.max_distance} "
                "larger than a quarter of it; UMT5 has 32 and 128"
            )


class RelativeSelfAttention(nnx.Module):
    """Multi-head attention that knows positions by a bias for each distance; its logits are not scaled."""

    def __init__(self, config: UMT5Config, *, rngs: nnx.Rngs):
        inner = config.attention_dim
        # Drawn small, in place of the missing scale of the logits.
        self.q = Linear(config.dim, inner, scale=(inner // config.heads) ** -0.5, bias=False, rngs=rngs)
        self.k, self.v = (Linear(config.dim, inner, bias=False, rngs=rngs) for _ in range(2))
        self.o = Linear(inner, config.dim, bias=False, rngs=rngs)
        self.relative_bias = nnx.Param(jax.random.normal(rngs.params(), (config.buckets, config.heads)))
        self.heads = config.heads

    def __call__(self, x: jax.Array, buckets: jax.Array, mask: jax.Array) -> jax.Array:
        """Attend ``x [B, n, d]`` to the tokens of ``mask``, bool ``[B, n]``, given ``buckets [n, n]``."""
        query, key, value = (part(x).reshape(*x.shape[:2], self.heads, -1) for part in (self.q, self.k, self.v))
        bias = self.relative_bias[...].astype(jnp.float32)[buckets]
        logits = jnp.einsum("bqnh,bknh->bnqk", query, key, preferred_element_type=jnp.float32)
        logits = logits + bias.transpose(2, 0, 1)[None]
        # The mask replaces a logit, bias and all; it does not add to it.
        logits = jnp.where(mask[:, None, None, :], logits, jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(logits, axis=-1).astype(x.dtype)
        mixed = jnp.einsum("bnqk,bknh->bqnh", weights, value)
        return self.o(mixed.reshape(*x.shape[:2], -1))


class GatedMLP(nnx.Module):
    """Feed-forward layer whose hidden features are scaled by a GELU gate."""

    def __init__(self, config: UMT5Config, *, rngs: nnx.Rngs):
        self.gate, self.up = (Linear(config.dim, config.ffn_dim, bias=False, rngs=rngs) for _ in range(2))
        self.down = Linear(config.ffn_dim, config.dim, bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``[..., dim]`` to ``[..., dim]``."""
        return self.down(self.up(x) * jax.nn.gelu(self.gate(x), approximate=True))


class UMT5Block(nnx.Module):
    """Self-attention and feed-forward, each on the normalised residual stream."""

    def __init__(self, config: UMT5Config, *, rngs: nnx.Rngs):
        self.norm1, self.norm2 = RMSNorm(config.dim), RMSNorm(config.dim)
        self.attn = RelativeSelfAttention(config, rngs=rngs)
        self.ffn = GatedMLP(config, rngs=rngs)

    def __call__(self, x: jax.Array, buckets: jax.Array, mask: jax.Array, dtype: jnp.dtype) -> jax.Array:
        """Transform the residual stream ``x [B, n, d]``, float32, with products in ``dtype``."""
        x = x + self.attn(self.norm1(x).astype(dtype), buckets, mask).astype(jnp.float32)
        return x + self.ffn(self.norm2(x).astype(dtype)).astype(jnp.float32)


class UMT5Encoder(nnx.Module):
    """The encoder half of UMT5; unlike in T5, every block has distance biases of its own."""

    def __init__(self, config: UMT5Config, *, rngs: nnx.Rngs):
        self.token_embedding = nnx.Param(jax.random.normal(rngs.params(), (config.vocabulary, config.dim)))
        self.blocks = stack_layers(lambda rngs: UMT5Block(config, rngs=rngs), config.layers, rngs)
        self.norm = RMSNorm(config.dim)
        self.config = config

    def __call__(self, ids: jax.Array, mask: jax.Array) -> jax.Array:
        """Encode ``ids [B, n]`` whose tokens are where ``mask [B, n]`` is not 0; rows of padding mean nothing."""
        # An id beyond the table gives NaN instead of some other word: the tokenizer is of another model.
        x = jnp.take(self.token_embedding[...], ids, axis=0, mode="fill")
        dtype, mask = x.dtype, mask != 0
        position = jnp.arange(ids.shape[1], dtype=jnp.int32)
        buckets = distance_buckets(self.config, position[None, :] - position[:, None])
        block, weights = nnx.split(self.blocks)

        def layer(x, weights):
            return nnx.merge(block, weights)(x, buckets, mask, dtype), None

        x, _ = jax.lax.scan(layer, x.astype(jnp.float32), weights)
        return self.norm(x).astype(dtype)


def distance_buckets(config: UMT5Config, distance: jax.Array) -> jax.Array:
    """Sort distances (key's position minus query's) into buckets: exact when short, logarithmic when long.

    Returns:
        int32 of the same shape; the upper half of the buckets is for keys that come after their query.
    """
    per_side = config.buckets // 2
    exact = wide = per_side // 2
    edges = list(range(1, exact + 1))
    for k in range(1, wide):
        # First d with log(d / exact) / log(max / exact) >= k / wide, in integers: no rounding can move it.
        bound = exact ** (wide - k) * config.max_distance**k
        edges.append(next(d for d in range(exact, config.max_distance + 1) if d**wide >= bound))
    bucket = jnp.searchsorted(jnp.asarray(edges, distance.dtype), jnp.abs(distance), side="right")
    return bucket.astype(jnp.int32) + jnp.where(distance > 0, jnp.int32(per_side), jnp.int32(0))


def encode(config: UMT5Config, params: dict, ids: jax.Array, mask: jax.Array) -> jax.Array:
    """Embed prompts (Wan 2.1 text encoder); works under jit.

    Args:
        config: size of the encoder.
        params: its parameters; products are computed in their dtype.
        ids: int32 ``[B, n]`` of `ports.wan.encoders.text.Tokenizer`.
        mask: ``[B, n]``, 1 for tokens including the end of the prompt, 0 for padding.

    Returns:
        ``[B, n, dim]`` in the dtype of the parameters. Rows of padding are zero, as the diffusion transformers
        expect: they attend to these rows as well.
    """
    hidden = bind(UMT5Encoder, config, params)(ids, mask)
    return jnp.where((mask != 0)[..., None], hidden, jnp.zeros_like(hidden))


ORIGINAL = (
    Row("token_embedding.weight", "token_embedding"),
    Row("blocks.{layer}.{norm:norm1|norm2}.weight", "blocks/{norm}/weight"),
    Row("blocks.{layer}.attn.{part:q|k|v|o}.weight", "blocks/attn/{part}/kernel", LINEAR),
    Row("blocks.{layer}.pos_embedding.embedding.weight", "blocks/attn/relative_bias"),
    Row("blocks.{layer}.ffn.gate.0.weight", "blocks/ffn/gate/kernel", LINEAR),
    Row("blocks.{layer}.ffn.fc1.weight", "blocks/ffn/up/kernel", LINEAR),
    Row("blocks.{layer}.ffn.fc2.weight", "blocks/ffn/down/kernel", LINEAR),
    Row("norm.weight", "norm/weight"),
)

TRANSFORMERS = (
    Row("shared.weight", "token_embedding"),
    Row("encoder.block.{layer}.layer.0.layer_norm.weight", "blocks/norm1/weight"),
    Row("encoder.block.{layer}.layer.0.SelfAttention.{part:q|k|v|o}.weight", "blocks/attn/{part}/kernel", LINEAR),
    Row("encoder.block.{layer}.layer.0.SelfAttention.relative_attention_bias.weight", "blocks/attn/relative_bias"),
    Row("encoder.block.{layer}.layer.1.layer_norm.weight", "blocks/norm2/weight"),
    Row("encoder.block.{layer}.layer.1.DenseReluDense.wi_0.weight", "blocks/ffn/gate/kernel", LINEAR),
    Row("encoder.block.{layer}.layer.1.DenseReluDense.wi_1.weight", "blocks/ffn/up/kernel", LINEAR),
    Row("encoder.block.{layer}.layer.1.DenseReluDense.wo.weight", "blocks/ffn/down/kernel", LINEAR),
    Row("encoder.final_layer_norm.weight", "norm/weight"),
)


def configure(shapes: Shapes, settings: Mapping[str, Any]) -> UMT5Config:
    """Make the configuration from the shapes of the tensors; ``settings`` may say where buckets end."""
    vocabulary, dim = shapes["token_embedding.weight"]
    buckets, heads = shapes["blocks.0.pos_embedding.embedding.weight"]
    return UMT5Config(
        vocabulary=vocabulary,
        dim=dim,
        attention_dim=shapes["blocks.0.attn.q.weight"][0],
        ffn_dim=shapes["blocks.0.ffn.fc1.weight"][0],
        heads=heads,
        layers=sum(re.fullmatch(r"blocks\.\d+\.norm1\.weight", key) is not None for key in shapes),
        buckets=buckets,
        max_distance=settings.get("relative_attention_max_distance", UMT5Config.max_distance),
    )


COMPONENT = Component(
    name="text_encoder",
    files=("models_t5_umt5-xxl-enc-bf16.pth", "models_t5_umt5-xxl-enc-bf16.safetensors", "text_encoder"),
    tables={"original": ORIGINAL, "transformers": TRANSFORMERS},
    configure=configure,
    abstract=lambda config: abstract_params(UMT5Encoder, config),
    from_json=lambda settings: UMT5Config(**settings),
    unused=(r"encoder\.embed_tokens\.weight",),  # the table of shared.weight once more
)
