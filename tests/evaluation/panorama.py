"""A world made of one panorama: frames and poses of a camera that turns, for tests of the evaluation."""

import numpy as np

from worldkv_jax.cameras import pose_from_angles

_WIDTH, _HEIGHT, _VIEW = 720, 24, 48  # two columns a degree; a view of 24 degrees


def world(yaws, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Frames ``[n, 24, 48, 3]`` and poses ``[n, 4, 4]`` at headings in whole degrees."""
    rng = np.random.default_rng(seed)
    texture = np.repeat(np.repeat(rng.random((_HEIGHT // 4, _WIDTH // 4, 3)), 4, axis=0), 4, axis=1)
    yaws = np.asarray(yaws)
    columns = (2 * yaws[:, None] + np.arange(_VIEW)) % _WIDTH
    frames = np.moveaxis(texture[:, columns], 0, 1).astype(np.float32)
    return frames, pose_from_angles(yaws.astype(float), 0.0, np.zeros((len(yaws), 3)))


def there_and_back(times: int = 1) -> np.ndarray:
    """Headings of a camera that turns 60 degrees away and comes back, some times."""
    way = np.arange(0, 61, 3)
    return np.concatenate([[0], *[np.concatenate([way[1:], way[-2::-1]]) for _ in range(times)]])
