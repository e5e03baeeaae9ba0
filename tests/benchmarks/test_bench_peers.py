"""`worldkv bench peers`: ours and theirs in turn, and only where they do the same work."""

import json

import numpy as np
import pytest

from worldkv_jax.benchmarks.peers import Pair, run_peer_benchmark
from worldkv_jax.cli import bench_peers
from worldkv_jax.cli.main import main

CALLS: list[str] = []


def fake(folder, ours=1.0, theirs=1.0) -> Pair:
    """Two programs that say when they are called."""
    assert folder.is_dir()

    def work(name, number):
        return lambda: CALLS.append(name) or np.array([number, 2.0])

    return Pair(what="nothing", ours=work("ours", ours), theirs=work("theirs", theirs), tolerance=1e-3)


@pytest.fixture
def installed(monkeypatch):
    """Peers of a package that is installed, one of which lacks a library."""
    found = {"fake": f"{__name__}:fake", "lost": "no_such_package.peer:compare"}
    monkeypatch.setattr(
        "worldkv_jax.entry_points.find_entries", lambda group: found if group == bench_peers.GROUP else {}
    )
    CALLS.clear()


def test_they_take_turns_and_what_is_missing_is_said(installed, tmp_path, capsys):
    assert main(["bench", "peers", "--rounds", "3", "--out", str(tmp_path)]) == 0
    assert CALLS == ["ours", "theirs"] * 4
    said = capsys.readouterr().out
    assert "skipped: lost" in said and "pip install 'worldkv-jax[torch]'" in said
    row, lost = json.loads((tmp_path / "peers.json").read_text())["rows"]
    assert row["least"] <= row["ratio"] <= row["most"] and row["deviation"] == 0 and "skipped" in lost
    assert [path.name for path in tmp_path.iterdir()] == ["peers.json"]


def test_other_work_is_refused(tmp_path, installed, capsys):
    with pytest.raises(ValueError, match=r"far: ours deviates by 5.0e-02 of the largest number"):
        run_peer_benchmark({"far": lambda folder: fake(folder, theirs=1.1)}, 1, tmp_path)
    with pytest.raises(ValueError, match="rounds=0 must be at least 1"):
        run_peer_benchmark({}, 0, tmp_path)
    assert main(["bench", "peers", "fak", "--out", str(tmp_path)]) == 2
    assert "did you mean 'fake'" in capsys.readouterr().err
