"""`worldkv bench memory` at tiny sizes: what it writes, and that nothing compiles or grows while it times."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worldkv_jax.benchmarks import sizing
from worldkv_jax.benchmarks.memory import check_rows
from worldkv_jax.benchmarks.selection import plan_selection
from worldkv_jax.benchmarks.sizing import bank_bytes, check_fits, needed_bytes
from worldkv_jax.benchmarks.storage import OPERATIONS, plan_storage, shape_named
from worldkv_jax.benchmarks.timing import Effort, live_bytes, measure
from worldkv_jax.benchmarks.views import random_cameras
from worldkv_jax.cameras import validate_poses
from worldkv_jax.cli.main import main

SIZES, CAPACITIES, RULES = [8, 40], [8, 12], ["released"]


def bench(*words) -> int:
    return main(["bench", "memory", *map(str, words)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    sizes = ("--sizes", *SIZES, "--rules", *RULES, "--capacities", *CAPACITIES, "--tiers", "device", "--frames", 12)
    assert bench(*sizes, "--shape", "tiny", "--repeats", 3, "--warmup", 1, "--seed", 5, "--out", folder) == 0
    return folder


@pytest.fixture(scope="module")
def result(folder):
    return json.loads((folder / "memory.json").read_text())


@pytest.mark.long
def test_every_size_is_measured_in_order(result):
    assert [(row["rule"], row["chunks"]) for row in result["selection"]] == [(r, n) for r in RULES for n in SIZES]
    storage = [(row["capacity"], row["operation"]) for row in result["storage"]]
    assert storage == [(size, operation) for size in CAPACITIES for operation in OPERATIONS]


@pytest.mark.long
def test_the_memory_in_a_model_is_measured_beside_its_own_cache(result):
    rows = result["embedding"]
    names = ["cache by hand", "sliding memory", "worldkv memory", "worldkv in int8"]
    assert [row["cache"] for row in rows] == 2 * names
    assert len({row["model"] for row in rows}) == 2
    assert rows[0]["ratio"] == rows[4]["ratio"] == 1 and all(row["step_s"] > 0 and row["ratio"] > 0 for row in rows)


@pytest.mark.long
def test_times_are_ordered_and_relative_to_the_smallest_size(result):
    for row in [*result["selection"], *result["storage"]]:
        assert 0 < row["min_s"] <= row["median_s"] <= row["max_s"]
        assert row["repeats"] == 3
    for part, size in (("selection", "chunks"), ("storage", "capacity")):
        smallest = min(row[size] for row in result[part])
        assert all(row["ratio"] == 1 for row in result[part] if row[size] == smallest)


@pytest.mark.long
def test_nothing_compiles_and_no_bytes_are_added_while_timed(result):
    for row in [*result["selection"], *result["storage"]]:
        assert row["compilations"] == 0, row
        assert row["live_bytes_before"] == row["live_bytes_after"], row
    assert result["checks"]["compilations"] == 0
    assert result["checks"]["live_bytes_flat"] is True


@pytest.mark.long
def test_a_device_bank_is_updated_in_place(result):
    assert result["checks"]["same_buffers"] is True
    assert result["checks"]["copied_share"] < 0.25


@pytest.mark.long
def test_the_result_says_what_was_measured_on_what(result):
    assert result["versions"]["jax"] == jax.__version__
    assert result["versions"]["numpy"] == np.__version__
    assert result["hardware"]["platform"] == "cpu" and result["hardware"]["cores"] >= 1
    assert result["parameters"]["seed"] == 5
    assert result["parameters"]["effort"]["repeats"] == 3
    assert result["date"].startswith("20")


@pytest.mark.long
def test_a_plot_is_written(folder):
    assert (folder / "memory.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_host_tiers_keep_their_programs_and_bytes_too(tmp_path, capsys):
    words = "--parts storage --tiers pinned_host host --capacities 8 --shape tiny --repeats 2 --warmup 1"
    assert bench(*words.split(), "--out", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "pinned_host" in printed and "an index" not in printed
    result = json.loads((tmp_path / "memory.json").read_text())
    assert result["selection"] == []
    assert result["checks"] == {
        "compilations": 0,
        "live_bytes_flat": True,
        "same_buffers": None,
        "copied_share": None,
    }


@pytest.mark.long
def test_the_embedding_alone_has_no_figure(tmp_path, capsys):
    assert bench("--parts", "embedding", "--frames", "6", "--repeats", "1", "--warmup", "1", "--out", tmp_path) == 0
    assert "cache by hand" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["memory.json"]


def test_sizes_that_would_take_too_long_are_left_out_and_said_so(tmp_path, capsys):
    words = "--parts selection --rules overlap --sizes 8 10 --repeats 1 --call-limit 0"
    assert bench(*words.split(), "--out", tmp_path) == 0
    assert "skipped: overlap among 10 chunks" in capsys.readouterr().out
    first, second = json.loads((tmp_path / "memory.json").read_text())["selection"]
    assert first["median_s"] > 0
    assert "median_s" not in second and "more than 0 s" in second["skipped"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--shape", "lingbot-wrld-fast"], "did you mean 'lingbot-world-fast'"),
        (["--rules", "attention"], "unknown rule that needs cameras alone 'attention'"),
        (["--sizes", "3"], "retrieval.chunks=6"),
        (["--capacities", "3"], "retrieval.chunks=6"),
        (["--tiers", "devices"], "did you mean 'device'"),
        (["--repeats", "0"], "repeats=0"),
        (["--memory-share", "1.5"], "outside (0, 1]"),
        (["--shape", "lingbot", "--capacities", "100000"], "GiB"),
    ],
)
def test_wrong_arguments_are_refused_before_measuring(words, text, tmp_path, capsys):
    assert bench(*words, "--out", tmp_path) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "memory.json").exists()


def test_too_large_a_bank_names_the_biggest_that_fits(monkeypatch):
    (layout,) = plan_storage(["device"], [50], spec=shape_named("demo"))
    fixed, chunk = needed_bytes(layout)
    assert chunk == bank_bytes(layout) // 50 == shape_named("demo").bytes(1, 24 + 2 * 6)
    monkeypatch.setattr(sizing, "available_host_bytes", lambda: 2 * (fixed + 20 * chunk))
    with pytest.raises(ValueError, match=r"of main memory, .* the biggest capacity that fits is 20 chunks"):
        check_fits(layout, 0.5)
    monkeypatch.setattr(sizing, "available_host_bytes", lambda: 2 * (fixed + 50 * chunk))
    check_fits(layout, 0.5)


def test_device_and_host_memory_are_judged_apart(monkeypatch):
    on_device, on_host = plan_storage(["device", "pinned_host"], [50], spec=shape_named("demo"))
    fixed, chunk = needed_bytes(on_host)
    monkeypatch.setattr(sizing, "available_device_bytes", lambda: fixed + 10 * chunk)
    monkeypatch.setattr(sizing, "available_host_bytes", lambda: 50 * chunk)
    check_fits(on_host, 1.0)
    with pytest.raises(ValueError, match=r"of device memory, .* is 10 chunks"):
        check_fits(on_device, 1.0)
    monkeypatch.setattr(sizing, "available_host_bytes", lambda: 3 * chunk)
    with pytest.raises(ValueError, match="not even the 6 chunks to retrieve fit"):
        check_fits(on_host, 1.0)
    monkeypatch.setattr(sizing, "available_device_bytes", lambda: fixed // 2)
    with pytest.raises(ValueError, match="choose a smaller shape"):
        check_fits(on_host, 1.0)


def test_a_step_that_compiles_and_keeps_arrays_is_caught():
    kept = []

    def leak():
        kept.append(jax.jit(lambda x: x + 1)(jnp.zeros(len(kept) + 1)))
        return kept[-1]

    timing = measure(leak, Effort(repeats=2, warmup=1))
    assert timing.compilations >= 2
    assert not timing.live_bytes_flat
    assert sum(timing.live_bytes_after.values()) - sum(timing.live_bytes_before.values()) == 4 * (2 + 3)


def test_no_repeat_begins_after_the_budget():
    assert measure(lambda: jnp.zeros(1), Effort(repeats=1000, warmup=1, budget_s=0)).repeats == 1


def test_live_bytes_follow_an_array():
    def total():
        return sum(live_bytes().values())

    before = total()
    array = jax.block_until_ready(jnp.ones(1000))
    assert total() - before == 4000
    array.delete()
    assert total() == before


def test_a_copied_bank_shows_in_the_checks():
    def row(capacity, temp):
        return {
            "operation": "remember",
            "capacity": capacity,
            "bank_bytes": 100 * capacity,
            "temp_bytes": temp,
            "same_buffers": True,
            "compilations": 1,
            "live_bytes_flat": True,
        }

    checks = check_rows([], [row(10, 500), row(20, 1500)])
    assert checks == {"compilations": 2, "live_bytes_flat": True, "same_buffers": True, "copied_share": 1.0}


def test_random_cameras_are_rigid_and_differ():
    cameras = random_cameras(np.random.default_rng(0), 4, 3)
    assert cameras.shape == (4, 3, 4, 4) and cameras.dtype == np.float32
    for chunk in cameras:
        validate_poses(chunk)
    assert len(np.unique(cameras[:, 0, 0, 0])) == 4


def test_planned_sizes_are_sorted_and_met_once():
    planned = [layout.bank.capacity for layout in plan_selection(["camera", "overlap"], [40, 8, 40])]
    assert planned == [8, 40, 8, 40]
