"""What the rollout benchmark compares: memories, lengths of rollout, and places of the bank that fit this machine."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

from worldkv_jax.byte_counts import format_bytes
from worldkv_jax.memory import DEFAULT, OFFICIAL, KVSpec, MemoryConfig
from worldkv_jax.memory.config import Tier
from worldkv_jax.memory.layout import Layout
from worldkv_jax.names import check_name
from worldkv_jax.sessions.free_memory import available_host_bytes, device_limit
from worldkv_jax.sessions.plan import Plan, make_plan
from worldkv_jax.sessions.session import Session

MODES = ("full", "sliding", "sink-recent", "worldkv", "sliding-official", "worldkv-official")
"""Memories; both sliding windows and sink + recent attend to as many tokens as the WorldKV they stand against."""

RIVALS = {"worldkv": "sliding", "worldkv-official": "sliding-official"}
"""The window that attends to as many tokens but retrieves nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One memory at one length of rollout."""

    mode: str
    length: int
    """The last timed chunk is the one that completes a rollout of this length."""
    room: int
    """Chunks that the memory is made for: one more, so that the last timed chunk has one behind it."""
    memory: MemoryConfig
    live: bool = False
    """Whether cameras are given one at a time, each when the chunk before has been seen."""
    plan: Plan = dataclasses.field(compare=False)
    skipped: str | None = None
    """Why it is not measured."""

    @property
    def tier(self) -> str | None:
        """Memory that holds the bank."""
        return None if self.memory.bank is None else self.memory.bank.tier

    def layout(self, spec: KVSpec, worlds: int) -> Layout:
        """Resolve the memory for a model."""
        return Layout(config=self.memory, spec=spec, worlds=worlds, chunks=self.room)


def memories(spec: KVSpec) -> dict[str, MemoryConfig]:
    """Configure the memories of `MODES` for one model."""
    width = {name: _width(profile, spec) for name, profile in (("default", DEFAULT), ("official", OFFICIAL))}
    sink = spec.chunk_frames
    return {
        "full": MemoryConfig(mode="full"),
        "sliding": MemoryConfig(mode="sliding", recent_frames=width["default"]),
        "sink-recent": MemoryConfig(
            mode="sink_recent", sink_frames=sink, recent_frames=max(sink, width["default"] - sink)
        ),
        "worldkv": DEFAULT,
        "sliding-official": MemoryConfig(mode="sliding", recent_frames=width["official"]),
        "worldkv-official": OFFICIAL,
    }


def plan_cases(session: Session, *, modes: Sequence[str], lengths: Sequence[int], tiers: Sequence[Tier]) -> list[Case]:
    """Lay out what is to be measured, smallest first, so that the peak of device memory belongs to the latest case.

    Full KV is measured at every length, the others at the shortest and the longest, between which nothing changes;
    WorldKV with its bank in every tier, and in host memory also with live cameras at the longest.

    Args:
        session: the model.
        modes: names of `MODES`.
        lengths: of the rollouts, in chunks.
        tiers: memories for the bank.

    Raises:
        ValueError: an unknown mode or tier, or lengths that a memory does not allow.
    """
    known, longest = memories(session.backbone.spec), max(lengths)
    place, cases = functools.partial(_place, session), []
    for mode in dict.fromkeys(modes):
        memory = known[check_name("mode", mode, MODES)]
        if memory.bank is None:
            at = set(lengths) if mode == "full" else {min(lengths), longest}
            rooms = {length: length + 1 if mode == "full" else longest + 1 for length in at}
            cases += [place(mode=mode, length=length, room=room, memory=memory) for length, room in rooms.items()]
            continue
        for tier in dict.fromkeys(tiers):
            bank = dataclasses.replace(memory.bank, capacity=longest + 1, tier=tier)
            placed = dataclasses.replace(memory, bank=bank)
            ways = [(length, False) for length in {min(lengths), longest}]
            ways += [(longest, True)] if tier != "device" else []
            cases += [
                place(mode=mode, length=length, room=longest + 1, memory=placed, live=live) for length, live in ways
            ]
    return sorted(cases, key=lambda case: (case.plan.total_bytes, case.length, case.live))


def _width(profile: MemoryConfig, spec: KVSpec) -> int:
    """Count the frames that hold as many tokens as the context of a memory."""
    layout = Layout(config=profile, spec=spec, chunks=1000)
    return math.ceil(layout.context_tokens / spec.tokens_per_frame)


def _place(session: Session, *, memory: MemoryConfig, room: int, **names: Any) -> Case:
    """Make a case that fits the device, or says why not; a bank there may be smaller and drop its oldest chunks."""

    def plan(memory: MemoryConfig) -> Plan:
        return make_plan(session.backbone, memory, session.cost, chunks=room, worlds=session.worlds)

    planned, limit = plan(memory), _device_limit()
    case = Case(**names, room=room, memory=memory, plan=planned)
    if planned.fits(limit):
        return case
    needs = f"needs {format_bytes(planned.total_bytes)} on the device, which has {format_bytes(limit)}"
    if case.tier != "device":
        return dataclasses.replace(case, skipped=needs)
    layout = case.layout(session.backbone.spec, session.worlds)
    placed = layout.require_bank()
    capacity = placed.capacity - math.ceil((planned.total_bytes - limit) / placed.chunk_bytes)
    if capacity < placed.retrieval.chunks + placed.candidate_lag:
        return dataclasses.replace(case, skipped=needs)
    bank = dataclasses.replace(memory.parts.bank, capacity=capacity, when_full="drop_oldest")
    smaller = dataclasses.replace(memory, bank=bank)
    return dataclasses.replace(case, memory=smaller, plan=plan(smaller))


def _device_limit() -> int:
    """Return the bytes that programs may take: the device's, or on a CPU half of what is free."""
    limit = device_limit()
    return available_host_bytes() // 2 if limit is None else limit
