"""`worldkv bench kernels` at the demo's size: what it compares, what it skips, and that it would see a wrong kernel."""

import json

import jax
import jax.numpy as jnp
import pytest

from worldkv_jax.benchmarks import kernels
from worldkv_jax.benchmarks.kernels import KernelsBenchmark, run_kernels_benchmark
from worldkv_jax.benchmarks.timing import Effort
from worldkv_jax.cli.main import main

BRIEFLY = Effort(repeats=2, warmup=1)


@pytest.mark.long
def test_the_command_writes_every_kernel_and_says_what_cannot_run(tmp_path, capsys):
    assert main(["bench", "kernels", "--repeats", "2", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "kernels.json").read_text())
    measured = [row for row in result["rows"] if "skipped" not in row]
    assert {row["kernel"] for row in measured} == {"anchor_similarity", "select_lowest", "compact"}
    assert all(0 < row["min_s"] <= row["median_s"] <= row["max_s"] and row["times_xla"] == 1 for row in measured)
    skipped = [row for row in result["rows"] if "skipped" in row]
    assert {row["version"] for row in skipped} == {"mosaic_gpu", "triton"}
    assert "cannot run on 'cpu'" in capsys.readouterr().out


def test_a_version_is_compared_with_the_reference(monkeypatch):
    def wrong(given, version):
        return lambda keys: keys + float(version != "xla"), (given.keys,)

    monkeypatch.setattr(kernels, "_KERNELS", {"wrong": wrong})
    rows = run_kernels_benchmark(KernelsBenchmark(versions=["triton"], effort=BRIEFLY))["rows"]
    assert [row["version"] for row in rows] == ["xla", "triton"]
    assert rows[0]["deviation"] == 0 and 0.1 < rows[1]["deviation"] < 1
    assert rows[1]["times_xla"] == rows[0]["median_s"] / rows[1]["median_s"]


def test_a_version_that_fails_does_not_cost_the_rest(monkeypatch):
    def failing(given, version):
        def run(keys):
            def refuse(_):
                raise ValueError("a block does not fit\nand more")

            jax.debug.callback(refuse, keys) if version == "triton" else None
            return keys

        return run, (given.keys,)

    monkeypatch.setattr(kernels, "_KERNELS", {"failing": failing, "sound": lambda given, _: (jnp.sin, (given.keys,))})
    rows = run_kernels_benchmark(KernelsBenchmark(versions=["triton"], effort=BRIEFLY))["rows"]
    assert "failing as 'triton' FAILED" in rows[1]["skipped"] and "\n" not in rows[1]["skipped"]
    assert rows[3]["kernel"] == "sound" and rows[3]["deviation"] == 0


def test_deviation_is_relative_for_numbers_and_a_share_for_positions():
    ours = {"score": jnp.array([1.0, 4.0]), "at": jnp.array([0, 1, 2, 3])}
    assert kernels._deviation(ours, ours) == 0
    assert kernels._deviation(ours, ours | {"score": jnp.array([1.5, 4.0])}) == pytest.approx(0.125)
    assert kernels._deviation(ours, ours | {"at": jnp.array([0, 1, 3, 2])}) == 0.5


@pytest.mark.parametrize("given", [{"shapes": ["lingbot"]}, {"versions": ["mosaic"]}, {"versions": []}])
def test_unknown_names_are_refused(given):
    with pytest.raises(ValueError, match=r"unknown|name at least one"):
        KernelsBenchmark(**given)
