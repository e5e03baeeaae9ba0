"""A tiny model folder that is laid out and named like the released one, with random weights."""

import json
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from ports.matrix_game2.checkpoint import dit_component
from ports.matrix_game2.config import MatrixGameConfig
from ports.matrix_game2.variants import UNIVERSAL, Variant
from ports.wan.autoencoders import taehv, wan_vae
from ports.wan.encoders import clip
from tests.checkpoints.torch_writer import save_torch
from tests.matrix_game2.worlds import SIZES
from tests.wan.released import random_tensors

CODER = wan_vae.VAEConfig(dim=4)
TOWER = clip.CLIPConfig(image_size=28, dim=80, heads=1, layers=2, mlp_dim=32, out_dim=8)
"""Its head is as wide as those of ViT-H/14, which no tensor tells."""
TAEHV = taehv.TAEHVConfig(encoder_width=4, decoder_widths=(8, 8, 4, 4))


def tiny_config(variant: Variant) -> MatrixGameConfig:
    """Return the configuration of the transformer in the folder."""
    return variant.configure(**{**SIZES, "image_dim": TOWER.dim})


def write_transformer(path: Path, variant: Variant = UNIVERSAL, **settings: Any) -> Path:
    """Write a variant's transformer in one float32 file, and a ``config.json`` beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    config = tiny_config(variant)
    save_file(random_tensors(dit_component(variant), config, 1), path)
    said = {"_class_name": "WanModel", "num_heads": config.heads, "dim": config.dim}
    (path.parent / "config.json").write_text(json.dumps(said | settings))
    return path


def write_folder(folder: Path, *variants: Variant) -> Path:
    """Write all that the released program reads."""
    for variant in variants or (UNIVERSAL,):
        write_transformer(folder / variant.checkpoint, variant)
    save_torch(folder / "Wan2.1_VAE.pth", random_tensors(wan_vae.COMPONENT, CODER, 2))
    name = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
    save_torch(folder / name, random_tensors(clip.COMPONENT, TOWER, 3))
    save_file(random_tensors(taehv.COMPONENT, TAEHV, 4), folder / "taew2_1.safetensors")
    return folder
