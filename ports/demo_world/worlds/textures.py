"""What rooms are painted with: colours, blur and pictures, on the host."""

import numpy as np


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """Convert one colour from HSV to RGB, all in [0, 1]."""
    k = (np.array([5.0, 3.0, 1.0]) + 6 * hue) % 6
    return value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)


def draw_hues(rng: np.random.Generator) -> np.ndarray:
    """Draw the hues of a room's four walls, which differ."""
    return (rng.random() + np.arange(4) / 4 + rng.uniform(-0.1, 0.1, 4)) % 1


def draw_surfaces(rng: np.random.Generator) -> list[np.ndarray]:
    """Draw the two colours of a room's floor, and its ceiling's."""
    ranges = [(0.45, 0.25, 0.6), (0.3, 0.5, 0.85), (0.2, 0.6, 1.0)]  # saturation, darkest and brightest
    return [hsv(rng.random(), saturation, rng.uniform(low, high)) for saturation, low, high in ranges]


def blur(image: np.ndarray, passes: int) -> np.ndarray:
    """Blur with a 1-2-1 kernel, wrapping around the room and clamped at floor and ceiling."""
    for _ in range(passes):
        image = (np.roll(image, 1, 1) + 2 * image + np.roll(image, -1, 1)) / 4
        padded = np.pad(image, ((1, 1), (0, 0), (0, 0)), mode="edge")
        image = (padded[:-2] + 2 * image + padded[2:]) / 4
    return image


def paint_wall(rng: np.random.Generator, hue: float, rows: int, cols: int) -> np.ndarray:
    """Paint one wall ``[rows, cols, 3]`` in [0, 1]: a plain colour, a skirting board and a framed picture or two."""
    y, x = np.mgrid[0:rows, 0:cols]
    wall = np.tile(hsv(hue, rng.uniform(0.25, 0.6), rng.uniform(0.45, 0.9)), (rows, cols, 1))
    wall[y > 0.92 * rows] *= 0.55
    half = cols // 2
    for left in rng.permutation([0, half])[: rng.integers(1, 3)]:
        middle = np.array([rng.uniform(0.36, 0.6) * rows, left + rng.uniform(0.42, 0.58) * half])
        radius = rng.uniform(0.2, 0.3) * rows
        u, v = (x - middle[1]) / radius, (y - middle[0]) / radius
        frame = np.maximum(np.abs(u), np.abs(v))
        ground, figure = rng.random(), rng.uniform(0.3, 0.7)
        wall[frame < 1.3] = hsv(rng.random(), 0.5, 0.4)
        wall[frame < 1.12] = hsv(ground, 0.25, 0.85)
        wall[PICTURES[rng.choice(list(PICTURES))](u, v) & (frame < 1.12)] = hsv(ground + figure, 0.75, 0.65)
    return blur(wall, 4)


PICTURES = {
    "disc": lambda u, v: u**2 + v**2 < 0.7,
    "ring": lambda u, v: np.abs(u**2 + v**2 - 0.55) < 0.3,
    "cross": lambda u, v: (np.minimum(np.abs(u), np.abs(v)) < 0.25) & (np.maximum(np.abs(u), np.abs(v)) < 0.9),
    "triangle": lambda u, v: (v < 0.8) & (2 * np.abs(u) < v + 0.9),
    "house": lambda u, v: ((np.abs(u) < 0.6) & (v > 0) & (v < 0.85)) | ((v <= 0) & (np.abs(u) < v + 0.9)),
    "tree": lambda u, v: (u**2 + (v + 0.3) ** 2 < 0.35) | ((np.abs(u) < 0.15) & (v > -0.3) & (v < 0.9)),
    "moon": lambda u, v: (u**2 + v**2 < 0.75) & ((u - 0.4) ** 2 + (v + 0.1) ** 2 > 0.5),
    "checks": lambda u, v: (np.floor(2 * u) + np.floor(2 * v)) % 2 == 0,
}
"""What hangs on the walls, as a shape in [-1, 1] right and down."""
