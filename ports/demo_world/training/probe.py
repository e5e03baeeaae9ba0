"""Whether memory has emerged yet: revisit error on worlds that are never trained on."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ports.demo_world.codec import Codec
from ports.demo_world.model import DemoConfig, ray_features
from ports.demo_world.training.objective import CHUNK_TOKENS, predict_flow
from ports.demo_world.training.training_data import VALIDATION_SEED, Batch
from ports.demo_world.worlds.families import Family
from ports.demo_world.worlds.sizes import CELLS, CHUNK_FRAMES
from ports.wan.nn.chunk_attention import ChunkMask
from ports.wan.nn.patches import patchify, unpatchify


class Probe(NamedTuple):
    """Walks whose last chunk looks again exactly where chunk 2, 3 or 4 looked."""

    batch: Batch
    noise: jax.Array  # [B, S, c]
    truth: jax.Array  # [B, 3, H, W, 3] what the last chunk should show


def make_probe(codec: Codec, family: Family, *, chunks: int, size: int = 32) -> Probe:
    """Draw the probe's walks, always the same ones."""
    worlds = jax.tree.map(jnp.asarray, family.make(VALIDATION_SEED, size))
    keys = jax.random.split(jax.random.key(VALIDATION_SEED), size)
    return _make_probe(keys, worlds, codec, family, chunks)


def revisit_psnr(config: DemoConfig, params: dict, codec: Codec, probe: Probe) -> dict[str, float]:
    """Return the PSNR in dB of one denoising step with the whole past, the last chunk only, and no past."""
    full = probe.batch.visible.seen
    assert full is not None, "a probe hides chunks"
    chunks = full.shape[1]
    window = full.at[:, -1, : chunks - 2].set(False)
    nothing = window.at[:, -1, chunks - 2].set(False)
    visible = {name: ChunkMask.causal(s) for name, s in (("full", full), ("window", window), ("none", nothing))}
    return {name: float(_psnr(params, codec, probe, mask, config=config)) for name, mask in visible.items()}


@functools.partial(jax.jit, static_argnames=("family", "chunks"))
def _make_probe(keys, worlds, codec: Codec, family: Family, chunks: int) -> Probe:
    size = keys.shape[0]
    poses = jax.vmap(lambda k, world: family.walk(k, world, chunks, jumps=True))(keys, worlds)
    back = 2 + jnp.arange(size) % 3
    again = jax.vmap(lambda p, b: jax.lax.dynamic_slice_in_dim(p, b * CHUNK_FRAMES, CHUNK_FRAMES))(poses, back)
    poses = poses.at[:, -CHUNK_FRAMES:].set(again)
    frames = jax.vmap(family.render)(worlds, poses)
    order = jnp.arange(chunks)
    batch = Batch(
        patchify(codec.encode(frames)),
        jax.vmap(ray_features)(poses[:, 0], poses),
        jnp.broadcast_to(jnp.arange(chunks * CHUNK_FRAMES), (size, chunks * CHUNK_FRAMES)),
        jnp.broadcast_to((order == chunks - 1).astype(jnp.float32), (size, chunks)),
        ChunkMask.causal(jnp.broadcast_to(order[None] <= order[:, None], (size, chunks, chunks))),
    )
    noise = jax.random.normal(jax.random.key(3), batch.latents.shape)
    return Probe(batch, noise, frames[:, -CHUNK_FRAMES:])


@functools.partial(jax.jit, static_argnames="config")
def _psnr(params, codec: Codec, probe: Probe, visible, *, config: DemoConfig):
    sigma = jnp.repeat(probe.batch.t, CHUNK_TOKENS, axis=1)[..., None]
    tokens = jnp.where(sigma > 0, probe.noise, probe.batch.latents)
    flow = predict_flow(config, params, probe.batch._replace(visible=visible), tokens)
    clean = unpatchify((tokens - sigma * flow)[:, -CHUNK_TOKENS:], *CELLS)
    error = jnp.mean(jnp.square(codec.decode(clean) - probe.truth), axis=(1, 2, 3, 4))
    return -10 * jnp.mean(jnp.log10(error))
