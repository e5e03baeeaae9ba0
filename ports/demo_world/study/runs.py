"""One variant of the study on many worlds, measured once and then read from disk."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from ports.demo_world.backbone import DemoParams, DemoWorld
from ports.demo_world.scenario import (
    LAP,
    TOUR,
    Scenario,
    latest_phase,
    make_phases,
    make_scenario,
    observe_tour,
)
from ports.demo_world.study.moving import masked_psnr, moving_pixels_of
from ports.demo_world.study.occlusion import behind_walls, rooms_of_chunks
from ports.demo_world.study.truth import TrulyConditioned, TrulyRemembering
from ports.demo_world.study.variants import Variant
from ports.demo_world.worlds.families import ROOMS, Family
from ports.wan.nn.quantized import quantize_blocks
from worldkv_jax.evaluation.fidelity import psnr, ssim
from worldkv_jax.memory import KVSpec
from worldkv_jax.memory.layout import Layout
from worldkv_jax.memory.report import attended_tokens, capacity_by_tier
from worldkv_jax.rollout import ChunkInput, Noise, stream
from worldkv_jax.sessions.results import write_json

_FORMAT = 1  # raise it when old results no longer mean the same
_BATCH_CHUNKS = 300  # world-chunks of a batch: bounds full KV to about 1 GB


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all variants of a split share."""

    seed: int
    """Of rooms, cameras and noise."""
    worlds: int
    checkpoint: str
    """SHA-256 of the weights."""
    family: Family = ROOMS
    """Of the worlds."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What one variant made; arrays cover the generated chunks."""

    name: str
    phases: tuple[str, ...]
    """Of each generated chunk."""
    psnr: np.ndarray
    """``[B, chunks]`` dB against the renderer."""
    ssim: np.ndarray
    attended: int
    """Stored tokens that the last chunk attends to."""
    stored_bytes: int
    """Keys and values in memory at the end, of one world, all tiers."""
    stored_share: float
    """The same, as a share of what full KV holds."""
    seconds: float
    behind: float | None = None
    """Share of the chunks brought back that were seen behind a wall, where there are walls and a bank."""
    moving: np.ndarray | None = None
    """``[B]`` dB over the pixels that show what moves, latest phase; NaN for worlds in which none did."""

    @property
    def latest(self) -> str:
        """The latest phase that the rollout has."""
        return latest_phase(self.phases)

    def of_phase(self, phase: str, scores: np.ndarray | None = None) -> np.ndarray:
        """Average each world's scores over the chunks of a phase: ``[B]``."""
        scores = self.psnr if scores is None else scores
        return scores[:, [p == phase for p in self.phases]].mean(axis=1)


class _Stage(NamedTuple):
    """A scenario, and what is known of its pictures beside their colours."""

    scenario: Scenario
    rooms: np.ndarray | None  # of `rooms_of_chunks`, where there are walls
    moves: np.ndarray | None  # of `moving_pixels_of` [B, chunks, 3, H, W], where anything moves


class Runner:
    """Measures variants on one split, and keeps what it has measured in a folder."""

    def __init__(self, backbone: DemoWorld, params: DemoParams, setting: Setting, folder: Path):
        self.backbone = TrulyConditioned(backbone.config, backbone.schedule)
        self.params, self.setting, self.folder = params, setting, folder
        self._stages: dict[tuple, _Stage] = {}

    def run(self, variant: Variant, *, worlds: int | None = None) -> tuple[Result, bool]:
        """Measure a variant, or read what an earlier run measured.

        Args:
            variant: what to measure.
            worlds: the first so many worlds only.

        Returns:
            The result, and whether it was there already.
        """
        worlds = worlds or self.setting.worlds
        path = self.folder / f"{_digest(variant, self.setting, worlds)}.json"
        scores = _read(path)
        if scores is not None:
            return self._result(variant, scores), True
        scores = self._measure(variant, worlds)
        write_json(path, {"format": _FORMAT, "memory": _essence(variant.memory), **scores})
        return self._result(variant, scores), False

    def scenario(self, variant: Variant) -> Scenario:
        """Return the split's worlds with the variant's cameras, rendered once."""
        return self._stage(variant).scenario

    def _stage(self, variant: Variant) -> _Stage:
        setting, family = self.setting, self.setting.family
        path = _path(variant, family)
        key = tuple(path.values())
        if key not in self._stages:
            scenario = make_scenario(setting.seed, setting.worlds, family=family, **path)
            rooms = moves = None
            if family.rooms_seen is not None:
                rooms = rooms_of_chunks(family, scenario)
            if family.moving_pixels is not None:
                moves = moving_pixels_of(family, scenario)
                moves = moves.reshape(len(moves), scenario.chunks, -1, *moves.shape[2:])
            self._stages[key] = _Stage(scenario, rooms, moves)
        return self._stages[key]

    def _measure(self, variant: Variant, worlds: int) -> dict:
        stage, since = self._stage(variant), time.perf_counter()
        scenario = stage.scenario
        size = min(worlds, max(1, _BATCH_CHUNKS // scenario.chunks))
        batches = [range(first, min(first + size, worlds)) for first in range(0, worlds, size)]
        frames, retrieved = zip(*(self._measure_batch(variant, scenario, batch) for batch in batches))
        made = np.concatenate(frames)
        truth = scenario.truth[:worlds, scenario.tour :]
        scores = {name: score(made, truth).mean(axis=-1) for name, score in (("psnr", psnr), ("ssim", ssim))}
        moving, behind = _moving(stage, made, truth), _behind(stage, retrieved)
        return {**scores, "behind": behind, "moving": moving, "seconds": time.perf_counter() - since}

    def _result(self, variant: Variant, scores: dict) -> Result:
        path = _path(variant, self.setting.family)
        phases = make_phases(path["laps"], path["lap"], tour_laps=path["tour_laps"])[: path["chunks"]]
        layout = Layout(config=variant.memory, spec=self.backbone.spec, chunks=len(phases))
        stored = sum(capacity_by_tier(layout).values())
        return Result(
            name=variant.name,
            phases=tuple(phase for phase in phases if phase != TOUR),
            attended=attended_tokens(layout, len(phases) - 1),
            stored_bytes=stored,
            stored_share=stored / layout.spec.bytes(1, layout.spec.chunk_tokens * len(phases)),
            psnr=np.asarray(scores["psnr"]),
            ssim=np.asarray(scores["ssim"]),
            seconds=scores["seconds"],
            behind=scores.get("behind"),
            moving=None if scores.get("moving") is None else np.array(scores["moving"], float),
        )

    def _measure_batch(
        self, variant: Variant, scenario: Scenario, worlds: range
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the generated frames ``[worlds, chunks, 3, H, W, 3]``, and by chunk which were brought back."""
        schedule = self.backbone.schedule.fewer_passes(variant.steps, variant.commit)
        backbone, tour = dataclasses.replace(self.backbone, schedule=schedule), scenario.tour
        if variant.true_past:
            backbone = TrulyRemembering(backbone.config, schedule)
        params = self.params
        if variant.weights is not None:
            model = jax.tree.map(jnp.copy, params.model)  # whose kernels are consumed
            params = params._replace(model=quantize_blocks(model, variant.weights))
        chosen = slice(worlds.start, worlds.stop)
        inputs = _inputs(scenario.poses[chosen], backbone.spec, variant.noise, seed=self.setting.seed, worlds=worlds)
        if variant.true_past:
            truth = backbone.encode(params, jnp.asarray(scenario.truth[chosen]))
            inputs = [ChunkInput(c.cameras, (c.conditions, truth[:, i])) for i, c in enumerate(inputs)]
        world = observe_tour(backbone, params, variant.memory, inputs, scenario.truth[chosen, :tour])
        noise = noise_of_worlds(backbone, self.setting.seed, worlds)
        chunks = list(stream(backbone, params, world, inputs[tour:], noise=noise))
        frames = [np.asarray(chunk.frames) for chunk in chunks]
        return np.stack(frames, axis=1), [chunk.retrieved for chunk in chunks]


def _moving(stage: _Stage, made: np.ndarray, truth: np.ndarray) -> np.ndarray | None:
    """Score what moves, where anything does, over the latest phase."""
    if stage.moves is None:
        return None
    phases = np.array([phase for phase in stage.scenario.phases if phase != TOUR])
    latest = phases == latest_phase(stage.scenario.phases)
    moves = stage.moves[: len(made), stage.scenario.tour :]
    return masked_psnr(*(a[:, latest].reshape(len(a), -1, *a.shape[3:]) for a in (made, truth, moves)))


def _behind(stage: _Stage, retrieved: Sequence[Sequence[np.ndarray]]) -> float | None:
    """Average how often what was brought back lies behind a wall; ``retrieved`` by batch and chunk."""
    if stage.rooms is None:
        return None
    picks = [np.concatenate(of_batches) for of_batches in zip(*retrieved)]
    shares = behind_walls(stage.rooms[: len(picks[0])], picks, stage.scenario.tour)
    return None if np.isnan(shares).all() else float(np.nanmean(shares))


def noise_of_worlds(backbone: DemoWorld, seed: int, worlds: range) -> Noise:
    """Give each world noise of its own, which does not depend on the batch it is in."""
    keys = jax.vmap(lambda world: jax.random.fold_in(jax.random.key(seed), world))(jnp.asarray(worlds))
    shape = (backbone.schedule.steps, *backbone.latent_shape)

    @jax.jit
    def draw(keys, index):
        return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, index), shape), out_axes=1)(keys)

    return lambda index: draw(keys, np.int32(index))


def _path(variant: Variant, family: Family) -> dict:
    """Return the options of `make_scenario` for a variant, which counts the tour as one lap."""
    tour = family.tour_laps if variant.tour_laps is None else variant.tour_laps
    laps = variant.laps + tour - 1
    return {"laps": laps, "lap": variant.lap, "arc": variant.arc, "chunks": variant.cut, "tour_laps": tour}


def _inputs(poses: np.ndarray, spec: KVSpec, noise: tuple[float, float], *, seed: int, worlds: range):
    """Cut paths ``[B, n, 4, 4]`` into chunks: the memory's cameras with noise, the model's without."""
    count, size = poses.shape[1] // spec.chunk_frames, spec.chunk_frames
    true = poses.reshape(len(poses), count, size, 4, 4)
    noisy = np.stack([_disturb(path, noise, [seed, world]) for path, world in zip(true, worlds)])
    return [
        ChunkInput(jnp.asarray(noisy[:, i], jnp.float32), jnp.asarray(true[:, i], jnp.float32)) for i in range(count)
    ]


def _disturb(path: np.ndarray, noise: tuple[float, float], seed: list[int]) -> np.ndarray:
    """Turn and move the cameras ``[chunks, F, 4, 4]`` of each chunk together: what is off by frame averages out."""
    degrees, distance = noise
    rng = np.random.default_rng(seed)
    turn = Rotation.from_rotvec(rng.normal(size=(len(path), 3)) * np.deg2rad(degrees) / np.sqrt(3)).as_matrix()
    shift = rng.normal(size=(len(path), 3)) * distance / np.sqrt(3)
    disturbed = np.array(path, np.float64)
    disturbed[..., :3, :3] = turn[:, None] @ disturbed[..., :3, :3]
    disturbed[..., :3, 3] += shift[:, None]
    return disturbed


def _digest(variant: Variant, setting: Setting, worlds: int) -> str:
    """Name a measurement by everything that it depends on, but not by how the variant is called."""
    memory = _essence(variant.memory)
    what = [memory, variant.laps, variant.noise, setting.seed, worlds, setting.checkpoint, _FORMAT]
    what += [variant.lap] if variant.lap != LAP else []
    # Named only where they are not the default, so that measurements made without these options keep their names.
    optional = (
        ("arc", variant.arc, 360.0),
        ("cut", variant.cut, None),
        ("true_past", variant.true_past, False),
        ("family", setting.family.name, ROOMS.name),
        ("tour_laps", variant.tour_laps, None),
    )
    what += [[name, value] for name, value, usual in optional if value != usual]
    what += [variant.speed] if variant.speed else []
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def _essence(value):
    """Describe a configuration by what is not left at its default: new options leave old measurements valid."""
    if not dataclasses.is_dataclass(value):
        return value if isinstance(value, str | int | float | None) else repr(value)
    values = {field.name: (getattr(value, field.name), field.default) for field in dataclasses.fields(value)}
    return {"is": type(value).__name__} | {name: _essence(v) for name, (v, default) in values.items() if v != default}


def _read(path: Path) -> dict | None:
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):  # not there, or cut short
        return None
    return data if data.get("format") == _FORMAT else None
