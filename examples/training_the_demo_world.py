"""Training a model for the memory: the demo world's trainer, on a tiny model for a few steps, and its use."""

import tempfile
from pathlib import Path

import jax

from ports.demo_world.backbone import DemoWorld
from ports.demo_world.model import DemoConfig
from ports.demo_world.training.train import TrainConfig, train
from worldkv_jax import cameras, rollout
from worldkv_jax import memory as wm

# %% A tiny model, to see the way; `worldkv train` without options trains the one that is shipped, in an hour or two.
# A step shows short unbroken walks, clean and noisy side by side, and every noisy chunk sees all that came before it:
# as released models are trained. What a memory brings back later is nothing that it was trained for.
model = DemoConfig(dim=24, heads=2, layers=1, ffn_dim=24, frequency_dim=8)
config = TrainConfig(steps=4, batch=2, chunks=3, worlds=4, report_every=2)
folder = Path(tempfile.mkdtemp())
train(config, model, folder)  # a second call goes on where the folder stops, bit for bit

# %% The curve: PSNR of places that are seen again, with the past in view and without it.
print((folder / "curve.csv").read_text())

# %% What was trained is opened like what is shipped.
backbone, params = DemoWorld.load(folder / "demo_world.safetensors")
inputs = rollout.chunk_inputs(cameras.trajectory("R60_L60", degrees_per_frame=10.0, hold_frames=3), backbone.spec)
world = rollout.start(backbone, params, wm.DEFAULT, chunks=len(inputs))
for chunk in rollout.stream(backbone, params, world, inputs, key=jax.random.key(0)):
    print(chunk.index, chunk.frames.shape, "recalls", chunk.retrieved[0].tolist())
