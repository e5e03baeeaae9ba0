"""`worldkv bench world`: what it says is what was measured."""

import json

import pytest

from worldkv_jax.cli.main import main


@pytest.mark.long
def test_forks_and_saving_are_measured(tmp_path, capsys):
    command = ["bench", "world", "demo-world", "--trajectory", "R60_L60", "--tier", "device_slots", "--repeats", "1"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "1,000 forks: " in said and "saving: " in said and "on disk: stored chunks" in said
    result = json.loads((tmp_path / "world.json").read_text())
    forks, saving = result["forks"], result["saving"]
    assert forks["bytes"] == 0 and forks["seconds"] < 0.1
    assert forks["counted_bytes"] <= forks["diverged_bytes"]
    assert 0 <= saving["not_hidden_share"] <= 1 and saving["writing_s_per_chunk"] > 0
    assert saving["bytes"]["points"] and saving["bytes"]["stored chunks"]
    assert [path.name for path in tmp_path.iterdir()] == ["world.json"]


def test_what_cannot_be_measured_is_said(tmp_path, capsys):
    assert main(["bench", "world", "demo-world", "--forks", "0", "--out", str(tmp_path)]) == 2
    assert "forks=0 must be at least 1" in capsys.readouterr().err
    assert main(["bench", "world", "demo-world", "--trajectory", "R20", "--out", str(tmp_path)]) == 2
    assert "give at least 3" in capsys.readouterr().err
