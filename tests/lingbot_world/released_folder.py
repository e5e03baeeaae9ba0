"""A tiny model folder that is laid out and named like the released one, with random weights."""

import json
from pathlib import Path

import ml_dtypes
from safetensors.numpy import save_file

from ports.lingbot_world.checkpoint import DIT
from ports.lingbot_world.config import TINY, LingBotConfig
from ports.wan.autoencoders import wan_vae
from ports.wan.encoders import umt5
from tests.checkpoints.torch_writer import save_torch
from tests.wan.released import random_tensors

CODER = wan_vae.VAEConfig(dim=4)
ENCODER = umt5.UMT5Config(vocabulary=400, dim=TINY.text_dim, attention_dim=16, ffn_dim=32, heads=2, layers=1)
TOKENIZER = Path(__file__).parents[1] / "goldens/wan_parts/tiny_tokenizer/tokenizer.json"


def write_transformer(folder: Path, config: LingBotConfig = TINY, *, shards: int = 2, **settings) -> None:
    """Write a transformer as diffusers does: shards in bfloat16, their index and a ``config.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: t.astype(ml_dtypes.bfloat16) for k, t in random_tensors(DIT, config, 1).items()}
    names = [f"diffusion_pytorch_model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
    places = {key: names[i * shards // len(tensors)] for i, key in enumerate(tensors)}
    for name in names:
        save_file({key: tensors[key] for key in tensors if places[key] == name}, folder / name)
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": places}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    said = {"_class_name": "WanModelFast", "num_heads": config.heads, "text_len": config.text_rows, "dim": config.dim}
    (folder / "config.json").write_text(json.dumps(said | settings))


def write_folder(folder: Path, config: LingBotConfig = TINY) -> Path:
    """Write all that the released program reads."""
    write_transformer(folder / "lingbot_world_fast", config)
    save_torch(folder / "Wan2.1_VAE.pth", random_tensors(wan_vae.COMPONENT, CODER, 2))
    text = {k: t.astype(ml_dtypes.bfloat16) for k, t in random_tensors(umt5.COMPONENT, ENCODER, 3).items()}
    save_torch(folder / "models_t5_umt5-xxl-enc-bf16.pth", text)
    place = folder / "google/umt5-xxl"
    place.mkdir(parents=True)
    (place / "tokenizer.json").write_bytes(TOKENIZER.read_bytes())
    return folder
