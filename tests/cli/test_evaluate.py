"""`worldkv evaluate`: files in, table and JSON out, and what it says about bad input."""

import json

import numpy as np
import pytest

from tests.evaluation.panorama import there_and_back, world
from worldkv_jax.cli.main import main
from worldkv_jax.media.video import write_video


@pytest.fixture
def files(tmp_path):
    """Two worlds: a video, its poses and its truth each."""
    made = {}
    for seed in range(2):
        frames, poses = world(there_and_back(2), seed)
        noise = np.random.default_rng(seed).normal(size=frames.shape) * 0.05
        made[f"video{seed}"] = write_video(tmp_path / f"video{seed}.mp4", np.clip(frames + noise, 0, 1), fps=12)
        made[f"truth{seed}"] = write_video(tmp_path / f"truth{seed}.mp4", frames, fps=12)
        made[f"poses{seed}"] = tmp_path / f"poses{seed}.npy"
        np.save(made[f"poses{seed}"], poses)
    return {name: str(path) for name, path in made.items()}


def evaluate(tmp_path, *arguments):
    """Run the command; return its exit code and what it wrote."""
    code = main(["evaluate", *arguments, "--max-angle", "2", "--out", str(tmp_path / "out")])
    written = tmp_path / "out/evaluation.json"
    return code, json.loads(written.read_text()) if written.exists() else None


def test_two_worlds_with_truth(files, tmp_path, capsys):
    report = tmp_path / "report.json"
    chunks = [
        {"frames": 12, "kv_bytes": {"device": 1000, "host": 500 * i}, "attended_tokens": 100 * i} for i in range(6)
    ]
    report.write_text(json.dumps({"chunks": chunks}))
    worlds = [files[name] for name in ("video0", "poses0", "video1", "poses1")]
    code, data = evaluate(
        tmp_path, *worlds, "--truth", files["truth0"], files["truth1"], "--report", str(report), "--mind",
        str(tmp_path / "mind"), "--mark", "10"
    )  # fmt: skip
    assert code == 0
    out = capsys.readouterr().out
    assert "2 worlds, 95 % intervals" in out and "psnr (dB)" in out and "truth: late revisits" in out
    assert "the memory grows by 500 B in a second of video" in out
    assert "a frame of the last chunk attends to 500 stored tokens" in out and "memory ratio" in out
    assert "lpips is left out: no weights were given" in out
    scores = data["over_worlds"]["psnr"]
    assert scores["first"]["count"] == 2 and scores["first"]["low"] < scores["first"]["mean"]
    assert 15 < scores["first"]["mean"] < 30 and scores["headroom"]["mean"] > 5
    assert len(data["worlds"]) == 2 and data["worlds"][0]["revisits"]["visits"]
    assert (tmp_path / "mind/worldkv/1st_data/mem_test/world-2/video.mp4").exists()
    assert (tmp_path / "mind/MIND-Data/1st_data/test/mem_test/world-1/action.json").exists()


def test_tasks_of_memory_tax(files, tmp_path, capsys):
    code, data = evaluate(tmp_path, files["video0"], files["poses0"], "--task", "A")
    last = len(np.load(files["poses0"])) - 1
    assert code == 0 and data["worlds"][0]["revisits"] == {"frames": [last], "earlier": [0], "visits": [1]}
    worlds = [files[name] for name in ("video0", "poses0", "video1", "poses1")]
    code, data = evaluate(tmp_path / "replay", *worlds, "--task", "D", "--truth", files["truth0"], files["truth1"])
    assert code == 0 and "all frames" in capsys.readouterr().out
    psnr = [world["psnr"] for world in data["worlds"]]
    assert data["over_worlds"]["psnr"]["mean"] == pytest.approx(np.mean(psnr)) and 15 < psnr[0] < 35


@pytest.mark.parametrize(
    ("words", "message"), [(["--task", "D"], "give --truth"), (["--task", "A", "--pairs", "0:9"], "leave --pairs out")]
)
def test_tasks_that_cannot_be_scored(words, message, files, tmp_path, capsys):
    assert evaluate(tmp_path, files["video0"], files["poses0"], *words)[0] == 2
    assert message in capsys.readouterr().err


def test_one_world_has_no_intervals(files, tmp_path, capsys):
    code, data = evaluate(tmp_path, files["video0"], files["poses0"], "--pairs", "0:40", "0:80")
    assert code == 0 and data["over_worlds"]["psnr"]["first"]["low"] is None
    out = capsys.readouterr().out
    assert "2 revisits in 1 world, so no intervals" in out and "truth" not in out.splitlines()[1]
    assert "frame 80 to frame 0" in out


def test_poses_in_an_archive_are_named_as_such(files, tmp_path, capsys):
    np.savez(tmp_path / "poses.npz", data=np.load(files["poses0"]))
    assert evaluate(tmp_path, files["video0"], str(tmp_path / "poses.npz"))[0] == 2
    assert "is a .npz archive of data, expected one array of poses" in capsys.readouterr().err


def test_stretching_is_advised_only_for_latent_frames(files, tmp_path, capsys):
    """A video with a varying rate had more frames than poses: the advice led to a wrong score."""
    poses = np.load(files["poses0"])
    np.save(tmp_path / "fewer.npy", poses[:65])
    assert evaluate(tmp_path, files["video0"], str(tmp_path / "fewer.npy"))[0] == 2
    said = capsys.readouterr().err
    assert "81 frames but there are 65 poses" in said and "--stretch" not in said and "dropped or repeated" in said
    assert evaluate(tmp_path, files["video0"], str(tmp_path / "fewer.npy"), "--stretch")[0] == 0
    assert (
        "note: --stretch spreads 65 poses over 81 frames, though that is no number of latent" in capsys.readouterr().out
    )
    np.save(tmp_path / "latents.npy", poses[::4])
    assert evaluate(tmp_path, files["video0"], str(tmp_path / "latents.npy"))[0] == 2
    assert "--stretch" in capsys.readouterr().err


def test_a_path_of_another_format(files, tmp_path):
    from worldkv_jax.cameras.formats import CameraFile, write_cameras

    path = write_cameras(tmp_path / "path.txt", CameraFile(poses=np.load(files["poses0"])), format="tum")
    assert evaluate(tmp_path, files["video0"], str(path))[0] == 0


def test_a_camera_folder_and_stretched_poses(files, tmp_path):
    poses = np.load(files["poses0"])
    folder = tmp_path / "cameras"
    folder.mkdir()
    np.save(folder / "poses.npy", poses[::2])  # 41 of 81 frames
    assert evaluate(tmp_path, files["video0"], str(folder))[0] == 2
    assert evaluate(tmp_path, files["video0"], str(folder), "--stretch")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{video0}"], "every VIDEO needs its POSES"),
        (["{video0}", "{poses0}", "--truth", "{truth0}", "{truth1}"], "--truth names 2 videos for 1 world;"),
        (["{video0}", "{poses0}", "--pairs", "0-40"], "--pairs 0-40: expected"),
        (["{video0}", "{poses0}", "--pairs", "0:999"], "video0.mp4: pair 0:999 does not fit a video of 81 frames"),
        (["{video0}", "{poses0}", "--min-away", "80"], "no revisit in the trajectory"),
        (["{video0}", "{video0}"], "video0.mp4 is no camera path known here (an MP4 or QuickTime video)"),
        (["{video0}", "nowhere.npy"], "nowhere.npy"),
        (["nowhere.mp4", "{poses0}"], "nowhere.mp4 is not there; expected a video file"),
        (["{video0}", "{poses0}", "--report", "{poses0}"], "is no report.json"),
    ],
)
def test_bad_input_is_said(arguments, message, files, tmp_path, capsys):
    code, data = evaluate(tmp_path, *(word.format(**files) for word in arguments))
    assert code == 2 and data is None
    assert message in capsys.readouterr().err
