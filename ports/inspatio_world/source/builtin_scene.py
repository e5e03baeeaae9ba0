"""A scene that needs no file: a walk through a room of the demo world, with exact depth."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ports.demo_world.worlds import rooms
from ports.demo_world.worlds.pinhole import intrinsics
from ports.inspatio_world.source.scene import Scene
from ports.inspatio_world.source.trajectory import Trajectory
from worldkv_jax.cameras import pose_from_angles

SIZE = (96, 144)
"""Height and width in pixels."""
FRAMES = 121
NAME = "builtin"
PROMPT = "A room with coloured walls."

OUT_AND_BACK = Trajectory(pitch=(0.0, 0.0), yaw=(0.0, 15.0, 30.0, 35.0, 30.0, 15.0, 0.0), displacement=(0.5, 0.5))
"""A path that turns away, around a point half a room ahead, and comes back."""


def builtin_scene(seed: int = 3, *, frames: int = FRAMES, size: tuple[int, int] = SIZE) -> Scene:
    """Film a room while walking a little.

    Args:
        seed: of the room.
        frames: of the video.
        size: height and width in pixels; the field of view stays.
    """
    room = jax.tree.map(lambda a: jnp.asarray(a[0]), rooms.make_rooms(seed, 1))
    poses = source_poses(frames)
    images, depth = photograph(room, poses, size)
    return Scene(frames=images, depth=depth, intrinsics=lens(size), poses=poses, prompt=PROMPT, fps=24.0)


def source_poses(frames: int) -> np.ndarray:
    """Return the walk, camera-to-world ``[n, 4, 4]``: a small step to the side and back, which begins at rest."""
    time = np.linspace(0, np.pi, frames)
    side = 0.08 * np.sin(time)
    place = np.stack([side, np.zeros(frames), np.full(frames, -0.4)], axis=-1)
    return pose_from_angles(4 * np.sin(time), 0.0, place)


def photograph(room: rooms.Room, poses: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Render images, uint8 ``[n, h, w, 3]``, and exact depth, float32 ``[n, h, w]``."""
    images, depth = _photograph(room, jnp.asarray(poses, jnp.float32), size)
    return np.asarray(images), np.asarray(depth)


@functools.partial(jax.jit, static_argnames="size")
def _photograph(room: rooms.Room, poses: jax.Array, size: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    """Render frame by frame: the rays of a whole video would take gigabytes."""

    def shoot(pose):
        image, depth = rooms.render_with_depth(room, pose[None], size=size)
        return jnp.rint(image[0] * 255).astype(jnp.uint8), depth[0]

    return jax.lax.map(shoot, poses)


def lens(size: tuple[int, int]) -> np.ndarray:
    """Return fx, fy, cx, cy in pixels of a photograph; pixel centres are whole numbers here, halves in the rooms."""
    scale = np.array([size[1] / rooms.WIDTH, size[0] / rooms.HEIGHT])
    return intrinsics(rooms.HEIGHT, rooms.WIDTH) * np.tile(scale, 2) - (0, 0, 0.5, 0.5)
