"""The shipped demo shows what it claims, on worlds the model never saw."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from ports.demo_world import DemoOptions
from ports.demo_world.backbone import DemoWorld
from ports.demo_world.demo.command import DemoCommand
from ports.demo_world.demo.compare import MODES, run_mode
from ports.demo_world.scenario import FIRST, LATE, TOUR, make_scenario
from ports.demo_world.study.command import StudyCommand
from ports.demo_world.training.command import TrainCommand
from ports.demo_world.weights import shipped_weights
from worldkv_jax.cli.main import main
from worldkv_jax.media.video import read_video
from worldkv_jax.memory import PAPER


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the command once, over a few worlds that nobody has looked at."""
    folder = tmp_path_factory.mktemp("made") / "demo"
    with jax.numpy_dtype_promotion("standard"):  # dm_pix mixes dtypes
        assert main(["demo", "--worlds", "4", "--seed", "4", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def memories(demo):
    return json.loads((demo / "report.json").read_text())["memories"]


def late(memories, name):
    return memories[name]["late_revisit_psnr"]


@pytest.mark.slow
def test_full_kv_remembers_and_the_window_forgets(memories):
    assert late(memories, "Full KV") >= 22
    assert late(memories, "Full KV") >= late(memories, "Sliding window") + 4
    assert late(memories, "WorldKV") >= late(memories, "Sink + recent") + 3


@pytest.mark.slow
def test_worldkv_keeps_up_with_full_kv_at_a_fraction(memories):
    assert late(memories, "WorldKV") >= late(memories, "Full KV") + 1.5  # it drifts less
    full, ours = memories["Full KV"], memories["WorldKV"]
    assert ours["attended_tokens"] * 3 <= full["attended_tokens"]
    assert ours["bytes_stored_per_chunk"] * 2 <= full["bytes_stored_per_chunk"]
    assert ours["host_kv_bytes"] > ours["device_kv_bytes"] > 0


@pytest.mark.slow
def test_pruning_the_wrong_way_is_worse():
    """Paired over worlds, so that what differs between rooms does not hide it."""
    backbone, params = DemoWorld.load(shipped_weights("rooms", "gaps"))
    backwards = dataclasses.replace(PAPER, compression=dataclasses.replace(PAPER.compression, keep="redundant"))
    scenario = make_scenario(4, 4)
    right, wrong = (run_mode(backbone, params, scenario, memory, seed=4).psnr for memory in (PAPER, backwards))
    assert (right - wrong).mean() > 0.1
    assert ((right - wrong).mean(axis=1) > 0).mean() >= 0.75  # in most rooms


@pytest.mark.slow
def test_every_file_is_there_and_whole(demo):
    assert {path.name for path in demo.iterdir()} == {"demo.mp4", "memory.png", "revisits.png", "report.json"}
    report = json.loads((demo / "report.json").read_text())
    assert set(MODES) < set(report["memories"])
    generated = report["phases"].count(FIRST) + report["phases"].count(LATE)
    assert np.array(report["memories"]["Full KV"]["psnr"]).shape == (4, generated)
    frames, fps = read_video(demo / "demo.mp4")
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


@pytest.mark.parametrize("options", [DemoOptions, DemoCommand, StudyCommand, TrainCommand])
def test_what_a_model_saw_has_a_name(options):
    with pytest.raises(ValueError, match="unknown `past` 'clip'; did you mean 'clips'"):
        options(past="clip")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--worlds", "0"], "at least one world"),
        (["--seed", "1"], "trained on these worlds"),
        (["--checkpoint", "nowhere.safetensors"], "nowhere.safetensors"),
    ],
)
def test_bad_options_are_refused(arguments, message, tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
