"""The demo world on the command line: `worldkv rollout demo-world`, `worldkv plan demo-world`."""

import argparse

HELP = "the small trained world that is shipped; needs no download"

_FPS = 12.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this model."""
    parser.add_argument("--trajectory", default="R120_L120", metavar="SCRIPT", help="camera moves (default: R120_L120)")
    parser.add_argument("--degrees-per-frame", type=float, default=10.0, metavar="D", help="speed of turns")
    parser.add_argument("--worlds", type=int, default=1, metavar="N", help="worlds generated at once")
    parser.add_argument("--checkpoint", default=None, metavar="FILE", help="other weights than the shipped ones")


def request(args: argparse.Namespace, memory):
    """Check the trajectory and describe the rollout."""
    import numpy as np

    from ports.demo_world.backbone import DemoWorld
    from ports.demo_world.cost import demo_cost
    from worldkv_jax.cameras import trajectory
    from worldkv_jax.memory import DEFAULT
    from worldkv_jax.rollout import chunk_inputs
    from worldkv_jax.sessions.session import Session

    if args.worlds < 1:
        raise ValueError(f"--worlds {args.worlds}: at least one world is needed")
    backbone, params = DemoWorld.load(args.checkpoint)  # 4 MB: there is nothing to save by loading it later
    poses = trajectory(args.trajectory, degrees_per_frame=args.degrees_per_frame, hold_frames=3)
    size = backbone.spec.chunk_frames
    poses = np.concatenate([poses, np.repeat(poses[-1:], -len(poses) % size, axis=0)])  # hold up to a whole chunk
    inputs = chunk_inputs(np.broadcast_to(poses, (args.worlds, *poses.shape)), backbone.spec)
    return Request(
        backbone=backbone,
        memory=DEFAULT if memory is None else memory,
        chunks=len(inputs),
        fps=_FPS,
        cost=demo_cost(backbone, params, args.worlds),
        load=lambda: (params, inputs),
        worlds=args.worlds,
        pixel_scale=8,
        summary={"trajectory": args.trajectory, "degrees_per_frame": args.degrees_per_frame},
    )
