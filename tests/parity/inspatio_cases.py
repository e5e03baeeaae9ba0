"""Golden cases of InSpatio-World: found by what they describe, and made into a backbone, weights and sources."""

from pathlib import Path

import jax
import numpy as np

from ports.inspatio_world.backbone import InSpatioWorld, Source
from ports.inspatio_world.checkpoint import DIT
from ports.wan.backbone import WanParams
from tests.parity.goldens import find_cases, load_case
from tests.wan.released import convert

TOLERANCE = {"atol": 1e-4, "rtol": 0}
"""InSpatio-World specification, section 10: float32, largest error of anything the network puts out."""

MARKS = {
    "chunk_step": lambda meta: "ctx6" in meta.get("cases", ()),
    "rollout": lambda meta: "denoising_timesteps" in meta and "chunks" in meta,
    "memory_inject": lambda meta: "retrieved_chunks" in meta,
    "schedule": lambda meta: "shift5" in meta,
    "camera": lambda meta: "trajectories" in meta and "warp_traj" in meta,
    "warp_v15": lambda meta: "overlap_per_latent" in meta,
}


def parametrize(metafunc, *kinds: str) -> None:
    """Run tests that take ``KIND_case`` on every case of that kind under the folder of goldens."""
    for kind in kinds:
        if f"{kind}_case" in metafunc.fixturenames:
            paths = find_cases(metafunc.config.getoption("--goldens"), MARKS[kind])
            metafunc.parametrize(f"{kind}_case", paths, ids=[f"{path.parent.name}-{path.stem}" for path in paths])


def channels_last(latents: np.ndarray) -> np.ndarray:
    """Turn ``[..., c, h, w]`` into ``[..., h, w, c]``."""
    return np.ascontiguousarray(np.moveaxis(latents, -3, -1))


class Case:
    """One case: its description, its tensors by name, and the network it describes."""

    def __init__(self, path: Path):
        self.meta, self.tensors = load_case(path)
        weights = {name.removeprefix("params/"): t for name, t in self.tensors.items() if name.startswith("params/")}
        settings = {**self.meta["config"], "dtype": "float32"}
        config, dit = convert(DIT, weights, {name: settings[name] for name in ("num_heads", "text_len")})
        rows, columns = self.meta["latent_hw"]
        config = type(config)(**{**vars(config), "dtype": "float32"})
        self.backbone = InSpatioWorld(config=config, rows=rows, columns=columns)
        self.params = WanParams(dit, None)
        self.prepare, self.flow = jax.jit(self.backbone.prepare_chunk), jax.jit(self.backbone.flow)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.tensors[name]

    def latents(self, name: str) -> np.ndarray:
        """Return latents, channels last."""
        return channels_last(self.tensors[name])

    @property
    def text(self) -> np.ndarray:
        """Prompt embedding, padded with zeros to the rows that the network attends to."""
        text = self["in/prompt_embeds"]
        return np.pad(text, ((0, 0), (0, self.meta["config"]["text_len"] - text.shape[1]), (0, 0)))

    def source(self, reference, guide) -> Source:
        """Make the source of a chunk from reference latents and ``[mask | render]``."""
        return Source(reference, guide[..., :4], guide[..., 4:], self.text)

    def stored(self, prefix: str, *index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return keys and values ``[L, B, tokens, N, H]`` that are stored layer by layer as ``{prefix}k.0`` ..."""
        layers = range(self.meta["config"]["num_layers"])
        return tuple(np.stack([self.tensors[f"{prefix}{part}.{i}"][index] for i in layers]) for part in "kv")


def agree(got, want, message: str = "", **tolerance) -> None:
    """Compare arrays with the tolerance of the specification."""
    assert np.shape(got) == np.shape(want), message
    np.testing.assert_allclose(got, want, err_msg=message, **{**TOLERANCE, **tolerance})
