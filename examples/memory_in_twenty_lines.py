"""The memory in twenty lines: what a model of your own does with it, chunk by chunk."""

import jax
import jax.numpy as jnp

from worldkv_jax import cameras
from worldkv_jax import memory as wm

# %% A memory for a model of two layers with 16 tokens a frame; it looks away for 60 degrees, and back.
spec = wm.KVSpec(layers=2, heads=4, head_dim=32, tokens_per_frame=16)
poses = jnp.asarray(cameras.trajectory("R60_L60", degrees_per_frame=5.0), jnp.float32)
chunks = len(poses) // spec.chunk_frames
memory = wm.WorldMemory.create(wm.DEFAULT, spec, chunks=chunks)
recall, remember = jax.jit(wm.recall), jax.jit(wm.remember, donate_argnums=0)

# %% One chunk after the other: recall what looks where the camera looks, generate, remember.
for chunk in range(chunks):
    camera = poses[None, 3 * chunk : 3 * chunk + 3]
    context, picks = recall(memory, camera)  # attend to the first context.length rows of context.span
    keys = jax.random.normal(jax.random.key(chunk), spec.shape(1, spec.chunk_tokens))  # your model's own
    memory = remember(memory, wm.KVSpan(keys, keys), camera)
    print(f"chunk {chunk}: attends to {int(context.length)} rows, recalls {picks.chunks[0, : int(picks.count)]}")
print(memory)
