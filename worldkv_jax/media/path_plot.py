"""A camera path from above: where the cameras stood, in which order, and where they looked."""

import numpy as np
from matplotlib.figure import Figure

from worldkv_jax.cameras import relative, validate_poses
from worldkv_jax.media.style import INK, styled

_ARROWS = 40  # more would hide the path


@styled
def path_figure(poses, *, title: str | None = None) -> Figure:
    """Draw a camera path from above, as its first camera sees the world: it stands at the origin and looks up the page.

    Args:
        poses: camera-to-world ``[n, 4, 4]``, OpenCV axes.
        title: headline.

    Returns:
        A figure of 7 x 7 inches for `save_figure`.

    Raises:
        ValueError: invalid poses.
    """
    poses = validate_poses(poses)
    seen = relative(poses[0], poses)
    figure = Figure(figsize=(7, 7), dpi=110, facecolor="white")
    axes = figure.add_subplot()
    x, z, frames = seen[:, 0, 3], seen[:, 2, 3], np.arange(len(seen))
    axes.plot(x, z, color=INK, linewidth=0.8, alpha=0.5, zorder=1)
    dots = axes.scatter(x, z, c=frames, s=12, cmap="viridis", zorder=2)
    shown = frames[:: max(1, len(frames) // _ARROWS)]
    axes.quiver(x[shown], z[shown], seen[shown, 0, 2], seen[shown, 2, 2], frames[shown], cmap="viridis", width=0.004,
                scale=14, zorder=3)  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.15)
    axes.set_xlabel("to the right of the first camera, scene units")
    axes.set_ylabel("ahead of the first camera, scene units")
    if len(frames) > 1:
        figure.colorbar(dots, ax=axes, label="frame", shrink=0.7)
    if title:
        axes.set_title(title, fontsize=10, wrap=True)
    return figure
