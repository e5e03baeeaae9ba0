"""What a chunk sends over links, in bytes and in words: between host and device, and from device to device."""

import jax.numpy as jnp

from worldkv_jax.memory import KVSpec
from worldkv_jax.sessions.devices import Device


def sent_bytes(spec: KVSpec, passes: int, *, worlds: int, chips: int, over: str) -> int:
    """Count what each of several chips sends to others for one chunk.

    Over ``heads`` each block sums three results over the chips, of all tokens: self-attention, cross-attention and
    feed-forward. Over ``tokens`` it exchanges queries, keys, values and what was attended, of a chip's own tokens.

    Args:
        spec: of the model.
        passes: of a chunk.
        worlds: in the batch.
        chips: that share it.
        over: ``heads`` or ``tokens``.
    """
    width = spec.heads * spec.head_dim * jnp.dtype(spec.dtype).itemsize
    others = (chips - 1) / chips * worlds * spec.chunk_tokens * width  # of activations, that lie on other chips
    return int(spec.layers * passes * others * (3 * 2 if over == "heads" else 4 / chips))


def describe_fetching(plan, device: Device) -> str:
    """Say what fetching weights takes of the link to the host, beside the arithmetic of a chunk."""
    link, arithmetic = plan.link_bytes / device.link_bytes, plan.chunk_flops / device.flops
    hidden = "behind which it hides" if link <= arithmetic else f"{link / arithmetic:.2f} times as long"
    return (
        f"waiting layers: {plan.fetched_bytes / 1e9:,.1f} GB of weights fetched a chunk; the link takes "
        f"{link / plan.chips:.3f} s for all that moves beside {arithmetic / plan.chips:.3f} s of arithmetic, {hidden}"
    )


def describe_splits(plans: dict, device: Device) -> str:
    """Say what splitting over heads and over tokens takes of each chip, and which pays.

    Args:
        plans: by ``heads`` and ``tokens``, of the same rollout with its bank in the same tier.
        device: several chips.
    """
    said = {
        over: f"over {over} {plan.total_bytes / 2**30:.1f} GiB a chip, {plan.sent_bytes / 1e9:.1f} GB sent by each in "
        f"{plan.sent_bytes / device.exchange_bytes:.3f} s"
        for over, plan in plans.items()
    }
    fitting = [over for over, plan in plans.items() if plan.fits(device.memory_bytes)]
    if not fitting:
        advice = "neither fits"
    else:
        best = min(fitting, key=lambda over: plans[over].sent_bytes)
        only = "it alone fits" if len(fitting) == 1 else "both fit, and it sends less"
        advice = f"split {best} (mesh axis {'model' if best == 'heads' else 'sequence'}): {only}"
    return f"{'; '.join(said.values())}: {advice}"
