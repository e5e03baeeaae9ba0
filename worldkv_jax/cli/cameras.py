"""The command ``worldkv cameras``: shows what a file of cameras holds, and converts it."""

import argparse
import typing

if typing.TYPE_CHECKING:
    import numpy as np

    from worldkv_jax.cameras.formats import CameraFile

HELP = "show what a camera path holds, draw it from above, convert it between formats"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    kinds = "camera folder, .npy, RealEstate10K or TUM text, transforms.json, COLMAP text model, JSON with matrices"
    add("path", metavar="PATH", help=f"{kinds}, or Minecraft actions")
    add("--format", default=None, metavar="NAME", help="of PATH (default: what it looks like)")
    add("--size", default=None, metavar="HxW", help="height and width of the pictures, where the file does not say it")
    add("--fov", type=float, default=None, metavar="DEG", help="horizontal field of view, where the file has no lens")
    add("--plot", default=None, metavar="PNG", help="draw the path from above")
    add(
        "--to",
        default=None,
        metavar="NAME",
        help="format to write: folder, npy, realestate10k, nerfstudio, colmap, tum, json",
    )
    add("--out", default=None, metavar="PATH", help="new file or folder of --to")


def run(args: argparse.Namespace) -> None:
    """Read, describe, draw and convert."""
    from worldkv_jax.cameras.formats import read_cameras, write_cameras

    if (args.to is None) != (args.out is None):
        raise ValueError("--to NAME and --out PATH belong together; give both to convert")
    size = None if args.size is None else _size(args.size)
    found = read_cameras(args.path, format=args.format)
    cameras = _with_lens(found, size, args.fov)
    _print(args.path, cameras)
    if args.plot is not None:
        from worldkv_jax.media import save_figure
        from worldkv_jax.media.path_plot import path_figure

        print(save_figure(args.plot, path_figure(cameras.poses, title=args.path)))
    if args.to is not None:
        print(write_cameras(args.out, cameras, format=args.to))


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in text.lower().replace("*", "x").split("x"))
    except ValueError:
        raise ValueError(f"--size {text}: expected height and width such as 480x832") from None
    if min(height, width) < 1 or max(height, width) > 100_000:
        raise ValueError(f"--size {text}: expected 1 to 100000 pixels")
    return height, width


def _with_lens(cameras: "CameraFile", size: tuple[int, int] | None, fov: float | None) -> "CameraFile":
    """Return the path with what the command line says of its lens."""
    import dataclasses
    import math

    from worldkv_jax.cameras.formats.camera_file import SHARES

    if fov is not None:
        if not 0 < fov < 180:
            raise ValueError(f"--fov {fov:g}: expected degrees between 0 and 180")
        size = size or (cameras.size if cameras.size != SHARES else None)
        if size is None:
            raise ValueError("--fov needs the size of the pictures; give --size")
        focal = size[1] / 2 / math.tan(math.radians(fov) / 2)
        return dataclasses.replace(cameras, intrinsics=[focal, focal, size[1] / 2, size[0] / 2], size=size)
    if size is None:
        return cameras
    if cameras.size is None or cameras.intrinsics is None:
        return dataclasses.replace(cameras, size=size)
    return dataclasses.replace(cameras, intrinsics=cameras.lens(size), size=size)


def _print(path: str, cameras: "CameraFile") -> None:
    """Print what the path is like, relative to its first camera."""
    import numpy as np

    from worldkv_jax.cameras import pose_distance, relative

    poses = relative(cameras.poses[0], cameras.poses)
    places, forward = poses[:, :3, 3], poses[:, :3, 2]
    steps, turns = pose_distance(poses[:-1], poses[1:])
    extent = np.ptp(places, axis=0)
    far = float(np.linalg.norm(cameras.poses[0, :3, 3]))
    yaw = np.rad2deg(np.unwrap(np.arctan2(forward[:, 0], forward[:, 2])))
    pitch = np.rad2deg(np.arcsin(np.clip(-forward[:, 1], -1, 1)))
    print(f"{path}: {len(cameras)} cameras" + _duration(cameras.times))
    sides = f"{extent[0]:.4g} across, {extent[1]:.4g} up and down, {extent[2]:.4g} ahead"
    print(f"extent: {sides}; first camera {far:.4g} units from the origin")
    if len(poses) > 1:
        print(f"path: {steps.sum():.4g} units long, largest step {steps.max():.4g}")
        ranges = f"yaw {yaw.min():.1f} to {yaw.max():.1f}, pitch {pitch.min():.1f} to {pitch.max():.1f} degrees"
        print(f"angles: {ranges} from the first camera, largest turn of a step {np.rad2deg(turns.max()):.2f}")
    print(_lens_text(cameras))
    notes = list(cameras.notes)
    if len(steps) > 2 and steps.max() > 20 * max(float(np.median(steps)), 1e-9) and steps.max() > 0.05 * extent.max():
        notes.append(f"the camera jumps at frame {int(steps.argmax()) + 1}: {steps.max():.4g} units in one step")
    for note in notes:
        print(f"note: {note}")


def _duration(times: "np.ndarray | None") -> str:
    if times is None or len(times) < 2:
        return ""
    seconds = times[-1] - times[0]
    return f" in {seconds:.3f} s, {(len(times) - 1) / seconds:.3f} a second"


def _lens_text(cameras: "CameraFile") -> str:
    import numpy as np

    from worldkv_jax.cameras import field_of_view
    from worldkv_jax.cameras.formats.camera_file import SHARES

    if cameras.intrinsics is None:
        return "lens: none"
    lens = np.array2string(cameras.intrinsics[0], precision=5, separator=", ")
    varies = "" if (cameras.intrinsics == cameras.intrinsics[0]).all() else " in the first frame, others differ"
    if cameras.size is None:
        return f"lens: fx, fy, cx, cy {lens}{varies}, of pictures whose size is not known"
    horizontal, vertical = field_of_view(cameras.intrinsics[0], cameras.size)
    of = "shares of the picture" if cameras.size == SHARES else f"pixels of {cameras.size[0]}x{cameras.size[1]}"
    return f"lens: fx, fy, cx, cy {lens}{varies}, {of}; sees {horizontal:.1f} x {vertical:.1f} degrees"
