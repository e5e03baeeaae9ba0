"""`worldkv bench conversion`: what it converts, and that memory stays within bounds."""

import json
import math

import pytest

from worldkv_jax.benchmarks.conversion import ConversionBenchmark, largest_layer, transformer_tensors
from worldkv_jax.cli.main import main


def test_the_tensors_are_those_of_the_real_model():
    tensors = transformer_tensors(5120, 40)
    assert len(tensors) == 1421
    assert sum(math.prod(shape) for shape in tensors.values()) == 18_544_332_864
    assert largest_layer(tensors) == 4 * 456_272_384


@pytest.mark.long
def test_a_small_run(tmp_path, capsys):
    argv = ["bench", "conversion", "--dims", "128", "--layers", "2", "--dtypes", "bf16", "--out", str(tmp_path)]
    assert main(argv) == 0
    (row,) = json.loads((tmp_path / "conversion.json").read_text())["rows"]
    assert (row["dim"], row["dtype"], row["tensors"]) == (128, "bf16", 2 * 35 + 21)
    assert 0 < row["baseline_bytes"] < row["peak_bytes"] < 2**30 and row["seconds"] > 0
    assert f"wrote {tmp_path / 'conversion.json'}" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["conversion.json"]


def test_a_conversion_that_fails_says_why(tmp_path, capsys):
    argv = [
        "bench",
        "conversion",
        "--dims",
        "128",
        "--layers",
        "1",
        "--memory-limit-gb",
        "0.02",
        "--out",
        str(tmp_path),
    ]
    assert main(argv) == 2
    assert "worldkv convert lingbot-world-fast" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_widths_that_no_heads_fit(capsys):
    with pytest.raises(ValueError, match=r"dims=\[100\] are not all multiples of 128"):
        ConversionBenchmark(dims=(100,))


@pytest.mark.slow
def test_four_gigabytes_in_two(tmp_path):
    """The full list of tensors: a file of 4.7 GB, under a limit of 2 GiB, and far below it."""
    assert main(["bench", "conversion", "--dims", "512", "1280", "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "conversion.json").read_text())["rows"]
    assert rows[-1]["source_bytes"] > 4e9
    assert all(row["tensors"] == 1421 and row["ratio"] < 1.2 for row in rows)
