"""The command ``worldkv rollout``: generates a video with a model and a memory."""

import argparse

from worldkv_jax.cli.compile_cache import add_cache_flag, use_cache
from worldkv_jax.cli.memory_flags import add_memory_flags, memory_from_flags
from worldkv_jax.cli.models import add_models

HELP = "generate a video with one of the models, chunk by chunk"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command for each model."""
    add_models(parser, _add_common)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_memory_flags(parser)
    group = parser.add_argument_group("output")
    group.add_argument("--out", default="outputs/rollout", metavar="DIR", help="folder for video and report")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise (default: 0)")
    group.add_argument("--latents", action="store_true", help="also write the latents, latents.npy")
    group.add_argument("--no-decode", action="store_true", help="make latents only, no video")
    group.add_argument("--force", action="store_true", help="try even if the plan says that it does not fit")
    add_cache_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Check everything, load the model, generate, and write video.mp4 and report.json."""
    import jax

    from worldkv_jax import rollout as ro
    from worldkv_jax.cli.output import prepare_output

    use_cache(args)
    request = args.make_request(args, memory_from_flags(args))
    plan = _check_fits(request, force=args.force)
    folder = prepare_output(args.out)
    if request.random_weights:
        print("RANDOM WEIGHTS: the pictures mean nothing; speed and memory are those of the real model")
    params, inputs = request.load()
    world = ro.start(request.backbone, params, request.memory, chunks=request.chunks, worlds=request.worlds)
    made = ro.stream(
        request.backbone,
        params,
        world,
        inputs,
        key=jax.random.key(args.seed),
        decode=not args.no_decode,
        progress=True,
    )
    report = _write(folder, made, request, args, plan)
    _print_summary(report)
    print(*report["files"], sep="\n")


def _check_fits(request, *, force: bool):
    """Compare the plan with the device that is there, where it tells its size."""
    import jax

    from worldkv_jax.memory.report import format_bytes
    from worldkv_jax.rollout.plan import advise, make_plan

    sizes = {"chunks": request.chunks, "worlds": request.worlds}
    plan = make_plan(request.backbone, request.memory, request.cost, **sizes)
    limit = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit is None or plan.fits(limit) or force:
        return plan
    needs = ", ".join(f"{name} {format_bytes(size)}" for name, size in plan.device_bytes.items())
    advice = advise(request.backbone, request.memory, request.cost, **sizes, device_bytes=limit)
    raise ValueError(
        f"the rollout needs {format_bytes(plan.total_bytes)} on the device, which has {format_bytes(limit)} for "
        f"programs ({needs}): {advice}; --force tries anyway, XLA_PYTHON_CLIENT_MEM_FRACTION=0.95 gives programs more"
    )


def _write(folder, made, request, args, plan) -> dict:
    """Write what comes, as it comes, and the report at the end."""
    import contextlib
    import dataclasses
    import time

    import numpy as np

    from worldkv_jax.benchmarks.machine import describe_machine
    from worldkv_jax.cli.output import write_json
    from worldkv_jax.media import writing_video
    from worldkv_jax.media.files import replacing

    # Files of a model without training are named so: they are found long after what was printed is gone.
    prefix = "random_weights_" if request.random_weights else ""
    names = [] if args.no_decode else [f"{prefix}video{_world(b, request)}.mp4" for b in range(request.worlds)]
    rows, latents, left, since = [], [], request.pixel_frames, time.perf_counter()
    with contextlib.ExitStack() as open_files:
        videos = [
            open_files.enter_context(writing_video(folder / name, fps=request.fps, scale=request.pixel_scale))
            for name in names
        ]
        for chunk in made:
            rows.append(_row(chunk))
            if args.latents:
                latents.append(np.asarray(chunk.latents, np.float32))
            if videos:
                shown = chunk.frames.shape[1] if left is None else min(left, chunk.frames.shape[1])
                left = None if left is None else left - shown
                for video, frames in zip(videos, chunk.frames if shown else []):
                    video(frames[:shown])
    seconds = time.perf_counter() - since
    if args.latents:
        names.append(f"{prefix}latents.npy")
        with replacing(folder / names[-1]) as draft:
            np.save(draft, np.concatenate(latents, axis=1))
    report = {
        "model": args.model,
        "seed": args.seed,
        **describe_machine(),
        "weights": "random" if request.random_weights else "loaded",
        "request": request.summary,
        "memory": dataclasses.asdict(request.memory),
        "plan": dataclasses.asdict(plan) | {"total_bytes": plan.total_bytes},
        "seconds": seconds,
        "fps": _steady_fps(rows),
        "latency": _latency(rows),
        "chunks": rows,
    }
    path = write_json(folder / f"{prefix}report.json", report)
    return report | {"files": [str(folder / name) for name in names] + [str(path)]}


def _world(index: int, request) -> str:
    return f"_{index}" if request.worlds > 1 else ""


def _row(chunk) -> dict:
    return {
        "index": chunk.index,
        "seconds": chunk.seconds,
        "frames": 0 if chunk.frames is None else chunk.frames.shape[1],
        "retrieved": chunk.retrieved,
        "attended_tokens": chunk.attended_tokens,
        "kv_bytes": chunk.kv_bytes,
    }


def _steady_fps(rows: list[dict]) -> float | None:
    """Return the frames a second after the chunks that compiled, the first two."""
    steady = rows[2:]
    return sum(row["frames"] for row in steady) / sum(row["seconds"] for row in steady) if steady else None


def _latency(rows: list[dict]) -> dict[str, float]:
    """Measure from asking for a chunk until its frames are there; a live action shows in the first of them."""
    import numpy as np

    seconds = [row["seconds"] for row in rows]
    steady = seconds[2:] or seconds
    return {"median_seconds": float(np.median(steady)), "largest_seconds": float(np.max(steady))}


def _print_summary(report: dict) -> None:
    from worldkv_jax.memory.report import format_bytes

    last = report["chunks"][-1]
    sizes = ", ".join(f"{format_bytes(size)} in {tier} memory" for tier, size in last["kv_bytes"].items())
    print(
        f"{len(report['chunks'])} chunks in {report['seconds']:.1f} s, compilation included; keys and values: {sizes}"
    )
    if report["fps"]:
        print(f"{report['fps']:.2f} frames a second after the first two chunks, which compile")
