"""Train the demo world: seeded, resumable, with a curve that shows memory emerge."""

import csv
import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from checkpoints.pytrees import load_pytree, save_pytree
from ports.demo_world.codec import Codec, fit_codec
from ports.demo_world.model import DemoConfig, DemoDiT
from ports.demo_world.model_choice import Past
from ports.demo_world.training.objective import flow_loss, importance_of
from ports.demo_world.training.probe import make_probe, revisit_psnr
from ports.demo_world.training.training_data import TRAIN_SEED, sample_batch
from ports.demo_world.weights import load_weights, save_weights
from ports.demo_world.worlds.families import Family
from ports.wan.nn.parameters import init_params
from worldkv_jax.sessions.results import write_json

_STATE, _WEIGHTS = "state", "demo_world.safetensors"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How the demo model is trained."""

    steps: int = 2400
    batch: int = 8
    chunks: int = 7
    worlds: int = 2048
    """Drawn to take walks in."""
    learning_rate: float = 0.01
    seed: int = 0
    report_every: int = 250
    begin: str | None = None
    """File of weights to go on from; drawn ones unless given."""
    visible: float = 0.0
    """How much of a latent number's visibility its error counts: from 0, all the same, to 1, as in pixels."""
    past: Past = "clips"
    """What chunks see of the past, see `sample_batch`."""

    def __post_init__(self):
        if self.past not in get_args(Past):
            raise ValueError(f"`past` {self.past!r}: one of {', '.join(get_args(Past))}")
        if not 0 <= self.visible <= 1:
            raise ValueError(f"`visible` {self.visible}: from 0, all latent numbers alike, to 1, as in pixels")


class TrainState(NamedTuple):
    """Everything that training carries from step to step."""

    params: Any
    average: Any  # exponential moving average of params: what is shipped
    optimizer: Any
    step: jax.Array  # int32


def optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Build Muon for the blocks' matrices and Adam for the rest, under one cosine schedule."""
    warmup = min(200, config.steps // 5)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, warmup, config.steps, 0.02 * config.learning_rate
    )

    def matrices(params):
        def dimensions(path, leaf):
            names = jax.tree_util.keystr(path)
            stacked_matrix = "blocks" in names and "kernel" in names
            return optax.contrib.MuonDimensionNumbers(1, 2) if stacked_matrix else None

        return jax.tree_util.tree_map_with_path(dimensions, params)

    muon = optax.contrib.muon(
        schedule,
        adam_learning_rate=lambda step: 0.2 * schedule(step),
        muon_weight_dimension_numbers=matrices,
    )
    return optax.chain(optax.clip_by_global_norm(1.0), muon)


@functools.partial(jax.jit, static_argnames=("config", "model_config"), donate_argnums=0)
def advance(
    state: TrainState,
    worlds: Any,
    codec: Codec,
    *,
    config: TrainConfig,
    model_config: DemoConfig,
) -> tuple[TrainState, jax.Array]:
    """Take one step; return the new state and the loss."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), state.step))
    batch = sample_batch(
        keys[0],
        worlds,
        codec,
        family=model_config.family,
        size=config.batch,
        chunks=config.chunks,
        past=config.past,
    )
    noise, importance = jax.random.normal(keys[1], batch.latents.shape), importance_of(codec, config.visible)
    loss, gradient = jax.value_and_grad(lambda p: flow_loss(model_config, p, batch, noise, importance))(state.params)
    updates, opt_state = optimizer(config).update(gradient, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    step = state.step.astype(jnp.float32)
    decay = jnp.minimum(0.998, (1 + step) / (10 + step))
    average = jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, state.average, params)
    return TrainState(params, average, opt_state, state.step + 1), loss


def train(
    config: TrainConfig,
    model_config: DemoConfig,
    out: Path,
    *,
    log: Callable[[str], None] = print,
    stop_at: int | None = None,
) -> None:
    """Train, or go on where ``out`` stops; writes the state, ``curve.csv`` and ``demo_world.safetensors``.

    Args:
        config: how to train.
        model_config: what to train.
        out: folder of the run.
        log: is given a line for every report.
        stop_at: stop after this step instead of the last one; the schedule stays that of all steps.
    """
    out.mkdir(parents=True, exist_ok=True)
    _check_folder(out, config, model_config)
    family = model_config.family
    worlds = jax.tree.map(jnp.asarray, family.make(TRAIN_SEED, config.worlds))
    if (out / _STATE).is_dir():
        codec, state = _resume(config, model_config, out)
        log(f"resuming at step {int(state.step)}")
    else:
        codec, params = _begin(config, model_config, worlds)
        state = _state_of(config, params)
    probe = make_probe(codec, family, chunks=config.chunks)
    losses, since = [], time.time()
    last = config.steps if stop_at is None else stop_at
    for step in range(int(state.step) + 1, last + 1):
        state, loss = advance(state, worlds, codec, config=config, model_config=model_config)
        losses.append(loss)
        if step % config.report_every and step != last:
            continue
        loss = float(np.mean(jax.device_get(losses)))  # waits for the steps
        seconds = (time.time() - since) / len(losses)
        row = {"step": step, "loss": loss, **revisit_psnr(model_config, state.average, codec, probe)}
        _append(out / "curve.csv", {k: round(v, 4) for k, v in row.items()})
        log(" ".join(f"{k}={v:.4g}" for k, v in row.items()) + f" seconds_per_step={seconds:.3f}")
        # The weights first, which hold the codec: where there is a state, there is what goes on with it.
        save_weights(out / _WEIGHTS, model_config, codec, state.average)
        save_pytree(out / _STATE, state)
        losses, since = [], time.time()


def _check_folder(out: Path, config: TrainConfig, model_config: DemoConfig) -> None:
    """Keep beside the state what it was trained with, and refuse to go on otherwise.

    Raises:
        ValueError: the folder holds another run.
    """
    asked = dataclasses.asdict(config) | dataclasses.asdict(model_config)
    del asked["report_every"]
    path = out / "training.json"
    if path.exists():
        # A run that was begun without some of the options has their defaults.
        kept = dataclasses.asdict(TrainConfig()) | dataclasses.asdict(DemoConfig()) | json.loads(path.read_text())
        differ = [
            f"{name}={kept.get(name)!r}, now {value!r}" for name, value in asked.items() if kept.get(name) != value
        ]
        if differ:
            raise ValueError(f"{out} holds another run ({'; '.join(differ)}); ask for the same, or name another folder")
    write_json(path, asked)


def _resume(config: TrainConfig, model_config: DemoConfig, out: Path) -> tuple[Codec, TrainState]:
    """Return codec and state of a run that stopped; nothing is read again of what it began with."""
    _, codec, _ = load_weights(out / _WEIGHTS)
    return codec, load_pytree(out / _STATE, _state_of(config, _drawn(config, model_config)))


def _state_of(config: TrainConfig, params: Any) -> TrainState:
    return TrainState(params, jax.tree.map(jnp.copy, params), optimizer(config).init(params), jnp.int32(0))


def _drawn(config: TrainConfig, model_config: DemoConfig) -> Any:
    return init_params(DemoDiT, model_config, config.seed, generator="threefry2x32")


def _begin(config: TrainConfig, model_config: DemoConfig, worlds: Any) -> tuple[Codec, Any]:
    """Return codec and parameters to begin with: of a file, or a codec that fits the worlds and drawn weights."""
    if config.begin is None:
        return _fit_codec(model_config.family, worlds), _drawn(config, model_config)
    found, codec, params = load_weights(Path(config.begin))
    if found != model_config:
        raise ValueError(f"{config.begin} holds {found}, and {model_config} was asked for; ask for the same sizes")
    return codec, params


def _fit_codec(family: Family, worlds: Any) -> Codec:
    """Fit the codec to a few walks through training worlds."""
    some = jax.tree.map(lambda a: a[:64], worlds)
    keys = jax.random.split(jax.random.key(5), len(jax.tree.leaves(some)[0]))
    walk = jax.vmap(lambda key, world: family.render(world, family.walk(key, world, 8, jumps=True)))
    frames = np.asarray(jax.jit(walk)(keys, some)).reshape(-1, *family.size, 3)
    return fit_codec(frames, cell=family.cell, channels=family.channels)


def _append(path: Path, row: dict) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)
