"""Recalling and remembering against the size of a full bank, in every tier."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from worldkv_jax.benchmarks.sizing import bank_bytes, check_fits
from worldkv_jax.benchmarks.timing import Effort, measure
from worldkv_jax.benchmarks.views import cycle_views
from worldkv_jax.memory import DEFAULT, BankConfig, KVSpan, KVSpec, WorldMemory, recall, remember
from worldkv_jax.memory.config import Tier
from worldkv_jax.memory.device_bank import DeviceBank
from worldkv_jax.memory.index import pick
from worldkv_jax.memory.layout import Layout
from worldkv_jax.memory.slot_bank import SlotBank
from worldkv_jax.names import check_name
from worldkv_jax.sessions import model_names, open_model

_TINY = KVSpec(layers=2, heads=2, head_dim=8, tokens_per_frame=4)


def shape_named(name: str) -> KVSpec:
    """Return keys and values of a shape: ``tiny``, or those of a model, whose name may be cut short.

    Raises:
        ValueError: no model's name begins so, or the model does not know its size without being told more.
    """
    if name == "tiny":
        return _TINY
    models = [model for model in model_names() if model.startswith(name)]
    model = models[0] if len(models) == 1 else check_name("shape", name, ("tiny", *model_names()))
    return open_model(model).check(weights=False).backbone.spec


Operation = Literal["select", "recall", "remember", "recall + remember"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
"""What is timed at a full bank; ``select`` is the part of ``recall`` that looks at every chunk."""


def plan_storage(
    tiers: Sequence[Tier],
    capacities: Sequence[int],
    *,
    spec: KVSpec,
    retrieve: int = 6,
    keep_ratio: float = 0.25,
    memory_share: float = 0.5,
) -> list[Layout]:
    """Lay out the memories of `measure_storage`: each tier with each capacity, smallest first.

    Args:
        tiers: memories that hold the bank: ``device``, ``pinned_host``, ``host``.
        capacities: chunks in the bank.
        spec: shape of the keys and values.
        retrieve: chunks recalled, at most the smallest capacity.
        keep_ratio: share of the non-anchor tokens that stays.
        memory_share: of the machine's free memory that may be taken, in (0, 1].

    Raises:
        ValueError: a memory too large for this machine, or sizes that do not fit together.
    """
    layouts = []
    for tier, capacity in itertools.product(tiers, sorted(set(capacities))):
        config = dataclasses.replace(
            DEFAULT,
            # Choosing is measured apart, and what a rule needs for it would look like a copy of a small bank.
            retrieval=dataclasses.replace(DEFAULT.parts.retrieval, chunks=retrieve, rule="camera"),
            compression=dataclasses.replace(DEFAULT.parts.compression, keep_ratio=keep_ratio),
            # A full bank then goes on as it is, chunk after chunk, for as many repeats as wanted.
            bank=BankConfig(capacity=capacity, tier=tier, when_full="drop_oldest"),
        )
        layouts.append(Layout(config=config, spec=spec))
        check_fits(layouts[-1], memory_share)
    return layouts


def measure_storage(layouts: Sequence[Layout], *, effort: Effort, seed: int = 0) -> Iterator[dict]:
    """Time `recall` and `remember` at a full bank.

    With the bank on the device both verbs are jitted, apart and together, and the old memory is donated; with a
    host tier they are called outside jit, as it asks for.

    Args:
        layouts: what `plan_storage` made.
        effort: how long to measure.
        seed: of the random cameras, keys and values.

    Yields:
        One row per layout and operation with a `Timing` in seconds and ``ratio``, its median over that of the
        smallest capacity. ``same_buffers`` says whether window and bank lie where they lay before, ``temp_bytes``
        what the compiled program needs besides; both ``None`` where the question does not arise.
    """
    smallest = {}
    for layout in layouts:
        world = _FullWorld(layout, seed)
        for operation in OPERATIONS:
            before = world.places()
            bank = layout.require_bank()
            row: dict[str, Any] = {"tier": bank.config.tier, "operation": operation, "capacity": bank.capacity}
            row["bank_bytes"] = bank_bytes(layout)
            row |= dataclasses.asdict(measure(world.step(operation), effort))
            row["ratio"] = row["median_s"] / smallest.setdefault((row["tier"], operation), row["median_s"])
            row["same_buffers"] = world.places() == before if before else None
            yield {**row, "temp_bytes": world.temp_bytes(operation)}
        del world  # two banks may be more than fits


class _FullWorld:
    """A memory whose bank is full, and the steps timed on it: each returns what is ready when it is done."""

    def __init__(self, layout: Layout, seed: int):
        self.memory = WorldMemory.create(layout.config, layout.spec)
        rng = np.random.default_rng(seed)
        self.own = _random_span(rng, layout.spec)
        self.views = cycle_views(rng, layout.spec.chunk_frames)
        bank = layout.require_bank()
        # Through the same program that is timed, so that the bank is filled as a rollout fills it.
        for _ in range(bank.first_stored + bank.capacity):
            jax.block_until_ready(self.remember())

    def step(self, operation: Operation) -> Callable[[], Any]:
        """Return the step of one of `OPERATIONS`."""
        return dict(zip(OPERATIONS, (self.select, self.recall, self.remember, self.recall_remember)))[operation]

    def select(self):
        bank = self.memory.bank
        assert bank is not None, "it was laid out with one"
        return pick(bank.index, self.memory.chunk, next(self.views), None, bank.layout)

    def recall(self):
        verb = _recall if self.memory.jittable else recall
        return verb(self.memory, next(self.views))

    def remember(self):
        verb = _remember if self.memory.jittable else remember
        self.memory = verb(self.memory, self.own, next(self.views))
        return self._written()

    def recall_remember(self):
        if not self.memory.jittable:
            _, picks = self.recall()  # the context's parts are the window's buffers, which remembering consumes
            return picks, self.remember()
        picks, self.memory = recall_and_remember(self.memory, self.own, next(self.views))
        return picks, self._written()

    def places(self) -> tuple[int, ...] | None:
        """Say where window and bank lie in the device's memory; ``None`` for a bank in host memory."""
        bank = self.memory.bank
        if not isinstance(bank, DeviceBank):
            return None
        buffers = jax.tree.leaves((self.memory.window, bank.slots))
        return tuple(buffer.unsafe_buffer_pointer() for buffer in buffers)

    def temp_bytes(self, operation: str) -> int | None:
        """Ask the compiler what a program needs besides inputs and outputs: a bank that is copied shows here."""
        programs = {"recall": _recall, "remember": _remember, "recall + remember": recall_and_remember}
        if not self.memory.jittable or operation not in programs:
            return None
        view = next(self.views)
        arguments = (self.memory, view) if operation == "recall" else (self.memory, self.own, view)
        plan = programs[operation].lower(*arguments).compile().memory_analysis()
        return None if plan is None else plan.temp_size_in_bytes

    def _written(self):
        bank = self.memory.bank
        if not isinstance(bank, SlotBank):
            return self.memory
        # Waiting for the new chunk alone: asking each slot whether it is ready would itself take O(C).
        newest = (bank.offered - 1 - bank.layout.first_stored) % bank.layout.capacity
        return self.memory.window, bank.index, bank.slots[newest]


def _random_span(rng: np.random.Generator, spec: KVSpec) -> KVSpan:
    shape = spec.shape(1, spec.chunk_tokens)
    # Layers may be alike: the memory compares tokens within a layer only.
    keys, values = (jnp.asarray(rng.standard_normal(shape[1:], np.float32), spec.dtype) for _ in range(2))
    return KVSpan(jnp.broadcast_to(keys, shape), jnp.broadcast_to(values, shape))


@functools.partial(jax.jit, donate_argnums=0)
def recall_and_remember(memory: WorldMemory, own: KVSpan, cameras: jax.Array):
    """Recall, and remember a chunk whose keys and values come from what was recalled, as a model's do.

    Keys and values from elsewhere would leave XLA free to write the bank before it is read, and it copies the whole
    bank to be safe. The context stays inside, as in a model's step: handed out, its parts, which are the window's own
    buffers, would be copied.
    """
    context, picks = recall(memory, cameras)
    attended = jax.tree.map(lambda part: part.mean(), context.span)
    own = jax.tree.map(lambda part, mean: part + mean, own, attended)
    return picks, remember(memory, own, cameras)


_recall = jax.jit(recall)
_remember = jax.jit(remember, donate_argnums=0)
