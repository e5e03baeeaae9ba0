"""What commands put out: folders checked early, JSON whole or not at all, aligned tables."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from worldkv_jax.sessions.results import prepare_output, print_table, write_json


def test_prepare_output_makes_a_folder_and_keeps_what_is_there(tmp_path):
    folder = prepare_output(tmp_path / "a" / "b")
    (folder / "writable").write_text("x")
    assert [entry.read_text() for entry in prepare_output(folder).iterdir()] == ["x"]


def test_prepare_output_refuses_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "taken").write_text("x")
    for path in (tmp_path / "taken", tmp_path / "taken" / "deeper"):
        with pytest.raises(NotADirectoryError, match="taken is a file; remove it or choose another folder"):
            prepare_output(path)
    assert (tmp_path / "taken").read_text() == "x"


@pytest.mark.parametrize("place", [".", ".."])
def test_a_folder_without_a_name_of_its_own_gets_no_number(tmp_path, monkeypatch, place):
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path if place == "." else tmp_path / "below")
    assert str(prepare_output(place, writes=["*.mp4"])) == place
    (tmp_path / "video.mp4").touch()
    with pytest.raises(ValueError, match="holds an earlier result; name another folder"):
        prepare_output(place, writes=["*.mp4"])


def test_prepare_output_says_why_a_folder_cannot_be_written(tmp_path, monkeypatch):
    def refuse(self, **_):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.touch", refuse)
    with pytest.raises(PermissionError, match=r"cannot write .*: permission denied; choose another folder"):
        prepare_output(tmp_path)


def test_json_has_plain_numbers(tmp_path):
    data = {
        "float": np.float32(0.5),
        "int": np.int64(3),
        "bool": np.bool_(True),
        "unknown": [float("nan"), np.inf, np.nan],
        "array": np.arange(4).reshape(2, 2),
        "jax": jnp.asarray([1.5, jnp.nan], jnp.bfloat16),
        "path": tmp_path,
        7: ("a", None),
    }
    read = json.loads(write_json(tmp_path / "deep" / "result.json", data).read_text())
    assert read == {
        "float": 0.5,
        "int": 3,
        "bool": True,
        "unknown": [None] * 3,
        "array": [[0, 1], [2, 3]],
        "jax": [1.5, None],
        "path": str(tmp_path),
        "7": ["a", None],
    }


def test_json_that_cannot_be_written_leaves_the_older_file(tmp_path):
    path = write_json(tmp_path / "result.json", {"a": 1})
    with pytest.raises(TypeError, match=r"data\['rows'\]\[1\] is a set, which has no JSON form"):
        write_json(path, {"rows": [1, {2}]})
    assert json.loads(path.read_text()) == {"a": 1} and list(tmp_path.iterdir()) == [path]


def test_tables_are_aligned(capsys):
    rows = [
        {"memory": "Full KV", "psnr": 27.046, "tokens": 5040},
        {"memory": "WorldKV", "psnr": float("nan"), "tokens": np.int64(576)},
        {"memory": "-"},
    ]
    print_table(rows, {"memory": "memory", "psnr": "PSNR", "tokens": "tokens read"})
    assert capsys.readouterr().out.splitlines() == [
        "memory    PSNR  tokens read",
        "-------  -----  -----------",
        "Full KV  27.05        5,040",
        "WorldKV      -          576",
        "-            -            -",
    ]
    print_table([], ["memory"])
    assert capsys.readouterr().out.splitlines() == ["memory", "------"]
