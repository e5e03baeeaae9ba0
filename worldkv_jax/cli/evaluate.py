"""The command ``worldkv evaluate``: measures what generated videos remember of the places they come back to."""

import argparse
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from worldkv_jax.cli.evaluate_tables import print_growth, print_replays, print_scores
from worldkv_jax.cli.flags import seed_number
from worldkv_jax.counts import counted

if typing.TYPE_CHECKING:
    import numpy as np

    from worldkv_jax.evaluation import Interval, Metric, WorldScores

HELP = "measure the memory that a video shows, from its camera path"


class _World(NamedTuple):
    """The files of one world."""

    video: str
    poses: str
    truth: str | None


class _Rollout(NamedTuple):
    """What a rollout's report says of its memory."""

    kv_bytes: list[int]
    """After each chunk."""
    frames: list[int]
    """Video frames of each chunk."""
    attended_tokens: int | None
    """Stored tokens that the last chunk attends to."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="VIDEO POSES",
        help="a video and its camera path (.npy [n, 4, 4] camera-to-world, a folder with poses.npy, or what worldkv "
        "cameras reads); more such pairs are more worlds, over which intervals are taken",
    )
    parser.add_argument("--truth", nargs="+", default=None, metavar="VIDEO", help="the true video of each world")
    parser.add_argument(
        "--pairs", nargs="+", default=None, metavar="A:B", help="frame B revisits frame A, instead of searching poses"
    )
    parser.add_argument(
        "--task",
        default=None,
        choices=("A", "OV", "D"),
        help="task of MemoryTax: A and OV compare the last frame with the first, D all frames with --truth",
    )
    search = parser.add_argument_group("what is a revisit")
    search.add_argument("--max-angle", type=float, default=10.0, metavar="DEG", help="largest angle (default: 10)")
    search.add_argument(
        "--max-distance", type=float, default=None, metavar="D", help="scene units (default: 1/20 of the path's extent)"
    )
    search.add_argument("--min-gap", type=int, default=16, metavar="N", help="fewest frames between (default: 16)")
    search.add_argument("--min-away", type=int, default=3, metavar="N", help="frames that are leaving (default: 3)")
    search.add_argument("--stretch", action="store_true", help="stretch poses of latent frames over the video's frames")
    weights = parser.add_argument_group("metrics that need weights, from local files")
    weights.add_argument("--lpips", default=None, metavar="FILE", help="weights of LPIPS (AlexNet), safetensors")
    weights.add_argument("--dino", default=None, metavar="DIR", help="folder of a DINOv3 ViT")
    parser.add_argument(
        "--report", default=None, metavar="FILE", help="report.json of the rollout, for bytes a second and tokens"
    )
    parser.add_argument(
        "--seed", type=seed_number, default=0, metavar="N", help="of the random control frames (default: 0)"
    )
    parser.add_argument("--out", default="outputs/evaluate", metavar="DIR", help="folder of evaluation.json")
    mind = parser.add_argument_group("folders for the MIND benchmark's own scripts")
    mind.add_argument("--mind", default=None, metavar="DIR", help="write the videos in MIND's layout, too")
    mind.add_argument("--mind-model", default="worldkv", metavar="NAME", help="name of the model's folder")
    mind.add_argument("--mark", type=int, default=0, metavar="N", help="first generated frame (default: 0)")


def run(args: argparse.Namespace) -> None:
    """Measure every world, print the table and write evaluation.json."""
    from worldkv_jax.evaluation import load_metrics
    from worldkv_jax.sessions.results import prepare_output, write_json

    worlds, pairs = _worlds(args), _named_pairs(args)
    metrics, left_out = load_metrics(lpips=args.lpips, dino=args.dino)
    rollout = None if args.report is None else _read_report(args.report)
    folder = prepare_output(args.out, writes=["evaluation.json"])
    if args.mind is not None:
        prepare_output(args.mind)
    if args.task == "D":
        data = _score_replays(args, worlds, metrics)
    else:
        data = _score_worlds(args, worlds, pairs, metrics, rollout)
    print(*left_out, write_json(folder / "evaluation.json", {**data, "left_out": left_out}), sep="\n")


def _worlds(args: argparse.Namespace) -> list[_World]:
    if len(args.inputs) % 2:
        raise ValueError(f"got {len(args.inputs)} files: every VIDEO needs its POSES behind it")
    videos, poses = args.inputs[::2], args.inputs[1::2]
    truths = args.truth or [None] * len(videos)
    if len(truths) != len(videos):
        named, worlds = counted(len(truths), "video"), counted(len(videos), "world")
        raise ValueError(f"--truth names {named} for {worlds}; give one each, in their order")
    return [_World(*files) for files in zip(videos, poses, truths)]


def _named_pairs(args: argparse.Namespace) -> list[tuple[int, int]] | None:
    """Return the pairs of ``--pairs``, once it is clear that a task goes with the other flags."""
    if args.task is not None and args.pairs is not None:
        raise ValueError(f"--task {args.task} says which frames are compared; leave --pairs out")
    if args.task == "D" and args.truth is None:
        raise ValueError("--task D compares all frames with the true ones; give --truth")
    return None if args.pairs is None else [_pair(text) for text in args.pairs]


def _pair(text: str) -> tuple[int, int]:
    try:
        earlier, later = (int(part) for part in text.split(":"))
    except ValueError:
        raise ValueError(
            f"--pairs {text}: expected two frame numbers such as 32:151, first visit and revisit"
        ) from None
    return earlier, later


def _read_report(report: str) -> _Rollout:
    from worldkv_jax.readers import read_json

    try:
        chunks = read_json(report)["chunks"]
        return _Rollout(
            kv_bytes=[sum(chunk["kv_bytes"].values()) for chunk in chunks],
            frames=[chunk["frames"] for chunk in chunks],
            attended_tokens=chunks[-1].get("attended_tokens"),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{report} is no report.json of worldkv rollout: {error}") from error


def _score_worlds(
    args: argparse.Namespace,
    worlds: Sequence[_World],
    pairs: Sequence[tuple[int, int]] | None,
    metrics: Sequence["Metric"],
    rollout: _Rollout | None,
) -> dict[str, Any]:
    """Score revisits, print the table; return what evaluation.json says."""
    from worldkv_jax.evaluation import (
        RevisitCriteria,
        export_memory_test,
        kv_bytes_per_second,
        over_worlds,
        score_world,
    )
    from worldkv_jax.evaluation.memory_tax import pairs_of_turn

    criteria = RevisitCriteria(
        max_angle_degrees=args.max_angle, max_distance=args.max_distance, min_gap=args.min_gap, min_away=args.min_away
    )
    scores: list[WorldScores] = []
    exported: list[Path] = []
    fps = 0.0
    for world in worlds:
        frames, path, truth, fps = _read(world, stretch=args.stretch)
        named = pairs if args.task is None else pairs_of_turn(len(frames))
        try:
            scored = score_world(
                frames, path, truth=truth, pairs=named, criteria=criteria, metrics=metrics, seed=args.seed
            )
        except ValueError as error:
            raise ValueError(f"{world.video}: {error}") from error
        scores.append(scored)
        if args.mind is not None:
            name = f"world-{len(scores)}"
            exported += export_memory_test(
                args.mind, args.mind_model, name, frames, fps=fps, mark=args.mark, truth=truth
            )
    table = over_worlds(scores)
    speed = None if rollout is None else kv_bytes_per_second(rollout.kv_bytes, rollout.frames, fps)
    attended = None if rollout is None else rollout.attended_tokens
    print_scores(table, scores, metrics)
    print_growth(speed, attended)
    for line in (*dict.fromkeys(note for score in scores for note in score.notes), *exported):
        print(line)
    return {
        "worlds": [
            {"video": world.video, "poses": world.poses, **_plain(score)} for world, score in zip(worlds, scores)
        ],
        "over_worlds": {
            name: {key: _plain_interval(value) for key, value in row.items()} for name, row in table.items()
        },
        "kv_bytes_per_second": speed,
        "attended_tokens": attended,
        "criteria": vars(criteria),
    }


def _score_replays(args: argparse.Namespace, worlds: Sequence[_World], metrics: Sequence["Metric"]) -> dict[str, Any]:
    """Score replayed paths (task D), print the table; return what evaluation.json says."""
    from worldkv_jax.evaluation import mean_interval, score_replay

    replays = []
    for world in worlds:
        frames, _, truth, _ = _read(world, stretch=args.stretch)
        assert truth is not None, "task D has the truth of every world"
        replays.append(score_replay(frames, truth, metrics=metrics))
    defined = {name: [r[name] for r in replays if r[name] is not None] for name in replays[0]}
    table = {name: mean_interval(values) for name, values in defined.items() if values}
    print_replays(table, metrics)
    return {
        "worlds": [{"video": world.video, "poses": world.poses, **replay} for world, replay in zip(worlds, replays)],
        "over_worlds": {name: _plain_interval(interval) for name, interval in table.items()},
    }


def _read(world: _World, *, stretch: bool) -> "tuple[np.ndarray, np.ndarray, np.ndarray | None, float]":
    """Read a world's frames, poses and truth, and its frames a second."""
    from worldkv_jax.cameras import latent_poses
    from worldkv_jax.cameras.formats import read_cameras
    from worldkv_jax.evaluation.memory_scores import are_latents
    from worldkv_jax.media.video import read_video

    frames, fps = read_video(world.video, tell=_note)
    alone = Path(world.poses) / "poses.npy"  # a lens is not needed here
    cameras = read_cameras(alone if alone.is_file() else world.poses)
    for note in cameras.notes:
        _note(f"{world.poses}: {note}")
    path = cameras.poses
    if stretch:
        if len(path) != len(frames) and not are_latents(len(path), len(frames)):
            _note(
                f"--stretch spreads {len(path)} poses over {len(frames)} frames, though that is no number of latent "
                "frames; if frames were dropped or repeated instead, all that follows is wrong"
            )
        path = latent_poses(path, len(frames))
    truth = None if world.truth is None else read_video(world.truth, tell=_note)[0]
    return frames, path, truth, fps


def _note(text: str) -> None:
    print(f"note: {text}")


def _plain(score: "WorldScores") -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(score) | {"revisits": score.revisits._asdict()}


def _plain_interval(interval: "Interval | None") -> dict[str, Any] | None:
    return None if interval is None else interval._asdict()
