"""What is to be filmed: which frame of the source stands for which frame of the result, and from where."""

import dataclasses

import numpy as np

from ports.inspatio_world.config import Version
from ports.inspatio_world.source.cameras import target_poses
from ports.inspatio_world.source.frames import adapt, freeze, whole_chunks
from ports.inspatio_world.source.scene import Scene
from ports.inspatio_world.source.trajectory import Fit, Trajectory, relative_poses
from ports.wan.latents import latents_of

_NEAR, _FAR = 1e-3, 2.0  # motion, in median depths, outside of which units are in doubt


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Shot:
    """A video to be made of a scene."""

    version: Version
    source: np.ndarray
    """Frame of the source for every frame that is rendered, int ``[m]``; for images of one moment all zero."""
    targets: np.ndarray
    """Cameras that are rendered, camera-to-world ``[m, 4, 4]``."""
    index: np.ndarray
    """Rendered frame that each frame of the result shows, int ``[t]``; whole chunks."""
    frames: int
    """Frames of the result that count."""
    notes: tuple[str, ...] = ()
    """What was cut or padded, to be said aloud."""

    @property
    def latents(self) -> int:
        """Latent frames of the result."""
        return latents_of(len(self.index))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filming:
    """How v1 makes a shot of a trajectory."""

    follow: bool = False
    """The path starts from the source's camera of every frame instead of from the first."""
    rotation_only: bool = False
    """Turn on the spot."""
    freeze_repeat: int = 0
    """How many more times one frame is shown."""
    freeze_frame: int | None = None
    """Which; the middle one by default."""
    adaptive: bool = True
    """Go back and forth in a source that is short for its path, and thin one that is long."""
    fit: Fit = "smooth"
    """See `Trajectory.sample`."""
    released: bool = False
    """Multiply poses as the released code does, see `target_poses`."""


def plan_trajectory(scene: Scene, trajectory: Trajectory, filming: Filming, *, limit: int | None = None) -> Shot:
    """Film a video along a trajectory (v1): frame i of the source is seen from camera i.

    Args:
        scene: the source.
        trajectory: spread over the whole source.
        filming: how.
        limit: frames of the result at most.

    Raises:
        ValueError: images instead of a video, or too few frames for a chunk.
    """
    if scene.kind == "image" and len(scene) > 1:
        raise ValueError(f"the scene has {len(scene)} images of one moment, which v1 cannot merge; use v1.5")
    if len(scene) == 1 and not filming.freeze_repeat:
        raise ValueError("the scene is one image; show it longer, such as --freeze-repeat 120, or use v1.5")
    source = freeze(len(scene), repeat=filming.freeze_repeat, at=filming.freeze_frame)
    pitch, yaw, displacement = trajectory.sample(len(source), fit=filming.fit)
    path = relative_poses(pitch, yaw, displacement, rotation_only=filming.rotation_only)
    targets = target_poses(scene.poses[source], path, follow=filming.follow, released=filming.released)
    index = adapt(len(source), trajectory.total_angle) if filming.adaptive else np.arange(len(source))
    notes = []
    if len(index) > len(source):
        notes.append(f"{len(source)} frames are too few for this path: they go back and forth, {len(index)} in all")
    elif len(index) < len(source):
        notes.append(f"{len(source)} frames are more than this path needs: {len(index)} of them are used")
    index = index[:limit]
    frames = whole_chunks(len(index), "v1")
    if frames < len(index):
        notes.append(f"the last {len(index) - frames} of {len(index)} frames do not fill a chunk and are cut")
    notes += _odd_motion(scene, targets, scene.poses[source])
    return Shot(version="v1", source=source, targets=targets, index=index[:frames], frames=frames, notes=tuple(notes))


def plan_targets(scene: Scene, targets: np.ndarray, *, limit: int | None = None) -> Shot:
    """Film a scene from given cameras (v1.5): of a video, frame i is seen from camera i.

    Args:
        scene: the source.
        targets: camera-to-world ``[n, 4, 4]``.
        limit: frames of the result at most.

    Raises:
        ValueError: another number of cameras than frames of a video, or images that v1.5 has no rule for.
    """
    valid = len(targets) if scene.valid_frames is None else scene.valid_frames
    if not 0 < valid <= len(targets):
        raise ValueError(f"valid_frames is {valid}, but the path has {len(targets)} cameras")
    if scene.kind == "video" and len(scene) != len(targets):
        raise ValueError(
            f"the path has {len(targets)} cameras for a video of {len(scene)} frames; v1.5 needs one for every frame"
        )
    if scene.kind == "image" and len(scene) not in (1, 4):
        raise ValueError(f"the scene has {len(scene)} images; v1.5 takes one image, four images, or a video")
    valid = min(valid, limit or valid)
    padded = whole_chunks(valid, "v1.5")
    notes = ()
    if padded > valid:
        notes = (f"{valid} frames do not fill a chunk: the last is repeated up to {padded}, and cut off again",)
    notes += _odd_motion(scene, targets, scene.poses[:1])
    source = np.arange(len(targets)) if scene.kind == "video" else np.zeros(len(targets), int)
    index = np.minimum(np.arange(padded), valid - 1)
    return Shot(version="v1.5", source=source, targets=targets, index=index, frames=valid, notes=notes)


def plan_live(scene: Scene, frames: int) -> Shot:
    """Leave room for so many frames of a result whose cameras are not known yet (v1.5)."""
    padded = whole_chunks(frames, "v1.5")
    still = np.repeat(scene.poses[:1], padded, axis=0)
    return Shot(version="v1.5", source=np.zeros(padded, int), targets=still, index=np.arange(padded), frames=padded)


def _odd_motion(scene: Scene, targets: np.ndarray, seen_from: np.ndarray) -> tuple[str, ...]:
    """Tell of cameras that move as if depth and poses were in different units."""
    farthest = float(np.linalg.norm(targets[:, :3, 3] - seen_from[:, :3, 3], axis=-1).max())
    depth = float(np.median(scene.depth[scene.depth > 0]))
    if farthest <= _FAR * depth and not 0 < farthest < _NEAR * depth:
        return ()
    return (
        f"the new cameras are up to {farthest:.3g} scene units away from the source's, whose median depth is "
        f"{depth:.3g}; if that is not what you want, bring both to one unit with --depth-scale",
    )
