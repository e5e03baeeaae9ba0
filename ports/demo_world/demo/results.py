"""What the demo leaves behind: a table, a video, two pictures and a report."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ports.demo_world.demo.compare import MODES, Outcome, summarise
from ports.demo_world.scenario import LATE, TOUR, Scenario
from worldkv_jax.byte_counts import format_bytes
from worldkv_jax.files import replacing
from worldkv_jax.media.captions import side_by_side
from worldkv_jax.media.figures import memory_figure, save_figure
from worldkv_jax.media.traces import MemoryTrace
from worldkv_jax.media.video import write_video
from worldkv_jax.memory.report import attended_tokens, bytes_by_tier
from worldkv_jax.sessions.provenance import describe_machine
from worldkv_jax.sessions.results import print_table, write_json

TRUTH = "Ground truth"
WRITES = ("demo.mp4", "memory.png", "revisits.png", "report.json")
"""Names of what the demo writes."""
_VIDEO_WIDTH, _PICTURE_WIDTH = 288, 240  # pixels of one panel
_SHOWN = 1  # the world that the video and the figure show: one that walks


def print_results(outcomes: Mapping[str, Outcome], scenario: Scenario) -> None:
    """Print one row for each memory."""
    rows = []
    for name, outcome in outcomes.items():
        row = summarise(name, outcome, scenario)
        rows.append(
            {
                "memory": name,
                "first revisit": f"{row['first_revisit_psnr']:.2f} dB / {row['first_revisit_ssim']:.3f}",
                "late revisit": f"{row['late_revisit_psnr']:.2f} dB / {row['late_revisit_ssim']:.3f}",
                "KV tokens attended": row["attended_tokens"],
                "device KV": format_bytes(row["device_kv_bytes"]),
                "host KV": format_bytes(row["host_kv_bytes"]),
                "KV stored a chunk": format_bytes(row["bytes_stored_per_chunk"]),
                "fps": f"{row['frames_per_second']:.0f}",
            }
        )
    print("\nPSNR / SSIM against the renderer; tokens and bytes at the last chunk, all worlds together\n")
    print_table(rows, list(rows[0]))


def write_results(out: Path, outcomes: Mapping[str, Outcome], scenario: Scenario, *, seed: int) -> list[Path]:
    """Write everything the demo makes into the folder ``out``; return the paths."""
    shown = {name: outcomes[name] for name in MODES}
    paths = [out / name for name in WRITES]
    world = _SHOWN % len(scenario.poses)
    write_video(paths[0], comparison(shown, scenario, world), fps=6)
    save_figure(paths[1], figure(shown, scenario, world))
    save_picture(paths[2], revisits(shown, scenario))
    write_json(paths[3], report(outcomes, scenario, seed=seed))
    return paths


def comparison(outcomes: Mapping[str, Outcome], scenario: Scenario, world: int) -> np.ndarray:
    """Lay the true world and every memory's version side by side, ``[n, H, W, 3]``, captioned."""
    per_chunk = scenario.truth.shape[2]
    truth = scenario.truth[world].reshape(-1, *scenario.truth.shape[3:])
    tour = truth[: scenario.tour * per_chunk]
    panels = {TRUTH: truth}
    details = {TRUTH: [_phase_caption(phase) for phase in scenario.phases for _ in range(per_chunk)]}
    for name, outcome in outcomes.items():
        made = outcome.frames[world].reshape(-1, *truth.shape[1:])
        panels[name] = np.concatenate([tour, made])
        lines = ["remembers the tour"] * scenario.tour
        lines += [
            f"{score:.1f} dB, {chunk.attended_tokens} tokens"
            for score, chunk in zip(outcome.psnr[world], outcome.chunks)
        ]
        details[name] = [line for line in lines for _ in range(per_chunk)]
    return side_by_side(panels, details=details, scale=_VIDEO_WIDTH // truth.shape[2], columns=3)


def _phase_caption(phase: str) -> str:
    return "true tour, given as context" if phase == TOUR else phase


def revisits(outcomes: Mapping[str, Outcome], scenario: Scenario, *, rows: int = 4) -> np.ndarray:
    """Compose one picture of late revisits, ``[H, W, 3]``: a row for each world, a column for each memory."""
    late = [i for i, phase in enumerate(scenario.phases) if phase == LATE]
    # Another place of the lap in each world, so that the rows do not all show its start.
    shown = [(world, late[(3 + 2 * world) % len(late)]) for world in range(min(rows, len(scenario.poses)))]
    columns = {TRUTH: [scenario.truth[world, chunk, 1] for world, chunk in shown]}
    for name, outcome in outcomes.items():
        columns[name] = [outcome.frames[world, chunk - scenario.tour, 1] for world, chunk in shown]
    gap = np.full((1, scenario.truth.shape[4], 3), 0.07, np.float32)
    panels = {
        name: np.concatenate([part for frame in frames for part in (frame, gap)][:-1])[None]
        for name, frames in columns.items()
    }
    return side_by_side(panels, scale=_PICTURE_WIDTH // scenario.truth.shape[4])[0]


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture ``[H, W, 3]`` uint8 as PNG, whole or not at all."""
    with replacing(path) as partial:
        Image.fromarray(picture).save(partial, format="PNG")


def figure(outcomes: Mapping[str, Outcome], scenario: Scenario, world: int):
    """Draw fidelity, cost, retrieval and map of one world."""
    traces = [trace(name, outcome, scenario, world) for name, outcome in outcomes.items()]
    return memory_figure(
        traces,
        poses=scenario.poses[world].reshape(scenario.chunks, -1, 4, 4)[:, 1],
        phases=scenario.phases,
        focus="WorldKV" if "WorldKV" in outcomes else None,
        title="What each memory remembers of one world",
    )


def trace(name: str, outcome: Outcome, scenario: Scenario, world: int) -> MemoryTrace:
    """Collect one memory's history of one world for the figure."""
    layout = outcome.layout
    retrieved: list[list[int]] = [[] for _ in range(scenario.chunks)]
    for chunk in outcome.chunks:
        retrieved[chunk.index] = [int(i) for i in chunk.retrieved[world]]
    bytes_per_world = [sum(bytes_by_tier(layout, i + 1).values()) / layout.worlds for i in range(scenario.chunks)]
    return MemoryTrace(
        name=name,
        fidelity=np.concatenate([np.full(scenario.tour, np.nan), outcome.psnr[world]]),
        attended_tokens=np.array([attended_tokens(layout, i) for i in range(scenario.chunks)]),
        stored_bytes=np.array(bytes_per_world),
        retrieved=retrieved,
        window=[_window_chunks(outcome, i) for i in range(scenario.chunks)],
    )


def _window_chunks(outcome: Outcome, chunk: int) -> list[int]:
    """Name the chunks of which a chunk sees the whole in the window."""
    layout, frames = outcome.layout, outcome.layout.spec.chunk_frames
    recent = range(max(0, chunk - layout.window.ring_frames // frames), chunk)
    return sorted({*range(min(chunk, layout.window.sink_frames // frames)), *recent})


def report(outcomes: Mapping[str, Outcome], scenario: Scenario, *, seed: int) -> dict[str, Any]:
    """Collect all numbers of the run."""
    return {
        "weights": "trained (shipped with worldkv-jax unless --checkpoint was given)",
        "seed": seed,
        "worlds": len(scenario.poses),
        "phases": list(scenario.phases),
        **describe_machine(),
        "memories": {
            name: {
                **summarise(name, outcome, scenario),
                "config": dataclasses.asdict(outcome.layout.config),
                "psnr": outcome.psnr.tolist(),
                "ssim": outcome.ssim.tolist(),
                "seconds": [chunk.seconds for chunk in outcome.chunks],
                "attended": [chunk.attended_tokens for chunk in outcome.chunks],
                "kv_bytes": [chunk.kv_bytes for chunk in outcome.chunks],
                "retrieved": [chunk.retrieved.tolist() for chunk in outcome.chunks],
            }
            for name, outcome in outcomes.items()
        },
    }
