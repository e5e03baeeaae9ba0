"""Key table of the transformer that Wan-style world models share."""

from checkpoints.key_tables import LINEAR, Row, Transform, patch, squeeze
from ports.wan.nn.patches import PATCH


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
