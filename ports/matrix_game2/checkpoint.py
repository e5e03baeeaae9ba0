"""The released files of Matrix-Game 2.0: where they lie and which tensor becomes which parameter."""

import functools
import re
from collections.abc import Mapping
from typing import Any

from checkpoints.components import Component, ModelFormat, Shapes
from checkpoints.key_tables import LINEAR, Row
from ports.matrix_game2.config import MatrixGameConfig
from ports.matrix_game2.model import MatrixGameDiT
from ports.matrix_game2.variants import VARIANTS, Variant, variant_of
from ports.wan.autoencoders import taehv, wan_vae
from ports.wan.dit_keys import dit_rows, layer, transformer_component
from ports.wan.encoders import clip
from ports.wan.nn.patches import PATCH

PREFIX = "model."
"""What the released files put before every key."""


def linear(key: str, path: str) -> Row:
    """Return the row of a linear map without bias."""
    return Row(f"{key}.weight", f"{path}/kernel", LINEAR)


def norm(key: str, path: str) -> Row:
    """Return the row of a layer norm."""
    return Row(f"{key}.{{leaf:weight|bias}}", f"{path}/{{leaf}}")


ACTION = f"{PREFIX}blocks.{{layer}}.action_model"
MOUSE, KEYBOARD = "actions/mouse", "actions/keyboard"
ORIGINAL = (
    *dit_rows(PREFIX),
    norm(f"{PREFIX}img_emb.proj.0", "context_embedding/norm_in"),
    *layer(f"{PREFIX}img_emb.proj.1", "context_embedding/mlp/first"),
    *layer(f"{PREFIX}img_emb.proj.3", "context_embedding/mlp/second"),
    norm(f"{PREFIX}img_emb.proj.4", "context_embedding/norm_out"),
    *layer(f"{ACTION}.mouse_mlp.0", f"{MOUSE}/mlp/first"),
    *layer(f"{ACTION}.mouse_mlp.2", f"{MOUSE}/mlp/second"),
    norm(f"{ACTION}.mouse_mlp.3", f"{MOUSE}/norm"),
    linear(f"{ACTION}.t_qkv", f"{MOUSE}/qkv"),
    linear(f"{ACTION}.proj_mouse", f"{MOUSE}/o"),
    Row(f"{ACTION}.img_attn_{{part:q|k}}_norm.weight", f"{MOUSE}/unused_norms/{{part}}"),
    *layer(f"{ACTION}.keyboard_embed.0", f"{KEYBOARD}/embed/first"),
    *layer(f"{ACTION}.keyboard_embed.2", f"{KEYBOARD}/embed/second"),
    linear(f"{ACTION}.keyboard_attn_kv", f"{KEYBOARD}/kv"),
    linear(f"{ACTION}.mouse_attn_q", f"{KEYBOARD}/q"),  # its name misleads: the keyboard branch asks with it
    linear(f"{ACTION}.proj_keyboard", f"{KEYBOARD}/o"),
    Row(f"{ACTION}.key_attn_{{part:q|k}}_norm.weight", f"{KEYBOARD}/unused_norms/{{part}}"),
)
"""Key table of the transformer, 1,114 tensors at full size, 964 without a mouse."""


def configure(shapes: Shapes, settings: Mapping[str, Any], *, variant: Variant | None = None) -> MatrixGameConfig:
    """Make the configuration from the shapes of the tensors and from ``config.json``.

    Args:
        shapes: of the tensors, by key.
        settings: what ``config.json`` says. The one beside the released weights may say less than is needed.
        variant: what the tensors should be; any variant by default.

    Raises:
        KeyError: a tensor that decides a size is missing.
        ValueError: tensors of another variant or of no distilled model.
    """

    def count(pattern: str) -> int:
        return sum(re.fullmatch(re.escape(PREFIX) + pattern, key) is not None for key in shapes)

    def shape(key: str) -> tuple[int, ...]:
        return shapes[PREFIX + key]

    dim, channels = shape("patch_embedding.weight")[:2]
    keyboard_dim, columns = shape("blocks.0.action_model.keyboard_embed.0.weight")
    head_dim = shape("blocks.0.action_model.key_attn_q_norm.weight")[0]
    mouse = count(r"blocks\.0\.action_model\.t_qkv\.weight") > 0
    layers, action_layers = count(r"blocks\.\d+\.modulation"), count(r"blocks\.\d+\.action_model\.mouse_attn_q\.weight")
    _check_variant(columns, mouse, variant)
    return MatrixGameConfig(
        dim=dim,
        ffn_dim=shape("blocks.0.ffn.0.weight")[0],
        heads=settings.get("num_heads", max(1, dim // 128)),
        layers=layers,
        in_channels=channels,
        out_channels=shape("head.head.weight")[0] // PATCH**2,
        frequency_dim=shape("time_embedding.0.weight")[1],
        image_dim=shape("img_emb.proj.0.weight")[0],
        keyboard_columns=columns,
        mouse=mouse,
        keyboard_dim=keyboard_dim,
        action_layers=action_layers,
        action_heads=shape("blocks.0.action_model.mouse_attn_q.weight")[0] // head_dim,
        action_head_dim=head_dim,
        window_frames=_window(settings, variant_of(columns, mouse), distilled=action_layers < layers),
    )


def _check_variant(columns: int, mouse: bool, variant: Variant | None) -> None:
    """Name the variant that tensors belong to where another one is expected."""
    found = variant_of(columns, mouse)
    if variant is None or variant == found:
        return
    what = f"those of variant {found.name!r}" if found else "no released variant's"
    raise ValueError(
        f"the tensors take {_inputs(columns, mouse)}, {what}, but variant {variant.name!r} takes "
        f"{_inputs(len(variant.columns), variant.mouse)}"
        + (f"; choose variant {found.name!r}, or give {variant.checkpoint}" if found else "")
    )


def _window(settings: Mapping[str, Any], variant: Variant | None, *, distilled: bool) -> int:
    """Return how many latent frames attention reaches; no tensor tells."""
    said = settings.get("local_attn_size")
    if (said is None and not distilled) or said == -1:
        released = ", ".join(variant.checkpoint for variant in VARIANTS.values())
        raise ValueError(
            "this is the foundation model, which does not generate chunk by chunk; give one of the distilled "
            f"variants: {released}"
        )
    if said is None:
        if variant is not None:
            return variant.window_frames
        raise ValueError(
            "the tensors are those of no released variant; say how many latent frames attention reaches with "
            '"local_attn_size" in config.json'
        )
    return said


def _inputs(columns: int, mouse: bool) -> str:
    return f"{columns} keys and {'a' if mouse else 'no'} mouse"


def _from_json(fields: dict, *, variant: Variant) -> MatrixGameConfig:
    """Read the configuration of a converted checkpoint."""
    config = MatrixGameConfig(**fields)
    _check_variant(config.keyboard_columns, config.mouse, variant)
    return config


def dit_component(variant: Variant) -> Component:
    """Return the transformer of a variant, as a checkpoint holds it."""
    folder, file = variant.checkpoint.split("/")
    return transformer_component(
        MatrixGameDiT,
        files=(variant.checkpoint, file, folder),
        rows=ORIGINAL,
        configure=functools.partial(configure, variant=variant),
        from_json=functools.partial(_from_json, variant=variant),
    )


KNOWN_FILES = {
    "55133515cf15a1ddc3d49e1f1102d79d536a1fca5459fdb2498b82a9d1b7a7e7": "Matrix-Game 2.0, universal",
    "5472e1035b20bd58afc287791e2c715bf962dfc2fb48ab3b71dfd012fe2cb65f": "Matrix-Game 2.0, gta_drive",
    "a1dbe951e143fb86babf119da1ac29791f597b903e649537a3f8d348f631a245": "Matrix-Game 2.0, templerun",
    "38071ab59bd94681c686fa51d75a1968f64e470262043be31f7a094e442fd981": "Wan 2.1 VAE",
    "628c9998b613391f193eb67ff68da9667d75f492911e4eb3decf23460a158c38": "CLIP ViT-H/14 with XLM-RoBERTa",
}
"""Published files by SHA-256, as others report them."""


def model_format(variant: Variant) -> ModelFormat:
    """Return what the released folder holds of a variant."""
    return ModelFormat(
        name=f"matrix-game-2-{variant.name.replace('_', '-')}",
        components=(dit_component(variant), wan_vae.COMPONENT, clip.COMPONENT, taehv.COMPONENT),
        known_files=KNOWN_FILES,
    )


UNIVERSAL_FORMAT, GTA_DRIVE_FORMAT, TEMPLERUN_FORMAT = map(model_format, VARIANTS.values())
FORMATS: dict[str, ModelFormat] = dict(zip(VARIANTS, (UNIVERSAL_FORMAT, GTA_DRIVE_FORMAT, TEMPLERUN_FORMAT)))
"""By variant."""
