"""Run one scenario under several memories and score every chunk against the renderer."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ports.demo_world.backbone import DemoParams, DemoWorld
from ports.demo_world.scenario import FIRST, LATE, Scenario, observe_tour
from worldkv_jax.evaluation.fidelity import psnr, ssim
from worldkv_jax.memory import DEFAULT, PAPER, BankConfig, MemoryConfig
from worldkv_jax.memory.layout import Layout
from worldkv_jax.rollout import Chunk, chunk_inputs, stream
from worldkv_jax.sessions.seeds import key_of

MODES: Mapping[str, MemoryConfig] = {
    "Full KV": MemoryConfig(mode="full"),
    "Sliding window": MemoryConfig(mode="sliding", recent_frames=6),
    "Sink + recent": MemoryConfig(mode="sink_recent", sink_frames=3, recent_frames=3),
    "WorldKV": dataclasses.replace(DEFAULT, bank=dataclasses.replace(DEFAULT.parts.bank, tier="pinned_host")),
}
"""The four memories of the demo."""

PUBLISHED: Mapping[str, MemoryConfig] = {
    "WorldKV as published": dataclasses.replace(PAPER, bank=BankConfig(tier="pinned_host"))
}
"""What the table has besides: six pruned chunks, at the positions that they were stored with."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one memory made of a scenario; arrays cover the generated chunks."""

    layout: Layout
    chunks: tuple[Chunk, ...]
    frames: np.ndarray
    """``[B, chunks, 3, H, W, 3]`` in [0, 1]."""
    psnr: np.ndarray
    """``[B, chunks]`` dB against the renderer, of the mean over a chunk's frames."""
    ssim: np.ndarray
    """``[B, chunks]``."""

    def mean(self, scores: np.ndarray, scenario: Scenario, phase: str) -> float:
        """Average ``[B, chunks]`` scores over the worlds and the chunks of a phase."""
        of_phase = [scenario.phases[chunk.index] == phase for chunk in self.chunks]
        return float(scores[:, of_phase].mean())

    @property
    def frames_per_second(self) -> float:
        """Median speed over all worlds together, without the chunks that compile."""
        seconds = [chunk.seconds for chunk in self.chunks[2:]]
        worlds, _, frames = self.frames.shape[:3]
        return worlds * frames / float(np.median(seconds))


def run_mode(
    backbone: DemoWorld,
    params: DemoParams,
    scenario: Scenario,
    config: MemoryConfig,
    *,
    seed: int = 0,
    progress: bool = False,
) -> Outcome:
    """Observe the tour, then generate what follows.

    Args:
        backbone: the demo world.
        params: its weights.
        scenario: rooms and cameras.
        config: the memory.
        seed: of the noise, the same for every memory.
        progress: show a bar.
    """
    inputs = chunk_inputs(scenario.poses, backbone.spec)
    world = observe_tour(backbone, params, config, inputs, scenario.truth[:, : scenario.tour])
    layout = world.memory.layout
    key = key_of(seed)
    chunks = tuple(stream(backbone, params, world, inputs[scenario.tour :], key=key, progress=progress))
    frames = np.stack([np.asarray(chunk.frames) for chunk in chunks], axis=1)
    truth = scenario.truth[:, scenario.tour :]
    return Outcome(layout, chunks, frames, psnr(frames, truth).mean(axis=-1), ssim(frames, truth).mean(axis=-1))


def summarise(name: str, outcome: Outcome, scenario: Scenario) -> dict[str, Any]:
    """Return one row of the demo's table; every number comes from the run."""
    last, spec = outcome.chunks[-1], outcome.layout.spec
    tier = outcome.layout.bank.config.tier if outcome.layout.bank else "device"
    device = last.kv_bytes["device"]
    whole = spec.bytes(outcome.frames.shape[0], spec.chunk_tokens)
    return {
        "memory": name,
        "first_revisit_psnr": outcome.mean(outcome.psnr, scenario, FIRST),
        "late_revisit_psnr": outcome.mean(outcome.psnr, scenario, LATE),
        "first_revisit_ssim": outcome.mean(outcome.ssim, scenario, FIRST),
        "late_revisit_ssim": outcome.mean(outcome.ssim, scenario, LATE),
        "attended_tokens": last.attended_tokens,
        "device_kv_bytes": device,
        "host_kv_bytes": 0 if tier == "device" else last.kv_bytes[tier],
        "bytes_stored_per_chunk": outcome.layout.bank.chunk_bytes if outcome.layout.bank else whole,
        "frames_per_second": outcome.frames_per_second,
    }
