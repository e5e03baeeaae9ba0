"""`worldkv bench rollout`: all memories on a tiny backbone, and the command on the shipped world."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.rollout.test_lag import LaggingBackbone
from tests.rollout.worlds import BACKBONE, PARAMS, noise, views
from worldkv_jax import memory as wm
from worldkv_jax import rollout as ro
from worldkv_jax.benchmarks import rollout_cases
from worldkv_jax.benchmarks.ceiling import product_step, widest_product
from worldkv_jax.benchmarks.distant import distant_memory
from worldkv_jax.benchmarks.rollout import RolloutBenchmark, run_rollout_benchmark
from worldkv_jax.benchmarks.rollout_cases import MODES, RIVALS, memories, plan_cases
from worldkv_jax.benchmarks.rollout_rows import add_hidden_shares, ratios, skipped_row
from worldkv_jax.cli.main import main
from worldkv_jax.memory.layout import Layout
from worldkv_jax.sessions import Cost, Loaded, Session
from worldkv_jax.sessions.plan import chunk_flops, make_plan

COST = Cost(weights_bytes=1000, passes=3, pass_flops=1e6, decode_flops=5e5)
LENGTHS = (10, 12)
MEASURED = ("full", "sliding", "worldkv")


def session(backbone=BACKBONE, worlds: int = 1) -> Session:
    return Session(
        model="tiny",
        backbone=backbone,
        memory=wm.DEFAULT,
        chunks=4,
        fps=1.0,
        count_cost=lambda: COST,
        loader=lambda where: Loaded(params=PARAMS, inputs=lambda *, worlds: views(4, worlds=worlds)),
        worlds=worlds,
    )


@pytest.fixture(scope="module")
def result():
    jax.clear_caches()  # how long compiling takes is measured too
    return run_rollout_benchmark(session(), RolloutBenchmark(modes=MEASURED, lengths=LENGTHS, rounds=2, timed=2))


@pytest.mark.long
def test_every_memory_is_measured_where_it_says_something(result):
    seen = {}
    for row in result["rows"]:
        seen.setdefault((row["mode"], row["tier"], row["live"], row["decode"]), set()).add(row["length"])
    assert {key[0] for key in seen} == set(MEASURED)
    for (_, tier, live, _), lengths in seen.items():
        assert lengths == ({12} if live else set(LENGTHS))
        assert not live or tier == "pinned_host"
    tiers = {key[1] for key in seen if key[0] in RIVALS}
    assert tiers == {"device", "pinned_host"} and {key[3] for key in seen} == {False, True}
    assert len(seen) == 2 * (2 + 3)


@pytest.mark.long
def test_times_speeds_and_bytes_fit_together(result):
    for row in result["rows"]:
        assert 0 < row["min_s"] <= row["median_s"] <= row["max_s"]
        assert row["repeats"] == 4 and len(row["round_s"]) == 2
        assert row["fps"] == pytest.approx(3 / row["median_s"])
        assert row["flops_per_s"] == pytest.approx(row["flops"] / row["median_s"])
        assert row["ceiling_share"] == pytest.approx(row["flops_per_s"] / result["ceiling"]["flops_per_s"])
        assert set(row["kv_bytes"]) == {"device"} | ({row["tier"]} if row["tier"] else set())
    full = {row["length"]: row for row in result["rows"] if row["mode"] == "full" and not row["decode"]}
    assert full[12]["kv_bytes"]["device"] == 12 * BACKBONE.spec.bytes(1, BACKBONE.spec.chunk_tokens)
    assert full[12]["attended_tokens"] == 12 * 12 and full[12]["flops"] > full[10]["flops"]


@pytest.mark.long
def test_arithmetic_is_that_of_the_timed_chunks(result):
    layout = Layout(config=wm.MemoryConfig(mode="full"), spec=BACKBONE.spec, chunks=11)
    row = next(row for row in result["rows"] if row["mode"] == "full" and row["length"] == 10 and row["decode"])
    assert row["flops"] == pytest.approx(np.mean([chunk_flops(layout, COST, chunk) for chunk in (8, 9)]))
    plan = make_plan(BACKBONE, wm.MemoryConfig(mode="full"), COST, chunks=10)
    assert plan.chunk_flops == chunk_flops(layout, COST, 9)


@pytest.mark.long
def test_nothing_compiles_and_nothing_is_left_behind_while_timed(result):
    assert result["checks"] == {"compilations": 0, "live_bytes_flat": True}
    compiled = [row["compile_s"] for row in result["rows"] if not row["decode"] and not row["live"]]
    assert min(compiled) >= 0 and max(compiled) > 0


@pytest.mark.long
def test_moves_are_told_for_banks_in_host_memory(result):
    for row in result["rows"]:
        if row["tier"] != "pinned_host":
            assert row["moved_bytes"] is None and row["moves"] is None
            continue
        layout = Layout(config=memories(BACKBONE.spec)[row["mode"]], spec=BACKBONE.spec, chunks=13)
        fetched = {"worldkv": 3, "worldkv-official": 6}[row["mode"]] * layout.bank.chunk_bytes
        assert row["moved_bytes"] == {"to_host": layout.bank.chunk_bytes, "to_device": fetched}
        assert set(row["moves"]) == {"to_host_s", "to_device_s"} and min(row["moves"].values()) > 0
        assert 0 <= row["hidden_share"] <= 1 and row["exposed_s"] >= 0


@pytest.mark.long
def test_worldkv_is_compared_with_full_memory_and_with_a_window_of_its_size(result):
    ways = [(row["mode"], row["tier"], row["live"], row["decode"]) for row in result["ratios"]]
    assert len(set(ways)) == len(ways) == 3 * 2
    assert all(row["times_full"] > 0 and row["share_of_window"] > 0 for row in result["ratios"])
    assert [row["mode"] for row in result["verbs"]] == ["worldkv"]


@pytest.mark.parametrize(("mode", "rival"), RIVALS.items())
def test_a_rival_attends_to_as_many_tokens(mode, rival):
    spec = dataclasses.replace(BACKBONE.spec, tokens_per_frame=37)
    known = memories(spec)
    sizes = [Layout(config=known[name], spec=spec, chunks=90).context_tokens for name in (mode, rival)]
    assert 0 <= sizes[1] - sizes[0] < spec.tokens_per_frame


@pytest.mark.parametrize(
    ("name", "tier"),
    [("full", None), ("sink-recent", None), ("worldkv", "device"), ("worldkv", "host"), ("worldkv-official", "device")],
)
def test_a_distant_memory_is_laid_out_like_one_that_went_the_way(name, tier):
    config = memories(BACKBONE.spec)[name]
    if config.bank is not None:
        config = dataclasses.replace(config, bank=wm.BankConfig(tier=tier))
    world = ro.start(BACKBONE, PARAMS, config, chunks=12, worlds=2)
    _, world = ro.rollout(BACKBONE, PARAMS, world, views(9, worlds=2), noise=lambda i: noise(i, worlds=2), decode=False)
    ours = distant_memory(world.memory.layout, 9, params=PARAMS)
    assert jax.tree.structure(ours) == jax.tree.structure(world.memory)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(world.memory)):
        assert (one.shape, one.dtype, one.sharding) == (other.shape, other.dtype, other.sharding)
    if config.bank is not None:
        np.testing.assert_array_equal(ours.bank.index.chunks, world.memory.bank.index.chunks)
    cameras = views(10, worlds=2)[9].cameras
    for one, other in zip(wm.recall(ours, cameras), wm.recall(world.memory, cameras)):
        if isinstance(one, wm.Context):
            assert int(one.length) == int(other.length)


def test_a_full_distant_bank_has_dropped_its_oldest():
    bank = wm.BankConfig(capacity=8, when_full="drop_oldest")
    layout = Layout(config=dataclasses.replace(wm.DEFAULT, bank=bank), spec=BACKBONE.spec)
    memory = distant_memory(layout, 15, params=PARAMS)
    assert sorted(memory.bank.index.chunks.tolist()) == list(range(7, 15))
    assert int(memory.bank.index.chunks[(14 - 1) % 8]) == 14


@pytest.mark.slow
def test_a_backbone_that_hands_on_late_is_measured_too():
    made = run_rollout_benchmark(
        session(LaggingBackbone(), worlds=2),
        RolloutBenchmark(modes=("worldkv",), lengths=(10,), tiers=("host",), rounds=1, timed=1),
    )
    assert len(made["rows"]) == 2 * 2 and made["checks"]["compilations"] == 0


def test_what_does_not_fit_is_left_out_or_made_smaller(monkeypatch):
    options = {"modes": MODES, "lengths": (10, 90), "tiers": ("device", "pinned_host")}
    needs = {(case.mode, case.tier): case.plan for case in plan_cases(session(), **options) if case.length == 90}
    chunk = Layout(config=memories(BACKBONE.spec)["worldkv"], spec=BACKBONE.spec, chunks=90).bank.chunk_bytes
    limit = needs["worldkv", "device"].total_bytes - 30 * chunk
    monkeypatch.setattr(rollout_cases, "_device_limit", lambda: limit)
    cases = plan_cases(session(), **options)
    bank = next(case for case in cases if case.mode == "worldkv" and case.tier == "device")
    assert bank.memory.bank.capacity == 91 - 30 and bank.memory.bank.when_full == "drop_oldest" and not bank.skipped
    assert bank.plan.total_bytes <= limit
    full = {case.length: case.skipped for case in cases if case.mode == "full"}
    assert full[10] is None and "on the device, which has" in full[90]
    monkeypatch.setattr(rollout_cases, "_device_limit", lambda: 1100)
    assert all(case.skipped for case in plan_cases(session(), **options))


def test_full_memory_that_does_not_fit_is_estimated_from_shorter_rollouts():
    def row(mode, length, seconds, **others):
        names = {"mode": mode, "tier": None, "live": False, "length": length, "decode": False, "moves": None}
        return {**names, "median_s": seconds, "round_s": [seconds], **others}

    rows = [row("full", 10, 2.0), row("full", 30, 4.0), row("sliding", 90, 1.9)]
    rows.append(row("worldkv", 90, 2.0, tier="device"))
    (case,) = plan_cases(session(), modes=["full"], lengths=(90,), tiers=())
    rows.append(skipped_row(dataclasses.replace(case, skipped="too large"), rows))
    assert rows[-1]["estimated_s"] == pytest.approx(10.0)
    (ratio,) = ratios(rows)
    assert ratio["times_full"] == pytest.approx(5.0) and ratio["estimated"]
    assert ratio["share_of_window"] == pytest.approx(0.95)
    hidden = row("worldkv", 90, 2.03, tier="pinned_host") | {"moves": {"to_device_s": 0.09, "to_host_s": 0.01}}
    add_hidden_shares([*rows[:4], hidden])
    assert hidden["exposed_s"] == pytest.approx(0.03) and hidden["hidden_share"] == pytest.approx(0.7)


def test_the_ceiling_is_the_widest_map_of_the_blocks():
    params = {"blocks": {"up": jnp.zeros((5, 6, 24))}, "time": jnp.zeros((6, 36)), "norm": jnp.zeros(6)}
    product = widest_product(params, layers=5, rows=7, dtype="float32")
    assert (product.rows, product.d_in, product.d_out) == (7, 6, 24)
    assert product.flops == 8 * 2 * 2 * 7 * 6 * 24
    made = product_step(product)()
    assert made.shape == (7, 6) and 0.01 < float(jnp.abs(made).mean()) < 100
    with pytest.raises(ValueError, match="no parameter has two axes"):
        widest_product({"norm": jnp.zeros(6)}, layers=5, rows=7, dtype="float32")


@pytest.mark.slow
def test_the_command_measures_the_shipped_world(tmp_path, capsys):
    words = "--lengths 10 --rounds 1 --timed 1 --modes sliding worldkv --tiers device --no-decode"
    assert main(["bench", "rollout", "demo-world", *words.split(), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "x window of its size" in printed and "% of ceiling" in printed and "of a chunk" in printed
    made = json.loads((tmp_path / "rollout_demo-world.json").read_text())
    assert [row["mode"] for row in made["rows"]] == ["sliding", "worldkv"]
    assert made["model"] == "demo-world" and made["weights"] == "loaded" and made["parameters"]["decode"] is False
    assert made["versions"]["jax"] == jax.__version__
    assert (tmp_path / "rollout_demo-world.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--modes", "slidng"], "did you mean 'sliding'"),
        (["--tiers", "disk"], "bank tier"),
        (["--lengths", "4"], "use lengths of at least 5"),
        (["--rounds", "0"], "rounds=0"),
    ],
)
def test_wrong_arguments_are_refused_before_measuring(words, text, tmp_path, capsys):
    assert main(["bench", "rollout", "demo-world", *words, "--out", str(tmp_path)]) == 2
    assert text in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
