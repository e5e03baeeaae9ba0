"""What agents see: the last frame of a chunk, in whole numbers."""

import numpy as np

from worldkv_jax.extras import optional_imports
from worldkv_jax.sessions.session import Session
from worldkv_jax.sessions.world_state import decoded_shapes

with optional_imports():
    from gymnasium import spaces


def frame_space(session: Session) -> spaces.Box:
    """Describe one frame of a model: uint8 ``[height, width, 3]``.

    Raises:
        ValueError: a session that is not loaded, or that makes no frames.
    """
    if not session.decode:
        raise ValueError("the session makes no frames (decode=False), and an agent would see nothing")
    frames, _ = decoded_shapes(session.backbone, session.params, 1, None)
    return spaces.Box(0, 255, frames.shape[2:], np.uint8)


def as_pixels(frames: np.ndarray) -> np.ndarray:
    """Turn frames in [0, 1] into uint8."""
    return np.round(np.clip(frames, 0, 1) * 255).astype(np.uint8)
