"""The shipped demo shows what it claims, on worlds the model never saw."""

import json

import jax
import numpy as np
import pytest

from ports.demo_world.backbone import DemoWorld
from ports.demo_world.compare import MODES, WRONG_WAY, run_mode
from ports.demo_world.scenario import FIRST, LATE, TOUR, make_scenario
from worldkv_jax.cli.main import main
from worldkv_jax.media.video import read_video


@pytest.fixture(scope="module")
def compared():
    """Run every memory of the demo, and the control, over a few held-out worlds."""
    backbone, params = DemoWorld.load()
    scenario = make_scenario(4, 4)
    with jax.numpy_dtype_promotion("standard"):  # dm_pix mixes dtypes
        modes = {**MODES, "wrong way": WRONG_WAY}
        outcomes = {name: run_mode(backbone, params, scenario, config) for name, config in modes.items()}
    return scenario, outcomes


def late(compared, name):
    scenario, outcomes = compared
    return outcomes[name].mean(outcomes[name].psnr, scenario, LATE)


def test_full_kv_remembers_and_the_window_forgets(compared):
    assert late(compared, "Full KV") >= 22
    assert late(compared, "Full KV") >= late(compared, "Sliding window") + 4
    assert late(compared, "WorldKV") >= late(compared, "Sink + recent") + 3


def test_worldkv_keeps_up_with_full_kv_at_a_fraction(compared):
    _, outcomes = compared
    assert late(compared, "WorldKV") >= late(compared, "Full KV") - 0.5
    full, ours = outcomes["Full KV"], outcomes["WorldKV"]
    assert ours.chunks[-1].attended_tokens * 3 <= full.chunks[-1].attended_tokens
    assert ours.layout.stored_tokens * 2 <= ours.layout.spec.chunk_tokens


def test_pruning_the_wrong_way_is_worse(compared):
    """Paired over worlds, so that what differs between rooms does not hide it."""
    _, outcomes = compared
    difference = outcomes["WorldKV"].psnr - outcomes["wrong way"].psnr
    assert difference.mean() > 0.1
    assert (difference.mean(axis=1) > 0).mean() >= 0.75  # in most rooms


def test_demo_writes_what_it_says(tmp_path, capsys):
    with jax.numpy_dtype_promotion("standard"):
        assert main(["demo", "--worlds", "2", "--out", str(tmp_path / "demo")]) in (None, 0)
    text = capsys.readouterr().out
    for name in MODES:
        assert name in text
    made = {path.name for path in (tmp_path / "demo").iterdir()}
    assert made == {"demo.mp4", "memory.png", "revisits.png", "report.json"}
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    scores = np.array(report["memories"]["Full KV"]["psnr"])
    assert scores.shape == (2, report["phases"].count(FIRST) + report["phases"].count(LATE))
    row = report["memories"]["WorldKV"]
    assert row["host_kv_bytes"] > row["device_kv_bytes"] > 0
    frames, fps = read_video(tmp_path / "demo" / "demo.mp4")
    assert len(frames) == 3 * len(report["phases"]) and fps == 6


def test_scenario_is_what_it_says():
    scenario = make_scenario(9, 2)
    assert scenario.phases[0] == TOUR and scenario.tour == 12 and scenario.chunks == 36
    # Every later view is near one of the tour, and none is exactly the same.
    poses = scenario.poses[1].reshape(-1, 4, 4)
    tour, later = poses[:36], poses[36:]
    gap = np.abs(later[:, None] - tour[None]).reshape(len(later), len(tour), -1).max(-1)
    assert gap.min(axis=1).max() < 0.12
    assert gap.min() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--worlds", "0"], "at least one world"),
        (["--seed", "1"], "trained on these worlds"),
        (["--checkpoint", "nowhere.safetensors"], "nowhere.safetensors"),
    ],
)
def test_bad_options_are_refused(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        raise SystemExit(main(["demo", "--out", str(tmp_path), *arguments]))
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
