"""The transformer that Wan-style world models share, as checkpoints hold it: its key table, and its description."""

import dataclasses
from collections.abc import Callable
from typing import Any

from flax import nnx

from checkpoints.components import Component
from checkpoints.key_tables import LINEAR, Row, Transform, patch, squeeze
from ports.wan.nn.parameters import abstract_params
from ports.wan.nn.patches import PATCH
from ports.wan.nn.quantized import quantized_shapes


def layer(key: str, path: str, transform: Transform = LINEAR) -> tuple[Row, Row]:
    """Return the rows of a layer with kernel and bias."""
    return Row(f"{key}.weight", f"{path}/kernel", transform), Row(f"{key}.bias", f"{path}/bias")


def dit_rows(prefix: str = "") -> tuple[Row, ...]:
    """Return the rows of `WanDiT` with a prompt; ``prefix`` is what the checkpoint puts before every key."""
    block = f"{prefix}blocks.{{layer}}"
    attention = f"{block}.{{attn:self_attn|cross_attn}}"
    return (
        *layer(f"{prefix}patch_embedding", "patch_embedding", patch((1, PATCH, PATCH))),
        *layer(f"{prefix}text_embedding.0", "context_embedding/first"),
        *layer(f"{prefix}text_embedding.2", "context_embedding/second"),
        *layer(f"{prefix}time_embedding.0", "time_embedding/mlp/first"),
        *layer(f"{prefix}time_embedding.2", "time_embedding/mlp/second"),
        *layer(f"{prefix}time_projection.1", "time_embedding/project"),
        Row(f"{block}.modulation", "blocks/modulation", squeeze(leading=1)),
        *layer(f"{attention}.{{part:q|k|v|o}}", "blocks/{attn}/{part}"),
        Row(f"{attention}.{{norm:norm_q|norm_k}}.weight", "blocks/{attn}/{norm}/weight"),
        Row(f"{block}.norm3.{{part:weight|bias}}", "blocks/norm3/{part}"),
        *layer(f"{block}.ffn.0", "blocks/ffn/first"),
        *layer(f"{block}.ffn.2", "blocks/ffn/second"),
        Row(f"{prefix}head.modulation", "head/modulation", squeeze(leading=1)),
        # The head's features are ordered as `unpatchify` reads them, unlike those of the patch embedding.
        *layer(f"{prefix}head.head", "head/linear"),
    )


def transformer_component(
    network: type[nnx.Module],
    *,
    files: tuple[str, ...],
    rows: tuple[Row, ...],
    configure: Callable[..., Any],
    from_json: Callable[[dict], Any],
) -> Component:
    """Describe a transformer of this family as checkpoints hold it; the kernels of its blocks may be in eight bits."""
    return Component(
        name="dit",
        files=files,
        tables={"original": rows},
        configure=configure,
        abstract=lambda config: quantized_shapes(abstract_params(network, config), config.weights),
        from_json=from_json,
        in_eight_bits=lambda config, kind: dataclasses.replace(config, weights=kind),
    )
