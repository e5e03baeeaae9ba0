"""The command ``worldkv plan``: what a rollout will need, before anything is loaded or allocated."""

import argparse
import typing
from collections.abc import Callable, Mapping

from worldkv_jax.cli.models import add_memory_flags, add_models, in_flags, open_session
from worldkv_jax.cli.world_flags import SAVE_EVERY
from worldkv_jax.counts import counted

if typing.TYPE_CHECKING:
    from worldkv_jax.memory import MemoryConfig
    from worldkv_jax.sessions import Plan, Session
    from worldkv_jax.sessions.devices import Device
    from worldkv_jax.sessions.plan import Saving

HELP = "say what a rollout needs: memory by tier, traffic, arithmetic, and where it fits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command for each model."""
    add_models(parser, _add_common)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_memory_flags(parser)
    parser.add_argument(
        "--device", default="h200", metavar="NAME", help="h200 (default), h100, l40s, rtx4090, v5e-8, ..."
    )
    parser.add_argument(
        "--save-every",
        type=int,
        default=SAVE_EVERY,
        metavar="N",
        help=f"chunks from one kept moment to the next (default: {SAVE_EVERY})",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the numbers to a file")


def run(args: argparse.Namespace) -> None:
    """Plan the rollout in every placement and say which fits."""
    from worldkv_jax.byte_counts import format_bytes
    from worldkv_jax.sessions.devices import device_named
    from worldkv_jax.sessions.plan import advise, placements
    from worldkv_jax.sessions.results import print_table, write_json

    device = device_named(args.device)
    if args.save_every < 1:
        raise ValueError(f"--save-every {args.save_every}: give at least 1")
    session = open_session(args, weights=False)
    what = (session.backbone, session.memory, session.cost)
    sizes = {"chunks": session.chunks, "worlds": session.worlds, "chips": device.chips}
    plans = placements(*what, **sizes, save_every=args.save_every)
    print(f"{args.model}: {counted(session.chunks, 'chunk')}, {describe_memory(session.memory)}, on {device.name}")
    names = list(dict.fromkeys(name for plan in plans.values() for name in plan.device_bytes))
    columns = {"what": "on the device"} | {tier: f"bank in {tier}" if plans[tier].tier else "" for tier in plans}
    rows = [{"what": name, **_cells(plans, lambda p, n=name: p.device_bytes.get(n))} for name in names]
    rows += [
        {"what": f"together, {_moment(plans)}", **_cells(plans, lambda p: sum(p.device_bytes.values()))},
        {"what": "while loading", **_cells(plans, lambda p: p.loading_bytes or None)},
        {"what": f"fits {format_bytes(device.memory_bytes)}", **{t: _yes(p, device) for t, p in plans.items()}},
        {"what": "in host memory", **_cells(plans, lambda p: p.host_bytes or None)},
        {"what": "a kept moment", **_cells(plans, lambda p: p.point_bytes)},
        {"what": "moved a chunk", **_cells(plans, lambda p: p.link_bytes or None)},
    ]
    print_table([row for row in rows if any(row[tier] is not None for tier in plans)], columns)
    plan = next(iter(plans.values()))
    if device.chips > 1:
        print(f"\nper chip, with heads split over {plan.chips} of {device.chips}; a kept moment and moves are of all")
        tier, by_tokens = list(plans)[-1], placements(*what, **sizes, over="tokens")
        print(describe_splits({"heads": plans[tier], "tokens": by_tokens[tier]}, device))
    print(f"\n{describe_saving(plan.saving)}")
    print(f"last chunk: attends to {plan.attended_tokens:,} tokens, {plan.chunk_flops / 1e12:,.1f} TFLOP")
    floors = ", ".join(f"{p.floor_seconds(device):.3f} s (bank in {t})" for t, p in plans.items())
    print(f"time floor at the data sheet's speed: {floors}")
    if plan.fetched_bytes:
        print(describe_fetching(max(plans.values(), key=lambda plan: plan.link_bytes), device))
    if not any(plan.fits(device.memory_bytes) for plan in plans.values()):
        advice = advise(*what, **sizes, device_bytes=device.memory_bytes)
        print(f"no placement fits: {in_flags(advice, args.model_parser)}")
    elif any(0.75 * device.memory_bytes < plan.total_bytes <= device.memory_bytes for plan in plans.values()):
        print("JAX takes 75 % of a GPU's memory unless told otherwise: set XLA_PYTHON_CLIENT_MEM_FRACTION=0.95")
    if args.json:
        print(f"wrote {write_json(args.json, plan_report(session, plans))}")


def describe_memory(memory: "MemoryConfig") -> str:
    """Say in a few words what a memory is."""
    if memory.mode != "worldkv":
        return f"{memory.mode} memory"
    parts = memory.parts
    retrieved = counted(parts.retrieval.chunks, "chunk")
    return f"worldkv memory ({retrieved} retrieved, keep ratio {parts.compression.keep_ratio:g})"


def describe_saving(saving: "Saving") -> str:
    """Say what it takes to keep a rollout in a folder."""
    from worldkv_jax.byte_counts import format_bytes

    chunk = f"{format_bytes(saving.chunk_bytes)} a stored chunk and " if saving.chunk_bytes else ""
    return (
        f"kept with --world, a moment every {counted(saving.every, 'chunk')}: {chunk}"
        f"{format_bytes(saving.point_bytes)} a moment, {format_bytes(saving.disk_bytes)} on disk at the end; "
        f"{format_bytes(saving.device_bytes)} more on the device and {format_bytes(saving.host_bytes)} in host memory "
        "while it is written"
    )


def describe_fetching(plan: "Plan", device: "Device") -> str:
    """Say what fetching weights takes of the link to the host, beside the arithmetic of a chunk."""
    link, arithmetic = plan.link_bytes / device.link_bytes, plan.chunk_flops / device.flops
    hidden = "behind which it hides" if link <= arithmetic else f"{link / arithmetic:.2f} times as long"
    return (
        f"waiting layers: {plan.fetched_bytes / 1e9:,.1f} GB of weights fetched a chunk; the link takes "
        f"{link / plan.chips:.3f} s for all that moves beside {arithmetic / plan.chips:.3f} s of arithmetic, {hidden}"
    )


def describe_splits(plans: Mapping[str, "Plan"], device: "Device") -> str:
    """Say what splitting over heads and over tokens takes of each chip, and which pays.

    Args:
        plans: by ``heads`` and ``tokens``, of the same rollout with its bank in the same tier.
        device: several chips.
    """
    said = {
        over: f"over {over} {plan.total_bytes / 2**30:.1f} GiB a chip, {plan.sent_bytes / 1e9:.1f} GB sent by each in "
        f"{plan.sent_bytes / device.exchange_bytes:.3f} s"
        for over, plan in plans.items()
    }
    fitting = [over for over, plan in plans.items() if plan.fits(device.memory_bytes)]
    if not fitting:
        advice = "neither fits"
    else:
        best = min(fitting, key=lambda over: plans[over].sent_bytes)
        only = "it alone fits" if len(fitting) == 1 else "both fit, and it sends less"
        advice = f"split {best} (mesh axis {'model' if best == 'heads' else 'sequence'}): {only}"
    return f"{'; '.join(said.values())}: {advice}"


def plan_report(session: "Session", plans: Mapping[str, "Plan"]) -> dict[str, typing.Any]:
    """Collect plans for a JSON file."""
    import dataclasses

    return {
        "request": session.summary,
        "memory": dataclasses.asdict(session.memory),
        "chunks": session.chunks,
        "worlds": session.worlds,
        "placements": {tier: plan.to_json() for tier, plan in plans.items()},
    }


def _cells(plans: Mapping[str, "Plan"], of: Callable[["Plan"], int | None]) -> dict[str, str | None]:
    from worldkv_jax.byte_counts import format_bytes

    sizes = {tier: of(plan) for tier, plan in plans.items()}
    return {tier: None if size is None else format_bytes(size) for tier, size in sizes.items()}


def _moment(plans: Mapping[str, "Plan"]) -> str:
    return " or ".join(dict.fromkeys(plan.moment for plan in plans.values()))


def _yes(plan: "Plan", device: "Device") -> str:
    return "yes" if plan.fits(device.memory_bytes) else "NO"
