"""`worldkv rollout --world` and `worldkv world`: worlds that last, with the shipped demo world."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from worldkv_jax.cli.main import main
from worldkv_jax.counts import counted
from worldkv_jax.media import read_video
from worldkv_jax.sessions import WorldFolder
from worldkv_jax.sessions.world_folder import writing

PATH = ["--trajectory", "R120_L120", "--degrees-per-frame", "15", "--latents"]
CHUNKS = 7


def rollout(out, *flags) -> int:
    return main(["rollout", "demo-world", *PATH, "--out", str(out), *map(str, flags)])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A whole rollout, and the world of its first three chunks."""
    folder = tmp_path_factory.mktemp("made")
    assert rollout(folder / "whole", "--seed", 2) == 0
    kept = ("--world", folder / "world", "--save-every", 2, "--until", 3, "--seed", 2)
    assert rollout(folder / "first", *kept) == 0
    return folder


def latents(folder):
    return np.load(folder / "latents.npy")


@pytest.mark.slow
def test_another_process_goes_on_and_the_videos_join(made, tmp_path):
    whole = latents(made / "whole")
    np.testing.assert_array_equal(latents(made / "first"), whole[:, :9])
    flags = ["--from-world", str(made / "world"), "--world", str(tmp_path / "grown"), "--out", str(tmp_path / "rest")]
    program = "import sys; from worldkv_jax.cli.main import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", program, "rollout", "demo-world", *PATH, *flags], check=True, env=os.environ)
    np.testing.assert_array_equal(latents(tmp_path / "rest"), whole[:, 9:])
    frames = [len(read_video(folder / "video.mp4")[0]) for folder in (made / "first", tmp_path / "rest")]
    assert frames == [9, 3 * CHUNKS - 9]
    report = json.loads((tmp_path / "rest/report.json").read_text())
    assert report["seed"] == 2 and report["goes_on"] == {"world": str(made / "world"), "chunk": 3}
    assert WorldFolder(tmp_path / "grown").manifest.end == CHUNKS


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.optimized
def test_a_branch_begins_at_any_chunk(at, made, tmp_path):
    flags = ("--from-world", made / "world", "--at", at, "--tier", "device_slots", "--until", at + 2)
    assert rollout(tmp_path, *flags) == 0
    np.testing.assert_array_equal(latents(tmp_path), latents(made / "whole")[:, 3 * at : 3 * (at + 2)])


@pytest.mark.long
def test_a_world_goes_on_in_its_own_folder(made, tmp_path, capsys):
    world = tmp_path / "world"
    assert main(["world", str(made / "world"), "--copy", str(world)]) == 0
    assert rollout(tmp_path / "a", "--from-world", world, "--world", world, "--until", 5, "--save-every", 1) == 0
    assert rollout(tmp_path / "b", "--from-world", world, "--world", world) == 0
    joined = np.concatenate([latents(tmp_path / name) for name in "ab"], axis=1)
    np.testing.assert_array_equal(joined, latents(made / "whole")[:, 9:])
    capsys.readouterr()
    assert main(["world", str(world), "--prune", "--every", "4", "--verify", "--plot", str(tmp_path / "map.png")]) == 0
    said = capsys.readouterr().out
    assert "7 chunks of demo-world" in said and "seed 2" in said and "moments to go on from: 4, 7" in said
    assert "branched from" in said and "are as they were written" in said and (tmp_path / "map.png").stat().st_size
    assert rollout(tmp_path / "c", "--from-world", world, "--at", 5) == 0
    np.testing.assert_array_equal(latents(tmp_path / "c"), latents(made / "whole")[:, 15:])


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--at", "2"], "--at says a moment of the world of --from-world"),
        (["--save-every", "2"], "--save-every says how often"),
        (["--world", "new", "--save-every", "0"], "a point every 0 chunks: give at least 1"),
        (["--until", "9"], "--until 9: give 1 to 7"),
        (["--world", "WORLD"], "holds a world: go on by --from-world"),
        (["--from-world", "nowhere"], "holds no world"),
        (["--from-world", "WORLD", "--at", "4"], "has chunks up to 3"),
        (["--from-world", "WORLD", "--world", "WORLD", "--at", "2"], "--at 2 is a branch"),
        (["--from-world", "WORLD", "--until", "3"], "the world has 3 chunks already"),
        (["--from-world", "WORLD", "--seed", "3"], "was made with seed 2, got 3: leave the seed out"),
        (["--from-world", "WORLD", "--retrieve", "1"], "memory.retrieval.chunks: 3 there, 1 here; give --retrieve 3"),
        (["--from-world", "WORLD", "--worlds", "2"], "worlds: 1 there, 2 here"),
        (["--from-world", "WORLD", "--trajectory", "L120_R120"], "chunk 0 of the world was given other cameras"),
    ],
)
def test_what_cannot_be_is_said(flags, says, made, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert rollout(tmp_path / "out", *(str(made / "world") if flag == "WORLD" else flag for flag in flags)) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out/video.mp4").exists()


def test_two_writers_are_told_who_writes(made, tmp_path, capsys):
    with writing(made / "world"):
        assert rollout(tmp_path, "--from-world", made / "world", "--world", made / "world") == 2
    assert f"is being written by process {os.getpid()} on" in capsys.readouterr().err


def test_a_disk_that_is_full_stops_the_saving_alone(made, tmp_path, capsys, monkeypatch):
    import errno

    from worldkv_jax.sessions.array_store import ArrayStore

    put, count = ArrayStore.put, []

    def full(self, array):
        count.append(1)
        if len(count) > 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return put(self, array)

    monkeypatch.setattr(ArrayStore, "put", full)
    assert rollout(tmp_path / "out", "--world", tmp_path / "world", "--save-every", 1, "--seed", 2) == 2
    said = capsys.readouterr().err
    assert said.count("the rollout goes on, but the world in") == 1
    end = WorldFolder(tmp_path / "world").manifest.end
    assert f"ends after {counted(end, 'chunk')}, and the rollout does not: No space left" in said.splitlines()[-1]
    np.testing.assert_array_equal(latents(tmp_path / "out"), latents(made / "whole"))


LIVE = ["matrix-game-2", "--tiny", "--size", "32x48", "--actions", "-", "--chunks", "5", "--no-decode", "--latents"]
TYPED = ("W", "WL", "D", "", "J")


def play(monkeypatch, out, typed, *flags) -> int:
    """Roll out, with somebody at the keyboard."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(line + "\n" for line in typed)))
    return main(["rollout", *LIVE, "--out", str(out), *map(str, flags)])


@pytest.mark.long
def test_what_is_typed_live_goes_on_and_is_replayed(tmp_path, monkeypatch, capsys):
    session = tmp_path / "session.json"
    assert play(monkeypatch, tmp_path / "whole", TYPED, "--session", session) == 0
    whole = np.load(tmp_path / "whole/random_weights_latents.npy")
    world = tmp_path / "world"
    assert play(monkeypatch, tmp_path / "a", TYPED[:3], "--world", world, "--until", 3) == 0
    assert play(monkeypatch, tmp_path / "b", TYPED[3:], "--from-world", world, "--world", world) == 0
    parts = [np.load(tmp_path / name / "random_weights_latents.npy") for name in "ab"]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    assert [answer["given"] for answer in WorldFolder(world).manifest.answers] == ["w", "wl", "d", "d", "j"]
    assert main(["replay", str(session), "--no-decode", "--out", str(tmp_path / "again")]) == 0
    assert "5 chunks: the same world, bit for bit" in capsys.readouterr().out
    script = LIVE.index("-")
    other = ["rollout", *LIVE[:script], "W WL D J J", *LIVE[script + 1 :], "--world", str(tmp_path / "other")]
    assert main([*other, "--until", "2", "--out", str(tmp_path / "c")]) == 0
    assert play(monkeypatch, tmp_path / "d", TYPED, "--from-world", tmp_path / "other") == 2
    assert "says what was answered up to chunk 0, and not up to 2" in capsys.readouterr().err
