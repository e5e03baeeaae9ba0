"""Similarity of keys to the anchor frame in jax.numpy: the specification, and the version XLA compiles."""

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

Kind = Literal["centroid", "per_key"]


class Partials(NamedTuple):
    """Sums over the heads at hand, in float32; `lax.psum` them over devices that hold other heads."""

    dot: Float32[Array, "*B T"]  # key times anchor
    key_sq: Float32[Array, "*B T"]  # squared norm of the key
    anchor_sq: Float32[Array, "*B"]  # squared norm of the anchor


def anchor_similarity(keys: Float[Array, "*B T N H"], anchor: Float[Array, "*B N H"]) -> Partials:
    """Sum ``keys * anchor`` and both squares over heads and head dim, in float32."""
    keys, anchor = keys.astype(jnp.float32), anchor.astype(jnp.float32)
    # Products and sums, not einsum: XLA then reads the keys once for both sums, and no matrix unit rounds to
    # TF32.
    return Partials(
        dot=jnp.sum(keys * anchor[..., None, :, :], axis=(-2, -1)),
        key_sq=squared_norm(keys),
        anchor_sq=squared_norm(anchor),
    )


def squared_norm(keys: Float[Array, "*B N H"]) -> Float32[Array, "*B"]:
    """Sum the squares of ``[..., N, H]`` over heads and head dim together, in float32: ``[...]``."""
    return jnp.sum(jnp.square(keys.astype(jnp.float32)), axis=(-2, -1))


def anchor_vector(
    anchor_keys: Float[Array, "*B S N H"],
    kind: Kind = "centroid",
    *,
    key_norms: Float[Array, "*B S"] | None = None,
    eps: float = 1e-8,
) -> Float32[Array, "*B N H"]:
    """Reduce the keys of the anchor frame ``[..., S, N, H]`` to one vector ``[..., N, H]``, float32.

    "centroid" is their mean (WorldKV released code). "per_key" is the mean of the keys divided by their
    norms, so that its product with a unit key is the mean cosine to every anchor key (WorldKV, World
    Compression). `key_norms` ``[..., S]`` are norms over all heads; a head-sharded run must give them, as
    ``sqrt(psum(squared_norm(anchor_keys)))``. Raises ValueError for another kind.
    """
    check_kind(kind)
    keys = anchor_keys.astype(jnp.float32)
    if kind == "per_key":
        norms = jnp.sqrt(squared_norm(keys)) if key_norms is None else key_norms.astype(jnp.float32)
        keys = keys / (norms + eps)[..., None, None]
    return jnp.mean(keys, axis=-3)


def cosine(partials: Partials, *, kind: Kind = "centroid", eps: float = 1e-8) -> Float32[Array, "*B T"]:
    """Finish summed `Partials` to the similarity ``[..., T]``, float32.

    "centroid" is ``dot / (|key| |anchor| + eps)`` (WorldKV released code). "per_key" is ``dot / (|key| +
    eps)``: the anchor vector is a mean of unit keys, whose length is part of the mean cosine. Raises
    ValueError for another kind.
    """
    check_kind(kind)
    norm = jnp.sqrt(partials.key_sq)
    if kind == "centroid":
        norm = norm * jnp.sqrt(partials.anchor_sq)[..., None]
    return partials.dot / (norm + eps)


def check_kind(kind: str) -> None:
    """Raise ValueError unless `kind` names an anchor vector."""
    if kind not in ("centroid", "per_key"):
        raise ValueError(f"kind={kind!r} is no anchor vector; use 'centroid' or 'per_key'")
