"""The command ``worldkv rollout``: generates a video with a model and a memory."""

import argparse
import sys
import typing
from pathlib import Path
from typing import Any

from worldkv_jax.cli.compile_cache import add_cache_flag, use_cache
from worldkv_jax.cli.errors import out_of_memory
from worldkv_jax.cli.flags import seed_number
from worldkv_jax.cli.models import add_memory_flags, add_models, in_flags, load_session, open_session
from worldkv_jax.cli.tracing import add_trace_flag, traced
from worldkv_jax.cli.world_flags import (
    add_world_flags,
    check_kept,
    check_world_flags,
    inputs_to_come,
    kept_world,
    write_session_file,
)
from worldkv_jax.counts import counted

if typing.TYPE_CHECKING:
    from worldkv_jax.sessions import Session, WorldFolder
    from worldkv_jax.sessions.saving import WorldSaver

HELP = "generate a video with one of the models, chunk by chunk"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command for each model."""
    add_models(parser, _add_common)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_memory_flags(parser)
    group = parser.add_argument_group("output")
    group.add_argument("--out", default="outputs/rollout", metavar="DIR", help="folder for video and report")
    seed = "of the noise (default: 0, or that of --from-world)"
    group.add_argument("--seed", type=seed_number, default=None, metavar="N", help=seed)
    group.add_argument("--latents", action="store_true", help="also write the latents, latents.npy")
    group.add_argument("--no-decode", action="store_true", help="make latents only, no video")
    group.add_argument(
        "--force", action="store_true", help="write over an earlier rollout, and try what does not fit by the plan"
    )
    add_world_flags(parser)
    add_trace_flag(parser)
    add_cache_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Check everything, load the model, generate, and write video.mp4 and report.json."""
    from worldkv_jax.sessions.recording import WRITES
    from worldkv_jax.sessions.results import prepare_output

    use_cache(args)
    session = open_session(args, decode=not args.no_decode)
    _check_fits(session, args)
    past = check_world_flags(args, session)
    folder = prepare_output(args.out, writes=WRITES, force=args.force)
    if session.random_weights:
        print("RANDOM WEIGHTS: the pictures mean nothing; speed and memory are those of the real model")
    try:
        with traced(args):
            report, files, saver = _generate(session, folder, past, args)
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise ValueError(f"out of memory ({str(error).splitlines()[0]}): {_advice(session, args)}") from error
    _print_summary(report)
    print(*files, sep="\n")
    check_kept(args, saver)


def _generate(
    session: "Session", folder: Path, past: "WorldFolder | None", args: argparse.Namespace
) -> tuple[dict[str, Any], list[Path], "WorldSaver | None"]:
    """Load and roll out; return report, files and what kept the world. Of a rollout that is cut, say what is kept."""
    from worldkv_jax.sessions.array_store import describe_array
    from worldkv_jax.sessions.recording import recording
    from worldkv_jax.sessions.seeds import key_of, seed_of

    session = load_session(session, args)
    world = session.start() if past is None else session.restore(args.from_world, at=args.at)
    first = int(world.position)
    key = key_of(args.seed or 0) if past is None else past.key_of_seed(args.seed)
    about = {"model": args.model, "seed": seed_of(key)}
    if past is not None:
        about["goes_on"] = {"world": args.from_world, "chunk": first}
    inputs, answers = inputs_to_come(args, session, past, first)
    record, sums = None, []
    try:
        with (
            kept_world(args, session, first, answers) as saver,
            recording(session, folder, about, latents=args.latents, first=first) as record,
        ):
            for chunk in session.stream(world, inputs, key=key, keeper=saver, progress=True):
                record(chunk)
                if args.session is not None:
                    sums.append(describe_array(chunk.latents).sha256)
    except BaseException:
        if record is not None and record.files:
            print(
                f"cut after {counted(len(record.report['chunks']), 'chunk')}; what was made is kept:", file=sys.stderr
            )
            print(*record.files, sep="\n", file=sys.stderr)
        raise
    if args.session is not None:
        record.files.append(write_session_file(args, session, sums, answers))
    return record.report, record.files, saver


def _check_fits(session: "Session", args: argparse.Namespace) -> None:
    """Compare the plan with the device that is there, where it tells its size, or on a CPU with the main memory."""
    import jax

    from worldkv_jax.byte_counts import format_bytes
    from worldkv_jax.memory.layout import Layout
    from worldkv_jax.memory.report import capacity_by_tier
    from worldkv_jax.sessions.free_memory import available_host_bytes, device_limit

    # Sizes that do not fit together are refused whatever the device is; counting what a model needs takes a second.
    layout = Layout(config=session.memory, spec=session.backbone.spec, worlds=session.worlds, chunks=session.chunks)
    if args.force:
        return
    if jax.default_backend() == "cpu":
        free = available_host_bytes()
        if not getattr(args, "tiny", False) or sum(capacity_by_tier(layout).values()) > free // 100:
            _check_fits_host(session, free, args)
    limit = device_limit()
    if limit is None or (plan := session.plan()).fits(limit):
        return
    needs = ", ".join(f"{name} {format_bytes(size)}" for name, size in plan.device_bytes.items())
    raise ValueError(
        f"the rollout needs {format_bytes(plan.total_bytes)} on the device, which has {format_bytes(limit)} for "
        f"programs ({needs}): {_advice(session, args)}; --force tries anyway, XLA_PYTHON_CLIENT_MEM_FRACTION=0.95 "
        "gives programs more"
    )


def _check_fits_host(session: "Session", free: int, args: argparse.Namespace) -> None:
    """Raise ValueError where main memory has no room: a process that takes more of it is killed without a word."""
    from worldkv_jax.byte_counts import format_bytes

    plan = session.plan()
    needed = plan.total_bytes + plan.host_bytes
    if needed > free:
        raise ValueError(
            f"the rollout needs {format_bytes(needed)} of main memory, of which {format_bytes(free)} are free: "
            f"{_advice(session, args, max(0, free - plan.host_bytes))}; --force tries anyway"
        )


def _advice(session: "Session", args: argparse.Namespace, room: int | None = None) -> str:
    """Say what would make the rollout fit into so many bytes; ``None`` for what the device has."""
    from worldkv_jax.sessions.free_memory import device_limit
    from worldkv_jax.sessions.plan import advise

    # Where the device does not say what it has, a little less than is needed.
    room = room or device_limit() or session.plan().total_bytes * 9 // 10
    sizes = {"chunks": session.chunks, "worlds": session.worlds, "device_bytes": room}
    return in_flags(advise(session.backbone, session.memory, session.cost, **sizes), args.model_parser)


def _print_summary(report: dict[str, Any]) -> None:
    from worldkv_jax.byte_counts import format_bytes

    last = report["chunks"][-1]
    sizes = ", ".join(f"{format_bytes(size)} in {tier} memory" for tier, size in last["kv_bytes"].items())
    made = counted(len(report["chunks"]), "chunk")
    print(f"{made} in {report['seconds']:.1f} s, compilation included; keys and values: {sizes}")
    if report["fps"]:
        print(f"{report['fps']:.2f} frames a second after the first two chunks, which compile")
