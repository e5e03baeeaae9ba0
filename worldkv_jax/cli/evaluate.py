"""The command ``worldkv evaluate``: measures what generated videos remember of the places they come back to."""

import argparse

from worldkv_jax.cli.flags import seed_number

HELP = "measure the memory that a video shows, from its camera path"

_COLUMNS = {
    "metric": "metric",
    "first": "first revisit",
    "late": "late revisits",
    "random": "another place",
    "headroom": "headroom",
    "truth_seen": "truth: first visit",
    "truth_first": "truth: first revisit",
    "truth_late": "truth: late revisits",
    "same_truth": "true revisits",
    "memory_gain": "MemoryGain",
    "memory_ratio": "memory ratio",
}
_UNITS = {"psnr": "dB"}


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
    from worldkv_jax.evaluation import RevisitCriteria, kv_bytes_per_second, load_metrics, over_worlds, score_world
    from worldkv_jax.evaluation.memory_tax import pairs_of_turn, score_replay
    from worldkv_jax.sessions.results import prepare_output, write_json

    worlds = _pair_up(args.inputs)
    truths = args.truth or [None] * len(worlds)
    if len(truths) != len(worlds):
        raise ValueError(f"--truth names {len(truths)} videos for {len(worlds)} worlds; give one each, in their order")
    pairs = None if args.pairs is None else [_pair(text) for text in args.pairs]
    metrics, left_out = load_metrics(lpips=args.lpips, dino=args.dino)
    criteria = RevisitCriteria(
        max_angle_degrees=args.max_angle, max_distance=args.max_distance, min_gap=args.min_gap, min_away=args.min_away
    )
    if args.task is not None and pairs is not None:
        raise ValueError(f"--task {args.task} says which frames are compared; leave --pairs out")
    if args.task == "D" and args.truth is None:
        raise ValueError("--task D compares all frames with the true ones; give --truth")
    grown = None if args.report is None else _read_report(args.report)
    folder = prepare_output(args.out, writes=["evaluation.json"])
    if args.mind is not None:
        prepare_output(args.mind)
    scores, replays, exported, fps = [], [], [], None
    for (video, poses), truth in zip(worlds, truths):
        frames, path, true, fps = _read(video, poses, truth, stretch=args.stretch)
        if args.task == "D" and true is not None:
            replays.append(score_replay(frames, true, metrics=metrics))
            continue
        named = pairs if args.task is None else pairs_of_turn(len(frames))
        try:
            scored = score_world(
                frames, path, truth=true, pairs=named, criteria=criteria, metrics=metrics, seed=args.seed
            )
        except ValueError as error:
            raise ValueError(f"{video}: {error}") from error
        scores.append(scored)
        if args.mind is not None:
            exported += _export(args, f"world-{len(scores)}", frames, true, fps)
    if args.task == "D":
        print(_write_replays(folder, worlds, replays, left_out))
        return
    table = over_worlds(scores)
    speed = None if grown is None or fps is None else kv_bytes_per_second(grown["kv_bytes"], grown["frames"], fps)
    attended = None if grown is None else grown["attended_tokens"]
    _print(table, scores, left_out, speed, attended)
    data = {
        "worlds": [{"video": video, "poses": poses, **_plain(s)} for (video, poses), s in zip(worlds, scores)],
        "over_worlds": {name: {key: _plain_interval(v) for key, v in row.items()} for name, row in table.items()},
        "left_out": left_out,
        "kv_bytes_per_second": speed,
        "attended_tokens": attended,
        "criteria": vars(criteria),
    }
    print(*exported, write_json(folder / "evaluation.json", data), sep="\n")


def _write_replays(folder, worlds, replays, left_out):
    """Print and write what replayed paths (task D) scored."""
    from worldkv_jax.evaluation import mean_interval
    from worldkv_jax.sessions.results import print_table, write_json

    defined = {name: [r[name] for r in replays if r[name] is not None] for name in replays[0]}
    table = {name: mean_interval(values) for name, values in defined.items() if values}
    print_table(
        [{"metric": name, "all frames": i.text(2 if name in _UNITS else 3)} for name, i in table.items()],
        ["metric", "all frames"],
    )
    print(*left_out, sep="\n")
    data = {
        "worlds": [{"video": video, "poses": poses, **r} for (video, poses), r in zip(worlds, replays)],
        "over_worlds": {name: _plain_interval(interval) for name, interval in table.items()},
        "left_out": left_out,
    }
    return write_json(folder / "evaluation.json", data)


def _pair_up(inputs: list[str]) -> list[tuple[str, str]]:
    if len(inputs) % 2:
        raise ValueError(f"got {len(inputs)} files: every VIDEO needs its POSES behind it")
    return list(zip(inputs[::2], inputs[1::2]))


def _pair(text: str) -> tuple[int, int]:
    try:
        earlier, later = (int(part) for part in text.split(":"))
    except ValueError:
        raise ValueError(
            f"--pairs {text}: expected two frame numbers such as 32:151, first visit and revisit"
        ) from None
    return earlier, later


def _read(video: str, poses: str, truth: str | None, *, stretch: bool):
    from pathlib import Path

    from worldkv_jax.cameras import latent_poses
    from worldkv_jax.cameras.formats import read_cameras
    from worldkv_jax.evaluation.memory_scores import are_latents
    from worldkv_jax.media.video import read_video

    frames, fps = read_video(video, tell=_note)
    alone = Path(poses) / "poses.npy"  # a lens is not needed here
    cameras = read_cameras(alone if alone.is_file() else poses)
    for note in cameras.notes:
        _note(f"{poses}: {note}")
    path = cameras.poses
    if stretch:
        if len(path) != len(frames) and not are_latents(len(path), len(frames)):
            _note(
                f"--stretch spreads {len(path)} poses over {len(frames)} frames, though that is no number of latent "
                "frames; if frames were dropped or repeated instead, all that follows is wrong"
            )
        path = latent_poses(path, len(frames))
    true = None if truth is None else read_video(truth, tell=_note)[0]
    return frames, path, true, fps


def _note(text: str) -> None:
    print(f"note: {text}")


def _export(args, name: str, frames, truth, fps: float) -> list:
    from worldkv_jax.evaluation import export_memory_test

    return export_memory_test(args.mind, args.mind_model, name, frames, fps=fps, mark=args.mark, truth=truth)


def _read_report(report: str) -> dict:
    """Read the bytes in memory after each chunk, its video frames, and the stored tokens that the last attends to."""
    from worldkv_jax.readers import read_json

    try:
        chunks = read_json(report)["chunks"]
        return {
            "kv_bytes": [sum(chunk["kv_bytes"].values()) for chunk in chunks],
            "frames": [chunk["frames"] for chunk in chunks],
            "attended_tokens": chunks[-1].get("attended_tokens"),
        }
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{report} is no report.json of worldkv rollout: {error}") from error


def _print(table, scores, left_out, speed, attended) -> None:
    from worldkv_jax.memory.report import format_bytes
    from worldkv_jax.sessions.results import print_table

    count = len(scores)
    revisits = sum(len(score.revisits) for score in scores)
    over = f"{count} worlds, 95 % intervals over them" if count > 1 else "1 world, so no intervals"
    print(f"{revisits} revisits in {over}")
    metrics = {name: row for name, row in table.items() if name not in ("closure", "drift")}
    shown = {key: head for key, head in _COLUMNS.items() if any(row.get(key) for row in metrics.values())}
    rows = [
        {"metric": f"{name} ({_UNITS[name]})" if name in _UNITS else name}
        | {key: None if v is None else v.text(2 if name in _UNITS else 3) for key, v in row.items()}
        for name, row in metrics.items()
    ]
    print_table(rows, {"metric": "metric", **shown})
    closure = scores[0].closure
    where = f" (frame {closure['frame']} to frame {closure['earlier']})" if count == 1 else ""
    print(f"\nloop closure: root mean squared error {table['closure']['rmse'].text(3)} of colours in [0, 1]{where}")
    for key, name in (("revisits", "revisits against their first visit"), ("truth", "against the truth")):
        if table["drift"][key] is not None:
            print(f"drift, {name}: {table['drift'][key].text()} dB in 100 frames")
    if speed is not None:
        print(f"the memory grows by {format_bytes(speed)} in a second of video")
    if attended is not None:
        print(f"a frame of the last chunk attends to {attended:,} stored tokens")
    notes = dict.fromkeys(note for score in scores for note in score.notes)
    print(*left_out, *notes, sep="\n")


def _plain(scores) -> dict:
    import dataclasses

    return dataclasses.asdict(scores) | {"revisits": scores.revisits._asdict()}


def _plain_interval(interval) -> dict | None:
    return None if interval is None else interval._asdict()
