"""A model on several devices: heads split over one axis of a mesh, worlds over the other."""

import os

# Four simulated devices; leave this out where there are real ones.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")

import jax
from jax.sharding import AxisType

from worldkv_jax import open_model

# %% The weights are loaded straight onto the mesh; a world that starts there is split as well.
mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
options = open_model("demo-world", trajectory="R60_L60", worlds=2)
split = options.check().load(mesh)
for chunk in split.stream(split.start(), seed=0):
    print(chunk.index, "recalls", chunk.retrieved.tolist(), "latents on", len(chunk.latents.devices()), "devices")
