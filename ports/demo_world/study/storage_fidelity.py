"""What eight bits in the bank cost: error of attention, and fidelity of the demo world, beside the exact bank.

``python -m ports.demo_world.study.storage_fidelity [ROOMS]`` prints the tables of docs/storage.md. Coarser ways to
quantise, which the bank does not offer, are controls: their rounding is put on each chunk of an exact bank once it is
stored.
"""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ports.demo_world.backbone import DemoParams, DemoWorld
from ports.demo_world.scenario import FIRST, LATE, Scenario, make_scenario
from worldkv_jax.evaluation.fidelity import psnr
from worldkv_jax.memory import DEFAULT, BankConfig, KVSpan, MemoryConfig
from worldkv_jax.memory.device_bank import DeviceBank
from worldkv_jax.memory.quantization import Storage, dequantize, quantize
from worldkv_jax.rollout import World, chunk_inputs, observe, rollout, start
from worldkv_jax.sessions.results import print_table

_SEED = 10  # of the rooms
_LARGEST = {"int8": 127.0, "int4": 7.0}

Round = Callable[[KVSpan], KVSpan]


def whole_chunk(kind: str) -> Round:
    """Round to integers with one scale for the keys of a chunk and one for its values, whatever layer and head."""

    def one(x):
        scale = jnp.maximum(jnp.max(jnp.abs(x)), 1e-30) / _LARGEST[kind]
        return jnp.round(x / scale) * scale

    return lambda span: jax.tree.map(one, span)


def bfloat16(span: KVSpan) -> KVSpan:
    """Round to bfloat16, which large models store anyway."""
    return jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(x.dtype), span)


def as_stored(storage: Storage) -> Round:
    """Round as a bank does."""
    return lambda span: dequantize(quantize(span, storage, "float32"), "float32")


VARIANTS: dict[str, tuple[Storage, Round | None]] = {
    "float32": ("model", None),
    "bfloat16": ("model", bfloat16),
    "int8": ("int8", None),
    "float8": ("float8", None),
    "int8, one scale a chunk": ("model", whole_chunk("int8")),
    "int4, one scale a chunk": ("model", whole_chunk("int4")),
}
"""Storage of the bank, and what is done to each stored chunk besides."""


def attention_errors(tokens: int = 2000, head_dim: int = 128, queries: int = 200) -> list[dict]:
    """Measure by how much attention to drawn keys and values is off, relative to its size.

    Each query resembles one of the keys. Keys and values are normal; then four channels of every head's keys are ten
    times as large, or heads or the values of tokens differ in size, as they do in trained models.
    """
    rng, heads = np.random.default_rng(0), 4
    key, value = rng.normal(size=(2, tokens, heads, head_dim))
    query = rng.normal(size=(queries, heads, head_dim)) + key[rng.integers(0, tokens, queries)]
    channels = np.where(rng.permuted(np.tile(np.arange(head_dim), (heads, 1)), axis=1) < 4, 10.0, 1.0)
    of_heads = np.array([0.1, 1.0, 1.0, 8.0])[:, None]
    of_tokens = np.exp(1.2 * rng.normal(size=(tokens, 1, 1)))
    cases = {
        "normal": (key, value),
        "four large channels": (key * channels, value),
        "unequal heads": (key * of_heads, value * of_heads),
        "unequal tokens": (key, value * of_tokens),
    }
    rows = []
    for name, (storage, rounding) in list(VARIANTS.items())[1:]:
        row = {"stored as": name}
        for case, exact in cases.items():
            exact = KVSpan(*(jnp.asarray(x, jnp.float32) for x in exact))
            want = _attend(query, exact)
            off = _attend(query, (rounding or as_stored(storage))(exact)) - want
            row[case] = f"{100 * float(jnp.linalg.norm(off) / jnp.linalg.norm(want)):.2f} %"
        rows.append(row)
    return rows


def revisit_fidelity(
    backbone: DemoWorld,
    params: DemoParams,
    scenario: Scenario,
    storage: Storage,
    rounding: Round | None,
    *,
    seed: int = 0,
) -> np.ndarray:
    """Observe the tour, generate the rest, and score it: PSNR in dB ``[B, chunks]`` of what was generated."""
    inputs, worlds = chunk_inputs(scenario.poses, backbone.spec), len(scenario.poses)
    tour = backbone.encode(params, jnp.asarray(scenario.truth[:, : scenario.tour]))
    world = start(backbone, params, _memory(storage), chunks=scenario.chunks, worlds=worlds)
    frames = []
    for i, chunk in enumerate(inputs):
        if i < scenario.tour:
            world = observe(backbone, params, world, [chunk], [tour[:, i]])
        else:
            made, world = rollout(backbone, params, world, [chunk], key=jax.random.key(seed))
            frames.append(made[0].frames)
        if rounding is not None:
            world = _round_newest(world, rounding)
    return psnr(np.stack(frames, axis=1), scenario.truth[:, scenario.tour :]).mean(axis=-1)


def main(worlds: int = 16) -> None:
    """Measure all variants on so many held-out rooms and print one row each."""
    errors = attention_errors()
    print_table(errors, list(errors[0]))
    print()
    backbone, params = DemoWorld.load()
    scenario = make_scenario(_SEED, worlds)
    rows, exact = [], None
    for name, (storage, rounding) in VARIANTS.items():
        scores = revisit_fidelity(backbone, params, scenario, storage, rounding)
        exact = scores if exact is None else exact
        row: dict[str, Any] = {"stored as": name}
        for phase in (FIRST, LATE):
            chosen = [p == phase for p in scenario.phases[scenario.tour :]]
            row[phase] = f"{scores[:, chosen].mean():.2f} dB"
            change = (scores - exact)[:, chosen].mean(axis=1)  # of each world: its chunks are not independent
            row[f"{phase}: change"] = f"{change.mean():+.3f} ± {change.std(ddof=1) / len(change) ** 0.5:.3f} dB"
        rows.append(row)
    print_table(rows, list(rows[0]))


def _attend(query: np.ndarray, span: KVSpan) -> jax.Array:
    logits = jnp.einsum("tnh,snh->nts", jnp.asarray(query, jnp.float32), span.keys) * query.shape[-1] ** -0.5
    return jnp.einsum("nts,snh->tnh", jax.nn.softmax(logits), span.values)


def _memory(storage: Storage) -> MemoryConfig:
    return dataclasses.replace(DEFAULT, bank=BankConfig(storage=storage))


def _round_newest(world: World, rounding: Round) -> World:
    memory, bank = world.memory, world.memory.bank
    assert isinstance(bank, DeviceBank), "the memories of this study lie in one array"
    slot = int(memory.chunk) - 1 - bank.layout.first_stored
    if slot < 0:
        return world
    newest = rounding(jax.tree.map(lambda slots: slots[slot], bank.slots))
    slots = jax.tree.map(lambda slots, new: slots.at[slot].set(new), bank.slots, newest)
    return world._replace(memory=memory.replace(bank=bank.replace(slots=slots)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
