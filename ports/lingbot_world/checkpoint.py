"""The released files of LingBot-World-Fast: where they lie and which tensor becomes which parameter."""

import re
from collections.abc import Mapping
from typing import Any

from checkpoints.components import ModelFormat, Shapes
from checkpoints.key_tables import patch_linear
from ports.lingbot_world.config import MAPS, Control, LingBotConfig
from ports.lingbot_world.model import LingBotDiT
from ports.wan.autoencoders import taehv, wan_vae
from ports.wan.dit_keys import dit_rows, layer, transformer_component
from ports.wan.encoders import umt5
from ports.wan.latents import CELL
from ports.wan.nn.patches import PATCH

ORIGINAL = (
    *dit_rows(),
    *layer("patch_embedding_wancamctrl", "camera_embedding", patch_linear((PATCH, PATCH))),
    *layer("c2ws_hidden_states_layer1", "camera_mlp/first"),
    *layer("c2ws_hidden_states_layer2", "camera_mlp/second"),
    *layer("blocks.{layer}.cam_injector_layer1", "blocks/camera/injector/first"),
    *layer("blocks.{layer}.cam_injector_layer2", "blocks/camera/injector/second"),
    *layer("blocks.{layer}.cam_{part:scale|shift}_layer", "blocks/camera/{part}"),
)
"""Key table of the transformer, 1,421 tensors at full size (LingBot-World specification, section 2)."""


def configure(shapes: Shapes, settings: Mapping[str, Any]) -> LingBotConfig:
    """Make the configuration from the shapes of the tensors and from ``config.json``.

    Raises:
        KeyError: a tensor that decides a size is missing.
        ValueError: tensors of another model, or settings that say something else than they do.
    """
    dim, channels = shapes["patch_embedding.weight"][:2]
    camera = shapes["patch_embedding_wancamctrl.weight"][1]
    found: dict[int, Control] = {maps * CELL**2 * PATCH**2: control for control, maps in MAPS.items()}
    if camera not in found:
        raise ValueError(
            f"patch_embedding_wancamctrl takes {camera} features; LingBot-World-Fast takes "
            f"{' or '.join(f'{size} (control {name!r})' for size, name in found.items())}"
        )
    config = LingBotConfig(
        dim=dim,
        ffn_dim=shapes["blocks.0.ffn.0.weight"][0],
        heads=settings.get("num_heads", max(1, dim // 128)),
        layers=sum(re.fullmatch(r"blocks\.\d+\.modulation", key) is not None for key in shapes),
        in_channels=channels,
        out_channels=shapes["head.head.weight"][0] // PATCH**2,
        frequency_dim=shapes["time_embedding.0.weight"][1],
        text_dim=shapes["text_embedding.0.weight"][1],
        control=found[camera],
        text_rows=settings.get("text_len", LingBotConfig.text_rows),
        sink_frames=settings.get("sink_size", LingBotConfig.sink_frames),
    )
    said = {
        "dim": config.dim,
        "ffn_dim": config.ffn_dim,
        "num_layers": config.layers,
        "in_dim": config.in_channels,
        "out_dim": config.out_channels,
        "freq_dim": config.frequency_dim,
        "model_type": "i2v",
        "eps": 1e-6,
    }
    wrong = [
        f"{name} is {settings[name]!r}, not {has!r}" for name, has in said.items() if settings.get(name, has) != has
    ]
    if wrong:
        raise ValueError(f"config.json is of another model than the tensors: {'; '.join(wrong)}")
    return config


DIT = transformer_component(
    LingBotDiT,
    files=("lingbot_world_fast", "transformer", "diffusion_pytorch_model*.safetensors"),
    rows=ORIGINAL,
    configure=configure,
    from_json=lambda settings: LingBotConfig(**settings),
)

FORMAT = ModelFormat(name="lingbot-world-fast", components=(DIT, wan_vae.COMPONENT, umt5.COMPONENT, taehv.COMPONENT))
