"""How much of each chunk the source will show, estimated on the host before anything is rendered."""

import numpy as np

from ports.inspatio_world.source.frames import latent_frames
from ports.inspatio_world.source.scene import Scene
from ports.inspatio_world.source.shot import Shot
from ports.wan.latents import CHUNK_FRAMES
from worldkv_jax.cameras import relative

_CELL, _STRIDE = 16, 4  # pixels: a cell counts as shown if one of the pixels that are looked at falls on it


def known_shares(scene: Scene, shot: Shot) -> np.ndarray:
    """Estimate the share of each chunk's frames that the source shows, ``[chunks]``."""
    shown = [_known_share(scene, shot, number) for number in shot.index[latent_frames(shot.latents)]]
    return np.array(shown).reshape(-1, CHUNK_FRAMES).mean(axis=1)


def _known_share(scene: Scene, shot: Shot, number: int) -> float:
    """Estimate it for one rendered frame."""
    height, width = scene.size
    cells = np.zeros((-(-height // _CELL), -(-width // _CELL)), bool)
    merged = scene.kind == "image" and shot.version == "v1.5"
    for view in range(len(scene)) if merged else (shot.source[number],):
        depth = scene.depth[view, ::_STRIDE, ::_STRIDE]
        rows, columns = np.indices(depth.shape) * _STRIDE
        fx, fy, cx, cy = scene.intrinsics[view]
        points = np.stack([(columns - cx) / fx, (rows - cy) / fy, np.ones(depth.shape)], axis=-1)[depth > 0]
        motion = relative(shot.targets[number], scene.poses[view])
        x, y, z = (points * depth[depth > 0][:, None] @ motion[:3, :3].T + motion[:3, 3]).T
        ahead = z > 1e-6
        fx, fy, cx, cy = scene.intrinsics[0]
        u, v = (fx * x[ahead] / z[ahead] + cx), (fy * y[ahead] / z[ahead] + cy)
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        cells[(v[inside] // _CELL).astype(int), (u[inside] // _CELL).astype(int)] = True
    return float(cells.mean())
