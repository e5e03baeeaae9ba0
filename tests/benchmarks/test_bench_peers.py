"""`worldkv bench peers`: ours and theirs in turn, and only where they do the same work."""

import json

import numpy as np
import pytest

from worldkv_jax.benchmarks.pairs import Pair, Place
from worldkv_jax.benchmarks.peers import run_peer_benchmark
from worldkv_jax.cli import bench_peers
from worldkv_jax.cli.main import main

CALLS: list[str] = []


def fake(place: Place, ours=1.0, theirs=1.0) -> Pair:
    """Two programs that say when they are opened and when they are called."""
    assert place.scratch.is_dir()

    def opening(name, number):
        def work():
            CALLS.append(name)
            return np.append(number * np.ones(2**22), 2.0)

        return lambda: CALLS.append(f"open {name}") or work

    return Pair(what="nothing", ours=opening("ours", ours), theirs=opening("theirs", theirs), tolerance=1e-3)


def far(place: Place) -> Pair:
    """Two programs that do not do the same."""
    return fake(place, theirs=1.1)


def cloned(place: Place) -> Pair:
    """Two programs, one of a clone."""
    assert place.clone_with("wan/model.py", "Wan") == place.upstream[0] / "v2"
    return fake(place)


@pytest.fixture
def installed(monkeypatch):
    """Peers of a package that is installed, one of which lacks a library."""
    found = {"cloned": f"{__name__}:cloned", "fake": f"{__name__}:fake", "lost": "no_such_package.peer:compare"}
    monkeypatch.setattr(
        "worldkv_jax.entry_points.find_entries", lambda group: found if group == bench_peers.GROUP else {}
    )
    CALLS.clear()


def test_they_take_turns_and_what_is_missing_is_said(installed, tmp_path, capsys):
    assert main(["bench", "peers", "--rounds", "3", "--out", str(tmp_path)]) == 0
    assert " ".join(CALLS) == "open ours open theirs" + 4 * " ours theirs"
    said = capsys.readouterr().out
    assert "skipped: lost" in said and "pip install 'worldkv-jax[torch]'" in said
    assert "skipped: cloned, no folder of --upstream (given: none) holds wan/model.py, of Wan" in said
    cloned, row, lost = json.loads((tmp_path / "peers.json").read_text())["rows"]
    assert row["least"] <= row["ratio"] <= row["most"] and row["deviation"] == 0
    assert "skipped" in lost and "skipped" in cloned
    assert [path.name for path in tmp_path.iterdir()] == ["peers.json"]


def test_a_clone_is_found_and_the_memory_of_each_process(installed, tmp_path, capsys):
    file = tmp_path / "clone/v2/wan/model.py"
    file.parent.mkdir(parents=True)
    file.touch()
    options = ["--upstream", str(tmp_path / "clone"), "--memory", "--rounds", "1", "--out", str(tmp_path / "out")]
    assert main(["bench", "peers", "cloned", *options]) == 0
    (row,) = json.loads((tmp_path / "out/peers.json").read_text())["rows"]
    ours, theirs = row["ours_peak_bytes"], row["theirs_peak_bytes"]
    assert min(ours, theirs) > 2**24 and row["peak_ratio"] == ours / theirs


def test_other_work_is_refused(tmp_path, installed, capsys):
    with pytest.raises(ValueError, match=r"far: ours deviates by 5.0e-02 of the largest number"):
        run_peer_benchmark({"far": f"{__name__}:far"}, 1, tmp_path)
    with pytest.raises(ValueError, match="rounds=0 must be at least 1"):
        run_peer_benchmark({}, 0, tmp_path)
    assert main(["bench", "peers", "fak", "--out", str(tmp_path)]) == 2
    assert "did you mean 'fake'" in capsys.readouterr().err
