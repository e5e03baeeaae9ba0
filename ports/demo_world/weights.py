"""Weights of the demo world: one safetensors file that holds codec, model and its sizes."""

import contextlib
import dataclasses
import json
from collections.abc import Generator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax
import numpy as np

from worldkv_jax.entry_points import hidden_by
from worldkv_jax.extras import optional_imports

with optional_imports():
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import save

from ports.demo_world.codec import Codec
from ports.demo_world.model import DemoConfig, DemoDiT
from ports.wan.nn.parameters import abstract_params
from worldkv_jax.files import replacing

_CODEC, _MODEL = "codec.", "model."
_SHIPPED = {
    ("rooms", "clips"): "demo_rooms_clips.safetensors",
    ("rooms", "gaps"): "demo_rooms_gaps.safetensors",
    ("apartments", "clips"): "demo_apartments_clips.safetensors",
}
"""Released weights by family of worlds and by what the model saw of the past while it was trained."""


def shipped_weights(world: str = "rooms", past: str = "clips") -> Path:
    """Return the file of the weights that are released with the package.

    Raises:
        ValueError: there are none of this kind.
        FileNotFoundError: another package of the same name hides the one with the file.
    """
    if (world, past) not in _SHIPPED:
        have = "; ".join(f"world {w}, past {p}" for w, p in _SHIPPED)
        raise ValueError(
            f"no weights of world {world}, past {past} are released (there are: {have}); train them with "
            f"`worldkv train --world {world} --past {past}` and give the file as `checkpoint`"
        )
    path = Path(str(files("checkpoints") / _SHIPPED[world, past]))
    if not path.is_file() and (hidden := hidden_by("checkpoints")):
        raise FileNotFoundError(f"{path} is not there: {hidden}; start elsewhere, or rename it")
    return path


def save_weights(path: Path, config: DemoConfig, codec: Codec, params: Any) -> None:
    """Write codec (float32) and model (float16) to one file, whole or not at all."""
    tensors = {_CODEC + name: np.asarray(value) for name, value in codec._asdict().items()}
    for keys, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        tensors[_name(keys)] = np.asarray(leaf, np.float16)
    with replacing(path) as draft:
        draft.write_bytes(save(tensors, metadata={"config": json.dumps(dataclasses.asdict(config))}))


def read_config(path: Path) -> DemoConfig:
    """Read the model's sizes and check that all tensors are there; reads no weights.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or is not a demo world's; every wrong tensor is named.
    """
    with _opened(path) as file:
        return _check_head(path, file)


def load_weights(path: Path) -> tuple[DemoConfig, Codec, Any]:
    """Read what `save_weights` wrote, as float32.

    Returns:
        The model's sizes, the codec, and the parameters as a pure dictionary.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or is not a demo world's; every wrong tensor is named.
    """
    with _opened(path) as file:
        config = _check_head(path, file)
        expected, abstract = _expected(config)
        tensors = {n: file.get_tensor(n).astype(np.float32) for n in expected}
    if not all(np.isfinite(t).all() for t in tensors.values()):
        raise ValueError(f"{path} is damaged: it holds values that are not finite; reinstall worldkv-jax")
    tensors = jax.device_put(tensors)  # converted on the host: on the device it would be a program for each shape
    codec = Codec(**{name: tensors[_CODEC + name] for name in Codec._fields})
    params = jax.tree_util.tree_map_with_path(lambda keys, _: tensors[_name(keys)], abstract)
    return config, codec, params


@contextlib.contextmanager
def _opened(path: Path) -> Generator[Any]:
    open(path, "rb").close()  # a folder, or a file that may not be read, is no damaged file
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} holds no weights of a demo world, or is damaged ({error}); `worldkv train --out DIR` makes such "
            "files, and what worldkv-jax ships comes back when it is installed again"
        ) from error


def _check_head(path: Path, file: Any) -> DemoConfig:
    config = DemoConfig(**json.loads((file.metadata() or {})["config"]))
    found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    expected, _ = _expected(config)
    problems = [f"missing {n}" for n in sorted(expected.keys() - found.keys())]
    problems += [f"unexpected {n}" for n in sorted(found.keys() - expected.keys())]
    problems += [
        f"{n} has shape {found[n]}, expected {expected[n]}"
        for n in sorted(expected.keys() & found.keys())
        if found[n] != expected[n]
    ]
    if problems:
        raise ValueError("\n  ".join([f"{path} is not a demo world checkpoint:", *problems]))
    return config


def _name(keys) -> str:
    return _MODEL + ".".join(str(k.key) for k in keys)


def _expected(config: DemoConfig) -> tuple[dict[str, tuple[int, ...]], Any]:
    """Names and shapes of all tensors, and the abstract parameters, without allocating any."""
    abstract = abstract_params(DemoDiT, config)
    shapes = {_name(keys): leaf.shape for keys, leaf in jax.tree_util.tree_flatten_with_path(abstract)[0]}
    codec = Codec.shapes(config.family.cell, config.family.channels)
    shapes |= {_CODEC + name: shape for name, shape in codec.items()}
    return shapes, abstract
