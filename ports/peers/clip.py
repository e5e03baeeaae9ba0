"""CLIP's visual tower beside transformers', with the same random weights."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers

from checkpoints.restore import load_params
from ports.wan.encoders import clip
from worldkv_jax.benchmarks.pairs import Pair, Place, Work

SIZE = clip.CLIPConfig(layers=8)
IMAGE = (352, 640)
"""Rows and columns of pixels."""


def draw(config: clip.CLIPConfig, *, seed: int = 0) -> transformers.CLIPVisionModelWithProjection:
    """Make transformers' tower of these sizes, with random weights."""
    torch.manual_seed(seed)
    return transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(
            image_size=config.image_size,
            patch_size=config.patch_size,
            hidden_size=config.dim,
            num_attention_heads=config.heads,
            num_hidden_layers=config.layers,
            intermediate_size=config.mlp_dim,
            projection_dim=config.out_dim,
            hidden_act="gelu",
        )
    ).eval()


def compare(place: Place, config: clip.CLIPConfig = SIZE, image: tuple[int, int] = IMAGE) -> Pair:
    """Turn one image into tokens, resizing included."""
    folder, file = place.scratch / "vision", place.scratch / clip.COMPONENT.files[0]
    if not file.exists():
        reference = draw(config)
        reference.save_pretrained(folder)
        torch.save(released_tensors(reference.state_dict()), file)
        (place.scratch / "config.json").write_text(json.dumps({"vision_heads": config.heads}))
    pixels = np.random.default_rng(0).uniform(-1, 1, size=(1, *image, 3)).astype(np.float32)

    def ours() -> Work:
        loaded, params = load_params(place.scratch, clip.COMPONENT, dtype=jnp.float32)
        encode, given = jax.jit(clip.encode_image, static_argnums=0), jnp.asarray(pixels)
        return lambda: jax.block_until_ready(encode(loaded, params, given))

    def theirs() -> Work:
        model = transformers.CLIPVisionModelWithProjection.from_pretrained(folder).eval()
        model.vision_model.encoder.layers = model.vision_model.encoder.layers[:-1]  # as the video models use it
        channels_first = torch.from_numpy(np.moveaxis(pixels, -1, 1).copy())
        mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (clip.MEAN, clip.STD))
        size = (config.image_size, config.image_size)

        @torch.no_grad()
        def encode():
            resized = torch.nn.functional.interpolate(channels_first, size=size, mode="bicubic", align_corners=False)
            given = (resized * 0.5 + 0.5 - mean) / std
            return model(pixel_values=given, output_hidden_states=True).hidden_states[-1].numpy()

        return encode

    what = f"one image, width {config.dim}, {config.layers - 1} layers, float32"
    return Pair(what=what, ours=ours, theirs=theirs, tolerance=1e-3)


def released_tensors(state: dict) -> dict:
    """Name transformers' tensors ``vision_model...`` as the released checkpoint does."""

    def of(key: str):
        return state[f"vision_model.{key}"]

    tensors = {
        "visual.cls_embedding": of("embeddings.class_embedding")[None, None],
        "visual.pos_embedding": of("embeddings.position_embedding.weight")[None],
        "visual.patch_embedding.weight": of("embeddings.patch_embedding.weight"),
        "visual.head": state["visual_projection.weight"].T.contiguous(),
    }
    layers = 1 + max(int(key.split(".")[3]) for key in state if ".layers." in key)
    for leaf in ("weight", "bias"):
        tensors[f"visual.pre_norm.{leaf}"] = of(f"pre_layrnorm.{leaf}")
        tensors[f"visual.post_norm.{leaf}"] = of(f"post_layernorm.{leaf}")
        for layer in range(layers):
            there, here = f"encoder.layers.{layer}", f"visual.transformer.{layer}"
            tensors[f"{here}.norm1.{leaf}"] = of(f"{there}.layer_norm1.{leaf}")
            tensors[f"{here}.norm2.{leaf}"] = of(f"{there}.layer_norm2.{leaf}")
            parts = [of(f"{there}.self_attn.{part}_proj.{leaf}") for part in "qkv"]
            tensors[f"{here}.attn.to_qkv.{leaf}"] = torch.cat(parts)
            tensors[f"{here}.attn.proj.{leaf}"] = of(f"{there}.self_attn.out_proj.{leaf}")
            tensors[f"{here}.mlp.0.{leaf}"] = of(f"{there}.mlp.fc1.{leaf}")
            tensors[f"{here}.mlp.2.{leaf}"] = of(f"{there}.mlp.fc2.{leaf}")
    return tensors
