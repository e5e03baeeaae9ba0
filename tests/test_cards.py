"""Which model fits which card: the table of docs/performance.md is what the plan says."""

from pathlib import Path

import pytest

from worldkv_jax.sessions.devices import DEVICES
from worldkv_jax.sessions.plan import placements
from worldkv_jax.sessions.registry import model_options

LINGBOT = {"random_weights": True, "frames": 1077}
INSPATIO = {"random_weights": True, "scene": "builtin", "size": "480x832"}
ROWS = {
    "LingBot-World-Fast": ("lingbot-world-fast", LINGBOT),
    "with int8 weights": ("lingbot-world-fast", LINGBOT | {"weights": "int8"}),
    "with int8 weights and TAEHV": ("lingbot-world-fast", LINGBOT | {"weights": "int8", "decoder": "taehv"}),
    "Matrix-Game 2.0": ("matrix-game-2", {"random_weights": True, "chunks": 90}),
    "InSpatio-World": ("inspatio-world", INSPATIO),
}
GIB = 2**30
pytestmark = pytest.mark.long
TABLE = Path(__file__).parents[1] / "docs" / "performance.md"


@pytest.fixture(scope="module")
def plans():
    """By row and number of chips, the plan with the bank in host memory."""
    made = {}
    for row, (model, options) in ROWS.items():
        session = model_options(model)(**options).check()
        for chips in {device.chips for device in DEVICES.values()}:
            planned = placements(
                session.backbone, session.memory, session.cost, chunks=session.chunks, worlds=1, chips=chips
            )
            made[row, chips] = planned["pinned_host"]
    return made


def test_the_table_of_cards_is_what_the_plan_says(plans):
    head = ["90 chunks, bank in host memory", *(name for name in DEVICES)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in ROWS:
        cells = []
        for device in DEVICES.values():
            plan = plans[row, device.chips]
            size = f"{plan.total_bytes / GIB:.1f}"
            cells.append(size if plan.fits(device.memory_bytes) else f"({size})")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    assert table in TABLE.read_text(), f"write this into {TABLE.name}:\n{table}"


WAITING = [({}, 0), ({}, 10), ({}, 20), ({}, 40), ({"weights": "int8"}, 10), ({"weights": "int8"}, 40)]


def test_the_table_of_waiting_layers_is_what_the_plan_says():
    cards = [DEVICES[name] for name in ("h100", "a100-80gb", "l40s", "rtx5090")]
    head = ["LingBot-World-Fast, 90 chunks", "GiB", "GB fetched a chunk", *(card.name for card in cards)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for options, offload in WAITING:
        session = model_options("lingbot-world-fast")(**LINGBOT, **options, offload=offload).check()
        plan = placements(session.backbone, session.memory, session.cost, chunks=session.chunks)["pinned_host"]
        cells = [f"{plan.total_bytes / GIB:.1f}", f"{plan.fetched_bytes / 1e9:.0f}"]
        for card in cards:
            times = f"{plan.link_bytes / card.link_bytes:.1f} : {plan.chunk_flops / card.flops:.1f}"
            cells.append(times if plan.fits(card.memory_bytes) else f"({times})")
        name = f"{options.get('weights', 'bfloat16')}, {f'--offload {offload}' if offload else 'all resident'}"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    assert table in TABLE.read_text(), f"write this into {TABLE.name}:\n{table}"


def test_the_large_model_fits_the_cards_that_people_have(plans):
    most = {"LingBot-World-Fast": 74, "with int8 weights and TAEHV": 44, "Matrix-Game 2.0": 11, "InSpatio-World": 11}
    for row, gib in most.items():
        assert plans[row, 1].total_bytes <= gib * GIB, row
    assert plans["LingBot-World-Fast", 1].fits(DEVICES["h100"].memory_bytes)
    assert plans["with int8 weights and TAEHV", 1].fits(DEVICES["l40s"].memory_bytes)
