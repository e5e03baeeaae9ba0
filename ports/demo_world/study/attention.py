"""Where the demo model looks under full KV, against what its chunks have seen, and what retrieval would bring back."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ports.demo_world.backbone import DemoParams, DemoWorld
from ports.demo_world.scenario import LATE, Scenario
from ports.demo_world.study.runs import noise_of_worlds
from ports.demo_world.study.variants import COVERAGE, OVERLAP
from worldkv_jax.evaluation.attention import AttentionMap, attention_map, rank_correlation
from worldkv_jax.evaluation.attention_rules import covered_mass, rule_picks
from worldkv_jax.files import replacing
from worldkv_jax.memory import RULES, MemoryConfig, Rule
from worldkv_jax.rollout import chunk_inputs, generate_chunk, observe, start

PICKED = (1, 3, 6)  # chunks that each rule may pick
RULE_NAMES: dict[str, Rule] = {
    "released distance": RULES["released"],
    "mended distance": RULES["camera"],
    "view overlap": OVERLAP,
    "overlap with coverage": COVERAGE,
    "attention": RULES["attention"],
    "most recent": RULES["recent"],
    "random": RULES["random"],
}


@dataclasses.dataclass(frozen=True)
class Attention:
    """What full KV looks at while it generates."""

    mass: np.ndarray
    """``[B, chunks, C]``: share of a chunk's attention on each past chunk, over layers, heads and noise levels."""
    overlap: np.ndarray
    """``[B, chunks, C]``: share of a chunk's view that each past chunk has seen."""
    first: int
    """Number of the first generated chunk."""
    correlation: np.ndarray
    """``[B, L, N]``: rank correlation of attention and overlap over the chunks that could be retrieved."""
    covered: dict[str, np.ndarray]
    """By rule: ``[B, len(PICKED)]``, the share of the attention to those chunks that the rule's picks hold, over the
    best picks' share; on late revisits."""
    best: np.ndarray
    """``[B, len(PICKED)]``: the best picks' share."""

    def save(self, path: Path) -> None:
        """Write the analysis to one file, whole or not at all."""
        arrays: dict[str, Any] = {f"covered/{name}": shares for name, shares in self.covered.items()}
        arrays |= {name: value for name, value in vars(self).items() if name != "covered"}
        with replacing(path) as draft, open(draft, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Attention":
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            covered = {k.removeprefix("covered/"): arrays[k] for k in arrays if k.startswith("covered/")}
            others = {name: arrays[name] for name in ("mass", "overlap", "correlation", "best")}
            return cls(first=int(arrays["first"]), covered=covered, **others)


def analyse(backbone: DemoWorld, params: DemoParams, scenario: Scenario, *, seed: int) -> Attention:
    """Roll out full KV and look at every generated chunk, at every noise level of the sampler."""
    worlds, tour = len(scenario.poses), scenario.tour
    inputs = chunk_inputs(scenario.poses, backbone.spec)
    encode = jax.jit(backbone.encode)
    latents = [encode(params, jnp.asarray(scenario.truth[:, i])) for i in range(scenario.chunks)]
    world = start(backbone, params, MemoryConfig(mode="full"), chunks=scenario.chunks, worlds=worlds)
    world = observe(backbone, params, world, inputs[:tour], latents[:tour])
    noise = noise_of_worlds(backbone, seed, range(worlds))
    cameras = jnp.stack([chunk.cameras for chunk in inputs], axis=1)  # [B, C, F, 4, 4]
    masses, overlaps, correlations, covered, best = [], [], [], {name: [] for name in RULE_NAMES}, []
    for number in range(tour, scenario.chunks):
        chunk, draws = inputs[number], noise(number)
        maps = [
            attention_map(
                backbone,
                params,
                world,
                chunk,
                (1 - sigma) * latents[number] + sigma * draws[0],
                t,
                chunks=scenario.chunks,
            )
            for t, sigma in zip(backbone.schedule.times, backbone.schedule.clean_sigmas)
        ]
        mass = np.mean([seen.mass for seen in maps], axis=0)  # [L, B, N, C]
        overlap = _overlap(cameras, chunk.cameras)
        past = (np.arange(scenario.chunks) >= 1) & (np.arange(scenario.chunks) < number - 1)  # not sink, not recent
        correlations.append(np.moveaxis(rank_correlation(mass[..., past], overlap[:, None, past]), 1, 0))
        masses.append(mass.mean(axis=(0, 2)))
        overlaps.append(overlap)
        if scenario.phases[number] == LATE:
            shares = _score_rules(maps[0], cameras, chunk.cameras, masses[-1], past, backbone.spec.chunk_tokens)
            best.append(shares.pop("best"))
            for name, share in shares.items():
                covered[name].append(share)
        _, world = generate_chunk(backbone, params, world, chunk, draws)
    return Attention(
        mass=np.stack(masses, axis=1),
        overlap=np.stack(overlaps, axis=1),
        first=tour,
        correlation=np.nanmean(correlations, axis=0),
        covered={name: np.mean(shares, axis=0) for name, shares in covered.items()},
        best=np.mean(best, axis=0),
    )


def _overlap(cameras: jax.Array, now: jax.Array) -> np.ndarray:
    """Return the share ``[B, C]`` of the views ``[B, F, 4, 4]`` that chunks ``[B, C, F, 4, 4]`` have seen."""

    @jax.jit
    @jax.vmap
    def one_world(index, query):
        index, valid = jax.vmap(OVERLAP.describe_cameras)(index), jnp.ones(index.shape[0], bool)
        return 1 - OVERLAP.score(OVERLAP.describe_cameras(query), index, valid)

    return np.asarray(one_world(cameras, now))


def _score_rules(seen: AttentionMap, cameras, now, mass, past, tokens: int) -> dict[str, np.ndarray]:
    """Return by rule the share ``[B, len(PICKED)]`` of the best picks' attention, and that share as ``best``."""
    keys = seen.context.span.keys  # of full KV: whole chunks in their order
    keys = keys.reshape(*keys.shape[:2], -1, tokens, *keys.shape[3:])
    query, valid, shares, best = seen.queries.mean, jnp.asarray(past), {}, np.zeros(len(PICKED))
    for name, rule in RULE_NAMES.items():
        pairs = []
        for k in PICKED:
            picks = rule_picks(rule, cameras, keys, now, query, valid, k=k)
            pairs.append(covered_mass(mass, picks, past))
        held, best = np.moveaxis(np.array(pairs), 0, -1)  # each [B, len(PICKED)]
        shares[name] = held / best
    return shares | {"best": best}
