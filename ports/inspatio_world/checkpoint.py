"""The released files of InSpatio-World: where they lie and which tensor becomes which parameter."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from checkpoints.components import Component, ModelFormat, Shapes
from ports.inspatio_world.config import InSpatioConfig
from ports.wan.autoencoders import taehv, wan_vae
from ports.wan.dit_keys import dit_rows, transformer_component
from ports.wan.encoders import umt5
from ports.wan.nn.dit import WanDiT
from ports.wan.nn.patches import PATCH

_HEAD_DIM = 128
_FIXED = {"model_type": "t2v", "qk_norm": True, "cross_attn_norm": True, "eps": 1e-6}


def configure(shapes: Shapes, settings: Mapping[str, Any]) -> InSpatioConfig:
    """Make the configuration from the shapes of the tensors and from ``config.json``.

    The released ``config.json`` is that of Wan2.1-T2V-1.3B: its ``in_dim`` does not count mask and render.

    Raises:
        KeyError: a tensor that decides a size is missing.
        ValueError: settings that say something else than the tensors do.
    """
    dim, channels = shapes["model.patch_embedding.weight"][:2]
    config = InSpatioConfig(
        dim=dim,
        ffn_dim=shapes["model.blocks.0.ffn.0.weight"][0],
        heads=settings.get("num_heads", max(1, dim // _HEAD_DIM)),
        layers=sum(re.fullmatch(r"model\.blocks\.\d+\.modulation", key) is not None for key in shapes),
        in_channels=channels,
        out_channels=shapes["model.head.head.weight"][0] // PATCH**2,
        frequency_dim=shapes["model.time_embedding.0.weight"][1],
        text_dim=shapes["model.text_embedding.0.weight"][1],
        text_rows=settings.get("text_len", InSpatioConfig.text_rows),
    )
    found = {
        "dim": config.dim,
        "ffn_dim": config.ffn_dim,
        "num_layers": config.layers,
        "out_dim": config.out_channels,
        "freq_dim": config.frequency_dim,
        **_FIXED,
    }
    wrong = [
        f"{name} is {settings[name]!r}, expected {value!r}"
        for name, value in found.items()
        if settings.get(name, value) != value
    ]
    if wrong:
        raise ValueError(f"config.json is not that of InSpatio-World: {'; '.join(wrong)}")
    return config


def _beside(component: Component) -> Component:
    """Look for a network of Wan 2.1 also where the released download script puts it: in a folder of its own."""
    return dataclasses.replace(
        component, files=(*component.files, *(f"{WAN_FOLDER}/{file}" for file in component.files))
    )


WAN_FOLDER = "Wan2.1-T2V-1.3B"
"""Folder of VAE and text encoder beside that of the transformer."""

DIT = transformer_component(
    WanDiT,
    # One pattern for v1 and v1.5: a folder with both is told, not chosen from.
    files=("InSpatio-World-*.safetensors", "InSpatio-World-*/InSpatio-World-*.safetensors"),
    rows=dit_rows("model."),
    configure=configure,
    from_json=lambda settings: InSpatioConfig(**settings),
)
VAE, UMT5, TAEHV = map(_beside, (wan_vae.COMPONENT, umt5.COMPONENT, taehv.COMPONENT))

FORMAT = ModelFormat(name="inspatio-world", components=(DIT, VAE, UMT5, TAEHV))


def tokenizer_folder(ckpt: str | Path) -> Path:
    """Return the folder in which the tokenizer of a released model folder lies."""
    nested = Path(ckpt) / WAN_FOLDER
    return nested if nested.is_dir() else Path(ckpt)
