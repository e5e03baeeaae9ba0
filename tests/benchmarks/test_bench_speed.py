"""`worldkv bench speed`: one row for each option that a model has, beside the model without."""

import json

import pytest

from worldkv_jax.benchmarks import speed
from worldkv_jax.cli.main import main


@pytest.mark.long
def test_options_are_timed_in_turn(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(speed, "OPTIONS", ({}, {"steps": 1}))
    argv = ["bench", "speed", "demo-world", "--length", "4", "--rounds", "2", "--timed", "1", "--out", str(tmp_path)]
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert "as released" in said and "--steps 1" in said
    plain, fewer = json.loads((tmp_path / "speed_demo-world.json").read_text())["rows"]
    assert plain["ratio"] == 1 and len(plain["round_s"]) == len(fewer["round_s"]) == 2
    assert fewer["options"] == {"steps": 1} and fewer["flops"] < 0.7 * plain["flops"]
    assert min(plain["median_s"], fewer["median_s"], fewer["ratio"]) > 0


def test_lengths_without_room_are_refused(tmp_path, capsys):
    assert main(["bench", "speed", "demo-world", "--length", "3", "--out", str(tmp_path)]) == 2
    assert "length=3: give at least 1, 1 and timed + 2" in capsys.readouterr().err
