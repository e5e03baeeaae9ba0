"""CLIP ViT-H/14 visual tower: an image to the tokens that image-conditioned Wan models attend to."""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from checkpoints.components import Component, Shapes
from checkpoints.key_tables import LINEAR, Row, conv, squeeze
from ports.wan.encoders.resize import bicubic
from ports.wan.nn.layers import LayerNorm, Linear, along_last
from ports.wan.nn.parameters import abstract_params, bind, stack_layers

EPS = 1e-5
"""Of every norm."""
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's training images, red, green and blue in [0, 1]."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CLIPConfig:
    """Size of a CLIP visual tower; ViT-H/14 unless told otherwise."""

    image_size: int = 224
    """Side of the square that images are resized to, in pixels."""
    patch_size: int = 14
    dim: int = 1280
    heads: int = 16
    layers: int = 32
    mlp_dim: int = 5120
    out_dim: int = 1024
    """Of the joint embedding with text, which no video model uses."""

    def __post_init__(self):
        for whole, part in (("image_size", "patch_size"), ("dim", "heads")):
            if getattr(self, whole) % getattr(self, part):
                raise ValueError(f"{whole}={getattr(self, whole)} is not a multiple of {part}={getattr(self, part)}")


class VisionBlock(nnx.Module):
    """Self-attention and feed-forward, each on the normalised residual stream."""

    def __init__(self, config: CLIPConfig, *, rngs: nnx.Rngs):
        dim = config.dim
        self.norm1, self.norm2 = LayerNorm(dim, eps=EPS), LayerNorm(dim, eps=EPS)
        self.qkv = Linear(dim, 3 * dim, rngs=rngs)
        self.proj = Linear(dim, dim, rngs=rngs)
        self.up, self.down = Linear(dim, config.mlp_dim, rngs=rngs), Linear(config.mlp_dim, dim, rngs=rngs)
        self.heads = config.heads

    def __call__(self, x: jax.Array, dtype: jnp.dtype) -> jax.Array:
        """Transform the residual stream ``x [B, n, d]``, float32, with products in ``dtype``."""
        qkv = self.qkv(self.norm1(x).astype(dtype)).reshape(*x.shape[:2], 3, self.heads, -1)
        query, key, value = (qkv[:, :, part] for part in range(3))
        logits = jnp.einsum("bqnh,bknh->bnqk", query, key, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(logits * query.shape[-1] ** -0.5, axis=-1).astype(dtype)
        mixed = jnp.einsum("bnqk,bknh->bqnh", weights, value)
        x = x + self.proj(mixed.reshape(x.shape)).astype(jnp.float32)
        hidden = jax.nn.gelu(self.up(self.norm2(x).astype(dtype)), approximate=False)
        return x + self.down(hidden).astype(jnp.float32)


class VisionTower(nnx.Module):
    """The visual half of CLIP.

    Video models read the tokens before the last block, so that block, the norm after it and the projection are
    never applied; they are parameters so that a checkpoint comes back whole.
    """

    def __init__(self, config: CLIPConfig, *, rngs: nnx.Rngs):
        dim, tokens = config.dim, 1 + (config.image_size // config.patch_size) ** 2
        window = (config.patch_size, config.patch_size, 3)
        self.patch_kernel = nnx.Param(math.prod(window) ** -0.5 * jax.random.normal(rngs.params(), (*window, dim)))
        self.class_embedding = nnx.Param(dim**-0.5 * jax.random.normal(rngs.params(), (dim,)))
        self.position_embedding = nnx.Param(dim**-0.5 * jax.random.normal(rngs.params(), (tokens, dim)))
        self.pre_norm = LayerNorm(dim, eps=EPS)
        self.blocks = stack_layers(lambda rngs: VisionBlock(config, rngs=rngs), config.layers, rngs)
        self.post_norm = LayerNorm(dim, eps=EPS)
        self.head = nnx.Param(dim**-0.5 * jax.random.normal(rngs.params(), (dim, config.out_dim)))
        self.config = config

    def embed(self, pixels: jax.Array) -> jax.Array:
        """Turn pixels ``[B, S, S, 3]`` of `preprocess` into the class token and patches, ``[B, n, d]`` float32."""
        kernel, batch = self.patch_kernel[...], pixels.shape[0]
        p, side = kernel.shape[0], pixels.shape[1] // kernel.shape[0]
        patches = pixels.reshape(batch, side, p, side, p, 3).astype(kernel.dtype)
        tokens = jnp.einsum("brhcwi,hwio->brco", patches, kernel).reshape(batch, side * side, -1).astype(jnp.float32)
        first = jnp.broadcast_to(self.class_embedding[...].astype(jnp.float32), (batch, 1, tokens.shape[-1]))
        tokens = jnp.concatenate([first, tokens], axis=1) + self.position_embedding[...].astype(jnp.float32)[None]
        return self.pre_norm(tokens)

    def __call__(self, pixels: jax.Array, *, blocks: int | None = None) -> jax.Array:
        """Encode pixels ``[B, S, S, 3]`` of `preprocess` by the first ``blocks``, all but the last by default."""
        dtype = self.patch_kernel[...].dtype
        block, weights = nnx.split(self.blocks)

        def layer(index, x):  # reads each layer's weights where they lie: cutting off the last would copy the rest
            here = jax.tree.map(lambda w: jax.lax.dynamic_index_in_dim(w, index, keepdims=False), weights)
            return nnx.merge(block, here)(x, dtype)

        blocks = self.config.layers - 1 if blocks is None else blocks
        return jax.lax.fori_loop(0, blocks, layer, self.embed(pixels)).astype(dtype)


def preprocess(image: jax.Array, size: int = CLIPConfig.image_size) -> jax.Array:
    """Resize images as the released video models do and normalise their colours for CLIP.

    The whole image is squeezed to a square, without cropping and without antialiasing.

    Args:
        image: ``[B, H, W, 3]`` in [-1, 1].
        size: side of the square in pixels.

    Returns:
        ``[B, size, size, 3]`` float32.

    Raises:
        ValueError: another shape, or whole numbers.
    """
    if image.ndim != 4 or image.shape[-1] != 3 or not jnp.issubdtype(image.dtype, jnp.floating):
        raise ValueError(
            f"got an image of shape {image.shape} and dtype {image.dtype}, expected [B, H, W, 3] floating-point "
            "numbers in [-1, 1]"
        )
    mean, std = (along_last(jnp.asarray(numbers, jnp.float32), image) for numbers in (MEAN, STD))
    return (bicubic(image, size, size) * 0.5 + 0.5 - mean) / std


def encode_image(config: CLIPConfig, params: dict, image: jax.Array) -> jax.Array:
    """Turn images into tokens (Matrix-Game 2.0, Wan 2.1 image to video); works under jit.

    Args:
        config: size of the tower.
        params: its parameters; products are computed in their dtype.
        image: ``[B, H, W, 3]`` in [-1, 1], of any size; it is preprocessed here.

    Returns:
        ``[B, n, dim]``, the class token first, in the dtype of the parameters; ``[B, 257, 1280]`` for ViT-H/14.
    """
    return bind(VisionTower, config, params)(preprocess(image, config.image_size))


ORIGINAL = (
    Row("visual.patch_embedding.weight", "patch_kernel", conv(2)),
    Row("visual.cls_embedding", "class_embedding", squeeze(leading=2)),
    Row("visual.pos_embedding", "position_embedding", squeeze(leading=1)),
    Row("visual.{norm:pre_norm|post_norm}.{leaf:weight|bias}", "{norm}/{leaf}"),
    Row("visual.transformer.{layer}.{norm:norm1|norm2}.{leaf:weight|bias}", "blocks/{norm}/{leaf}"),
    Row("visual.transformer.{layer}.attn.to_qkv.weight", "blocks/qkv/kernel", LINEAR),
    Row("visual.transformer.{layer}.attn.to_qkv.bias", "blocks/qkv/bias"),
    Row("visual.transformer.{layer}.attn.proj.weight", "blocks/proj/kernel", LINEAR),
    Row("visual.transformer.{layer}.attn.proj.bias", "blocks/proj/bias"),
    Row("visual.transformer.{layer}.mlp.0.weight", "blocks/up/kernel", LINEAR),
    Row("visual.transformer.{layer}.mlp.0.bias", "blocks/up/bias"),
    Row("visual.transformer.{layer}.mlp.2.weight", "blocks/down/kernel", LINEAR),
    Row("visual.transformer.{layer}.mlp.2.bias", "blocks/down/bias"),
    Row("visual.head", "head"),
)


def configure(shapes: Shapes, settings: Mapping[str, Any]) -> CLIPConfig:
    """Make the configuration from the shapes of the tensors.

    No shape tells the number of heads: ``settings["vision_heads"]`` does, or else heads are as wide as those of
    ViT-H/14.

    Raises:
        KeyError: a tensor is missing.
        ValueError: the number of heads cannot be told.
    """
    dim, _, patch_size, _ = shapes["visual.patch_embedding.weight"]
    tokens = shapes["visual.pos_embedding"][1]
    head_dim = CLIPConfig.dim // CLIPConfig.heads
    heads = settings.get("vision_heads")
    if heads is None:
        if dim % head_dim:
            raise ValueError(
                f"a visual tower of width {dim} has no heads of width {head_dim}, those of ViT-H/14; "
                'say how many it has with "vision_heads" in config.json'
            )
        heads = dim // head_dim
    return CLIPConfig(
        image_size=math.isqrt(tokens - 1) * patch_size,
        patch_size=patch_size,
        dim=dim,
        heads=heads,
        layers=sum(re.fullmatch(r"visual\.transformer\.\d+\.norm1\.weight", key) is not None for key in shapes),
        mlp_dim=shapes["visual.transformer.0.mlp.0.weight"][0],
        out_dim=shapes["visual.head"][1],
    )


COMPONENT = Component(
    name="clip",
    files=("models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",),
    tables={"original": ORIGINAL},
    configure=configure,
    abstract=lambda config: abstract_params(VisionTower, config),
    from_json=lambda settings: CLIPConfig(**settings),
    unused=(r"textual\..*", r"log_scale"),  # the half that reads text
)
