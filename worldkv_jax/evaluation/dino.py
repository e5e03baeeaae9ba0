"""DINOv3 feature distance, as MIND measures it: mean squared difference of normalised patch features.

The weights are a local folder as Hugging Face's transformers save a DINOv3 ViT: ``model.safetensors`` and
``config.json``. MIND takes the ViT-B/16.
"""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from worldkv_jax.evaluation.fidelity import score_in_blocks
from worldkv_jax.evaluation.weight_files import read_weights
from worldkv_jax.media.frames import check_frames

_SIDE = 224  # pixels to which frames are resized
_MEAN, _DEVIATION = np.array([[[[0.485, 0.456, 0.406]]]], np.float32), np.array([[[[0.229, 0.224, 0.225]]]], np.float32)
_BLOCK = 8  # frames at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class DinoConfig:
    """Sizes of the network, as ``config.json`` names them."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    patch_size: int = 16
    num_register_tokens: int = 4
    rope_theta: float = 100.0
    layer_norm_eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        """Size of a head."""
        return self.hidden_size // self.num_attention_heads

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor by its name; keys have no bias."""
        d, hidden, patch = self.hidden_size, self.intermediate_size, self.patch_size
        shapes = {
            "embeddings.cls_token": (1, 1, d),
            "embeddings.register_tokens": (1, self.num_register_tokens, d),
            "embeddings.patch_embeddings.weight": (d, 3, patch, patch),
            "embeddings.patch_embeddings.bias": (d,),
            "norm.weight": (d,),
            "norm.bias": (d,),
        }
        layer = {f"attention.{name}_proj.weight": (d, d) for name in "qkvo"}
        layer |= {f"attention.{name}_proj.bias": (d,) for name in "qvo"}
        layer |= {f"{name}.{part}": (d,) for name in ("norm1", "norm2") for part in ("weight", "bias")}
        layer |= {f"layer_scale{i}.lambda1": (d,) for i in (1, 2)}
        layer |= {"mlp.up_proj.weight": (hidden, d), "mlp.up_proj.bias": (hidden,)}
        layer |= {"mlp.down_proj.weight": (d, hidden), "mlp.down_proj.bias": (d,)}
        for i in range(self.num_hidden_layers):
            shapes |= {f"layer.{i}.{name}": shape for name, shape in layer.items()}
        return shapes


def load_dino(folder: Path) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Read the network and return the distance of frames ``[n, h, w, 3]`` and as many others: ``[n]``.

    Raises:
        ValueError: the folder does not hold a DINOv3 ViT, or one with a gated MLP.
    """
    try:
        settings = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} holds no config.json of a DINOv3 ViT: {error}") from error
    if settings.get("model_type") != "dinov3_vit" or settings.get("use_gated_mlp"):
        raise ValueError(
            f"{folder} is a {settings.get('model_type')!r} model"
            f"{' with a gated MLP' if settings.get('use_gated_mlp') else ''}; expected a DINOv3 ViT such as ViT-B/16"
        )
    known = {field.name for field in dataclasses.fields(DinoConfig)}
    config = DinoConfig(**{name: value for name, value in settings.items() if name in known})
    weights = read_weights(folder / "model.safetensors", config.shapes())
    distance = jax.jit(dino_distance, static_argnums=0)

    def score(frames: np.ndarray, others: np.ndarray) -> np.ndarray:
        pair = check_frames(frames), check_frames(others)
        return score_in_blocks(functools.partial(distance, config, weights), *pair, _BLOCK)

    return score


def dino_distance(config: DinoConfig, weights: dict, frames: jax.Array, others: jax.Array) -> jax.Array:
    """Compare the patch features of frames ``[n, h, w, 3]`` in [0, 1] with those of as many others: ``[n]``."""
    a, b = (_unit(_patch_features(config, weights, x)) for x in (frames, others))
    return jnp.square(a - b).mean(axis=(1, 2))


def dino_features(config: DinoConfig, weights: dict, pixels: jax.Array) -> jax.Array:
    """Run the network on normalised pixels ``[n, h, w, 3]``: all tokens ``[n, 1 + registers + patches, d]``."""
    patch, kernel = config.patch_size, weights["embeddings.patch_embeddings.weight"]
    x = jax.lax.conv_general_dilated(
        pixels, kernel, (patch, patch), "VALID", dimension_numbers=("NHWC", "OIHW", "NHWC")
    )
    rows, columns = x.shape[1:3]
    x = x.reshape(x.shape[0], rows * columns, -1) + weights["embeddings.patch_embeddings.bias"][None, None]
    first = jnp.concatenate([weights["embeddings.cls_token"], weights["embeddings.register_tokens"]], axis=1)
    x = jnp.concatenate([jnp.broadcast_to(first, (x.shape[0], *first.shape[1:])), x], axis=1)
    rope = _rope(config, rows, columns)
    for i in range(config.num_hidden_layers):
        layer = {name.removeprefix(f"layer.{i}."): w for name, w in weights.items() if name.startswith(f"layer.{i}.")}
        mixed = _attend(config, layer, _norm(config, layer, "norm1", x), rope)
        x = x + layer["layer_scale1.lambda1"][None, None] * mixed
        hidden = jax.nn.gelu(_linear(layer, "mlp.up_proj", _norm(config, layer, "norm2", x)), approximate=False)
        x = x + layer["layer_scale2.lambda1"][None, None] * _linear(layer, "mlp.down_proj", hidden)
    return _norm(config, weights, "norm", x)


def _patch_features(config: DinoConfig, weights: dict, frames: jax.Array) -> jax.Array:
    size = (frames.shape[0], _SIDE, _SIDE, 3)
    pixels = (jax.image.resize(frames, size, "bilinear") - _MEAN) / _DEVIATION
    return dino_features(config, weights, pixels)[:, 1 + config.num_register_tokens :]


def _attend(config: DinoConfig, layer: dict, x: jax.Array, rope: tuple[np.ndarray, np.ndarray]) -> jax.Array:
    shape = (*x.shape[:2], config.num_attention_heads, config.head_dim)
    query, key, value = (_linear(layer, f"attention.{name}_proj", x).reshape(shape) for name in "qkv")
    mixed = jax.nn.dot_product_attention(_rotate(query, rope), _rotate(key, rope), value)
    return _linear(layer, "attention.o_proj", mixed.reshape(x.shape))


def _rope(config: DinoConfig, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return cosine and sine ``[patches, 1, H]`` of the patches' centres, which lie in [-1, 1]."""
    y, x = ((np.arange(count) + 0.5) / count * 2 - 1 for count in (rows, columns))
    centres = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    frequencies = config.rope_theta ** -np.arange(0, 1, 4 / config.head_dim)
    angles = np.tile((2 * np.pi * centres * frequencies).reshape(len(centres), -1), 2)[:, None]
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _rotate(x: jax.Array, rope: tuple[np.ndarray, np.ndarray]) -> jax.Array:
    """Rotate the patches of ``[n, tokens, N, H]``; class and register tokens have no place."""
    cos, sin = (a[None] for a in rope)
    first, patches = jnp.split(x, [x.shape[1] - cos.shape[1]], axis=1)
    left, right = jnp.split(patches, 2, axis=-1)
    patches = patches * cos + jnp.concatenate([-right, left], axis=-1) * sin
    return jnp.concatenate([first, patches], axis=1)


def _linear(weights: dict, name: str, x: jax.Array) -> jax.Array:
    x = x @ weights[f"{name}.weight"].T
    bias = weights.get(f"{name}.bias")
    return x if bias is None else x + bias[None, None]


def _norm(config: DinoConfig, weights: dict, name: str, x: jax.Array) -> jax.Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + config.layer_norm_eps)
    return centred * scale * weights[f"{name}.weight"][None, None] + weights[f"{name}.bias"][None, None]


def _unit(x: jax.Array) -> jax.Array:
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
