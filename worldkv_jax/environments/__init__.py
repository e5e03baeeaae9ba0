"""Environments of gymnasium over opened models: one world, or a batch of worlds that end one by one (extra `gym`)."""

from worldkv_jax.environments.control import CameraControl, ChoiceControl, Control
from worldkv_jax.environments.vector import WorldVectorEnv
from worldkv_jax.environments.world import WorldEnv

__all__ = ["CameraControl", "ChoiceControl", "Control", "WorldEnv", "WorldVectorEnv"]
