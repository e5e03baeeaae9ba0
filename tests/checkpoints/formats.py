"""A small model with three networks, for tests: stacked layers, unlike layers, convolutions, two namings."""

import dataclasses
import re
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from checkpoints.components import Component, ModelFormat
from checkpoints.key_tables import LINEAR, Row, conv, expected_tensors, patch, squeeze
from checkpoints.parameter_paths import flatten
from tests.checkpoints.torch_writer import save_torch


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiTConfig:
    dim: int = 6
    heads: int = 2
    layers: int = 3
    channels: int = 4


def _linear(key, path):
    return Row(f"{key}.weight", f"{path}/kernel", LINEAR), Row(f"{key}.bias", f"{path}/bias")


def _leaf(*shape):
    return jax.ShapeDtypeStruct(shape, "float32")


def _dit_params(config):
    d, n = config.dim, config.layers
    square = {"kernel": _leaf(n, d, d), "bias": _leaf(n, d)}
    return {
        "patch": {"kernel": _leaf(config.channels * 4, d), "bias": _leaf(d)},
        "blocks": {
            "modulation": _leaf(n, 6, d),
            "attn": {**{name: square for name in "qkvo"}, "norm": {"weight": _leaf(n, d)}},
        },
        "head": {0: {"kernel": _leaf(d, 8), "bias": _leaf(8)}, 1: {"scale": _leaf()}},
    }


def _configure_dit(shapes, settings):
    dim, channels = shapes["patch_embedding.weight"][:2]
    layers = sum(re.fullmatch(r"blocks\.\d+\.modulation", key) is not None for key in shapes)
    return DiTConfig(dim=dim, channels=channels, layers=layers, heads=settings.get("num_heads", 2))


DIT = Component(
    name="dit",
    files=("dit", "diffusion_pytorch_model*.safetensors"),
    tables={
        "original": (
            *(Row(f"patch_embedding.{a}", f"patch/{b}", t) for a, b, t in [("weight", "kernel", patch((1, 2, 2)))]),
            Row("patch_embedding.bias", "patch/bias"),
            Row("blocks.{layer}.modulation", "blocks/modulation", squeeze(leading=1)),
            *_linear("blocks.{layer}.self_attn.{part:q|k|v|o}", "blocks/attn/{part}"),
            Row("blocks.{layer}.self_attn.norm.weight", "blocks/attn/norm/weight"),
            *_linear("head.{index}", "head/{index}"),
            Row("head.{index}.scale", "head/{index}/scale"),
        ),
        "other": (
            Row("patch.proj.weight", "patch/kernel", LINEAR),
            Row("patch.proj.bias", "patch/bias"),
            Row("layers.{layer}.table", "blocks/modulation"),
            *_linear("layers.{layer}.attn.to_{part:q|k|v|o}", "blocks/attn/{part}"),
            Row("layers.{layer}.attn.norm.weight", "blocks/attn/norm/weight"),
            *_linear("out.{index}", "head/{index}"),
            Row("out.{index}.scale", "head/{index}/scale"),
        ),
    },
    configure=_configure_dit,
    abstract=_dit_params,
    from_json=lambda fields: DiTConfig(**fields),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAEConfig:
    dim: int = 4


VAE = Component(
    name="vae",
    files=("vae.pth", "*VAE*.safetensors"),
    tables={"original": (Row("conv.weight", "conv/kernel", conv(3)), Row("norm.gamma", "norm", squeeze(trailing=3)))},
    configure=lambda shapes, settings: VAEConfig(dim=shapes["norm.gamma"][0]),
    abstract=lambda config: {"conv": {"kernel": _leaf(3, 3, 3, 2, config.dim)}, "norm": _leaf(config.dim)},
)

CLIP = Component(
    name="clip",
    files=("clip.pth",),
    tables={"original": (Row("visual.head", "head"),)},
    configure=lambda shapes, settings: VAEConfig(dim=shapes["visual.head"][0]),
    abstract=lambda config: {"head": _leaf(config.dim, 5)},
    from_json=lambda fields: VAEConfig(**fields),
    unused=(r"textual\..*",),
    optional=True,
)

FORMAT = ModelFormat(name="tiny-world", components=(DIT, VAE, CLIP), known_files={})
OTHER = ModelFormat(
    name="other-world",
    components=(
        Component(
            name="net",
            files=("net.safetensors",),
            tables={"original": (Row("w.{layer}.a", "w"),)},
            configure=lambda shapes, settings: sum(key.startswith("w.") for key in shapes),
            abstract=lambda layers: {"w": _leaf(layers, 3)},
            to_json=lambda layers: {"layers": layers},
        ),
    ),
)


def draw(component, config, *, naming="original", dtype=ml_dtypes.bfloat16, seed=0):
    """Return random PyTorch tensors of a network by key; scaled so that casts must round."""
    rng = np.random.default_rng(seed)
    shapes = {path: leaf.shape for path, leaf in flatten(component.abstract(config)).items()}
    targets = expected_tensors(component.tables[naming], shapes)
    return {key: rng.standard_normal(target.shape).astype(dtype) for key, target in targets.items()}


def write_model(folder: Path, *, dtype=ml_dtypes.bfloat16, clip=True, **config) -> Path:
    """Write a model folder: a sharded transformer, a VAE and a CLIP as PyTorch files."""
    (folder / "dit").mkdir(parents=True)
    write_shards(folder / "dit", draw(DIT, DiTConfig(**config), dtype=dtype))
    (folder / "dit" / "config.json").write_text('{"num_heads": 2}')
    save_torch(folder / "vae.pth", draw(VAE, VAEConfig(), dtype=np.float32))
    if clip:
        text = {"textual.head": np.ones((2, 2), np.float32)}
        save_torch(folder / "clip.pth", draw(CLIP, VAEConfig(), dtype=np.float32) | text)
    return folder


def write_shards(folder: Path, tensors, shards=3):
    """Write tensors as numbered safetensors files with an index."""
    import json

    places, names = {}, list(tensors)
    for number in range(shards):
        file = f"diffusion_pytorch_model-{number + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[number::shards]}
        save_file(part, folder / file)
        places |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": sum(a.nbytes for a in tensors.values())}, "weight_map": places}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
