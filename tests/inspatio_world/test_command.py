"""InSpatio-World on the command line: what is asked for, what is refused, and the whole path on a CPU."""

import argparse
import json

import numpy as np
import pytest

from ports.inspatio_world import InSpatioOptions
from ports.inspatio_world.memory import BEFORE_SOURCE, NATIVE, default_memory
from ports.inspatio_world.source.builtin_scene import builtin_scene
from ports.inspatio_world.source.scene_files import write_scene
from worldkv_jax.cli.flags import add_flags, from_flags
from worldkv_jax.cli.main import main
from worldkv_jax.media import read_video
from worldkv_jax.sessions import MemoryOptions


def ask(*words):
    parser = argparse.ArgumentParser()
    add_flags(parser, InSpatioOptions)
    add_flags(parser, MemoryOptions)
    args = parser.parse_args([str(word) for word in words])
    return from_flags(InSpatioOptions, args).check(from_flags(MemoryOptions, args))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_scene(tmp_path_factory.mktemp("scene"), builtin_scene(frames=12, size=(32, 48)))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "path.txt"
    path.write_text("0 0\n0 20 0\n0.5 0.5\n")
    return path


@pytest.fixture
def matrices(tmp_path):
    path = tmp_path / "matrices.txt"
    path.write_text("\n".join(["1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"] * 12))
    return path


def test_the_builtin_scene_needs_nothing():
    asked = ask("--scene", "builtin", "--tiny")
    assert (asked.chunks, asked.pixel_frames, asked.random_weights) == (10, 117, True)
    assert asked.memory == default_memory(10)
    assert "do not fill a chunk and are cut" in " ".join(asked.notes)
    assert asked.backbone.latent_shape == (3, 12, 18, 16)


def test_a_folder_and_a_path(folder, path, matrices):
    asked = ask("--scene", folder, "--trajectory", path, "--random-weights", "--size", "32x48", "--frames", 40)
    assert asked.chunks == 3 and asked.summary["version"] == "v1" and asked.backbone.config.dim == 1536
    words = ("--scene", folder, "--trajectory", matrices, "--tiny", "--size", "32x48", "--version", "v1.5")
    asked = ask(*words)
    assert (asked.chunks, asked.pixel_frames) == (2, 12)
    assert asked.memory == NATIVE  # too short to retrieve from


def test_what_is_shorter_or_lies_otherwise_than_asked_is_said(folder, path):
    words = ("--scene", folder, "--trajectory", path, "--tiny")
    notes = " ".join(ask(*words, "--size", "48x32", "--frames", 3600).notes)
    assert "frames and not 3600" in notes
    assert "the picture of 32 x 48 pixels lies, but the video stands: `size` is height and width" in notes
    assert "were stretched to 48x32" in notes
    notes = " ".join(ask(*words, "--size", "32x48", "--frames", 9).notes)
    assert "and not" not in notes and "stands" not in notes


def test_memory_options(folder, path):
    words = ("--scene", "builtin", "--tiny")
    asked = ask(*words, "--retrieve", 2, "--positions", "rebased")
    assert asked.memory.sink_frames == asked.memory.recent_frames == 0 and asked.memory.retrieval.chunks == 2
    assert asked.backbone.remembered_position == BEFORE_SOURCE
    assert ask(*words, "--memory", "sliding").memory == NATIVE
    weighed = ask(*words, "--time-weight", 0.5, "--known-weight", 0.2, "--least-unknown", 0.1)
    rule = weighed.memory.retrieval.rule
    assert (rule.time_weight, rule.known_weight, weighed.backbone.least_unknown) == (0.5, 0.2, 0.1)
    assert len(rule.times) == 10 and 0.5 < min(rule.known) < max(rule.known) <= 1
    json.dumps(weighed.summary)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--tiny"], "`scene` missing"),
        (["--scene", "builtin"], "`ckpt` missing"),
        (["--scene", "builtin", "--tiny", "--ckpt", "x"], "excludes"),
        (["--scene", "nowhere", "--tiny"], "no scene folder"),
        (["--scene", "{folder}", "--tiny", "--size", "32x48"], "`trajectory` missing: v1"),
        (["--scene", "{folder}", "--tiny", "--size", "32x48", "--version", "v1.5"], "`trajectory` missing: v1.5"),
        (["--scene", "{folder}", "--tiny", "--size", "30x48"], "multiples of 16"),
        (["--scene", "{folder}", "--tiny", "--size", "big"], "expected height and width"),
        (["--scene", "{folder}", "--tiny", "--size", "32x48", "--trajectory", "{matrices}"], "format of v1.5"),
        (
            ["--scene", "{folder}", "--tiny", "--size", "32x48", "--trajectory", "{path}", "--version", "v1.5"],
            "format of v1",
        ),
        (["--scene", "builtin", "--tiny", "--frames", "0"], "at least 1"),
        (["--scene", "builtin", "--tiny", "--fps", "0"], "`fps` 0 must be a positive number"),
        (["--scene", "builtin", "--tiny", "--depth-scale", "-1"], "`depth_scale` -1 must be positive"),
        (["--scene", "builtin", "--tiny", "--frames", "8"], "do not fill a chunk"),
        (["--scene", "builtin", "--tiny", "--profile", "official"], "official profile"),
        (["--scene", "builtin", "--tiny", "--least-unknown", "2"], "outside"),
        (["--scene", "builtin", "--tiny", "--prompt", "none.npy"], "no prompt embedding"),
        (["--scene", "builtin", "--ckpt", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_refused(folder, path, matrices, words, message):
    words = [word.format(folder=folder, path=path, matrices=matrices) for word in words]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        ask(*words)


def test_a_plan_at_the_real_size(folder, path):
    asked = ask("--scene", folder, "--trajectory", path, "--random-weights", "--frames", 121)
    assert asked.backbone.latent_shape == (3, 60, 104, 16)
    plan = asked.plan()
    needs = plan.device_bytes
    assert 2.8e9 < needs["weights"] < 3.2e9  # 1.42 billion in bfloat16, and the decoder
    assert needs["constant over a chunk"] > 1_725_235_200  # source and previous output
    stored = asked.chunks * 431_308_800  # InSpatio-World specification, section 8
    assert abs(needs["window and bank"] / stored - 1) < 0.11
    # 1.4 billion weights times 4680 tokens, twice, and the scores: about 13 + 6 TFLOP a pass.
    assert 1.3e13 < asked.cost.pass_flops < 2.5e13


@pytest.mark.slow
def test_from_frames_and_depth_to_a_video(folder, path, tmp_path, capsys):
    """The whole path with random weights; only the compiler takes time."""
    out = tmp_path / "out"
    words = ["--scene", folder, "--trajectory", path, "--tiny", "--size", "32x48", "--frames", 45, "--out", out]
    assert main(["rollout", "inspatio-world", *map(str, words)]) == 0
    frames, fps = read_video(out / "random_weights_video.mp4")
    assert frames.shape == (45, 32, 48, 3) and fps == 24
    report = json.loads((out / "random_weights_report.json").read_text())
    assert report["weights"] == "random" and report["request"]["version"] == "v1"
    assert [len(np.ravel(chunk["retrieved"])) for chunk in report["chunks"]] == [0, 0, 1, 2]
    assert "the source shows" in capsys.readouterr().err
