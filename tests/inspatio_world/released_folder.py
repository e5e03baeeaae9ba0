"""A tiny model folder that is laid out and named like the released one, with random weights."""

import json
from pathlib import Path

import ml_dtypes
from safetensors.numpy import save_file

from ports.inspatio_world.checkpoint import DIT, WAN_FOLDER
from ports.inspatio_world.config import TINY
from ports.wan.autoencoders import wan_vae
from ports.wan.encoders import umt5
from tests.checkpoints.torch_writer import save_torch
from tests.lingbot_world.released_folder import CODER, ENCODER, TOKENIZER
from tests.wan.released import random_tensors


def write_folder(folder: Path) -> Path:
    """Write all that the released program reads: the transformer in float32, Wan 2.1 in a folder of its own."""
    wan = folder / WAN_FOLDER
    (wan / "google/umt5-xxl").mkdir(parents=True)
    save_file(random_tensors(DIT, TINY, 1), folder / "InSpatio-World-1.3B.safetensors")
    (folder / "config.json").write_text(json.dumps({"num_heads": TINY.heads, "text_len": TINY.text_rows}))
    save_torch(wan / "Wan2.1_VAE.pth", random_tensors(wan_vae.COMPONENT, CODER, 2))
    text = {k: t.astype(ml_dtypes.bfloat16) for k, t in random_tensors(umt5.COMPONENT, ENCODER, 3).items()}
    save_torch(wan / "models_t5_umt5-xxl-enc-bf16.pth", text)
    (wan / "google/umt5-xxl/tokenizer.json").write_bytes(TOKENIZER.read_bytes())
    return folder
