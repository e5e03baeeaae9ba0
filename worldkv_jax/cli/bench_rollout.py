"""The command ``worldkv bench rollout MODEL``: what a chunk costs under each memory, late in a rollout."""

import argparse

from worldkv_jax.cli.bench_flags import add_benchmark, add_group, given_to
from worldkv_jax.cli.compile_cache import add_cache_flag, use_cache
from worldkv_jax.cli.models import add_models, open_session
from worldkv_jax.cli.tracing import add_trace_flag, traced


def add_rollout(benchmarks) -> None:
    """Add the sub-command, with one of its own for each model."""
    text = "time the chunks of a model under full KV, a sliding window, sink + recent and WorldKV"
    add_models(add_benchmark(benchmarks, "rollout", text, _bench_rollout), _add_common)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = add_group(parser)
    modes = "full, sliding, sink-recent, worldkv, sliding-official, worldkv-official (default: all)"
    add("--modes", nargs="+", metavar="MODE", help=modes)
    add("--lengths", nargs="+", type=int, metavar="N", help="chunks of the rollouts (default: 10 30 60 90)")
    add("--tiers", nargs="+", metavar="TIER", help="memories of the bank (default: device pinned_host)")
    add("--rounds", type=int, metavar="N", help="times that all is gone through, in turn (default: 5)")
    add("--timed", type=int, metavar="N", help="chunks timed each time (default: 3)")
    add("--no-decode", dest="decode", action="store_false", help="measure without decoding only")
    add_trace_flag(parser)
    add_cache_flag(parser)


def _bench_rollout(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from worldkv_jax.benchmarks.rollout import RolloutBenchmark, run_rollout_benchmark
    from worldkv_jax.benchmarks.rollout_figure import length_figure
    from worldkv_jax.media.figures import save_figure
    from worldkv_jax.sessions.results import prepare_output, write_json

    benchmark = RolloutBenchmark(**given_to(RolloutBenchmark, args))
    use_cache(args)
    session = open_session(args, memory=False)
    name = f"rollout_{args.model}"
    folder = prepare_output(args.out, writes=[f"{name}.json"])
    with traced(args):
        result = run_rollout_benchmark(
            session,
            benchmark,
            # Bars are for people who wait at a terminal.
            progress=lambda items, label: tqdm(items, desc=label, unit="burst", leave=False, disable=None),
        )
    result = {"model": args.model, **result}
    weights = ", random weights" if session.random_weights else ""
    title = f"{args.model}{weights}, {result['hardware']['device']}, jax {result['versions']['jax']}"
    print(f"{title}, {result['date']}")
    _print_speed(result["rows"])
    _print_memory(result["rows"])
    _print_ratios(result)
    save_figure(folder / f"{name}.png", length_figure(result["rows"], title))
    print(f"wrote {write_json(folder / f'{name}.json', result)} and {folder / f'{name}.png'}")


_CASE = {"memory": "memory", "bank": "bank", "length": "chunks"}


def _print_speed(rows: list[dict]) -> None:
    from worldkv_jax.sessions.results import print_table

    measured = [row for row in rows if "skipped" not in row]
    unit, size = ("T", 1e12) if max(row["flops"] for row in measured) > 1e12 else ("G", 1e9)
    print("\nA chunk, in milliseconds")
    columns = {**_CASE, "decoded": "decoded", "median": "median", "min": "min", "max": "max", "fps": "fps"}
    columns |= {"flops": f"{unit}FLOP", "rate": f"{unit}FLOP/s", "share": "% of ceiling"}
    table = [
        _named(row)
        | {name: 1e3 * row[f"{name}_s"] for name in ("median", "min", "max")}
        | {
            "decoded": "yes" if row["decode"] else "no",
            "fps": row["fps"],
            "flops": row["flops"] / size,
            "rate": row["flops_per_s"] / size,
            "share": 100 * row["ceiling_share"],
        }
        for row in measured
    ]
    print_table(table, columns)
    for row in rows:
        if "skipped" in row:
            estimate = f"; about {1e3 * row['estimated_s']:,.0f} ms by its growth" if "estimated_s" in row else ""
            print(f"skipped: {row['mode']} at {row['length']} chunks {row['skipped']}{estimate}")


def _print_memory(rows: list[dict]) -> None:
    from worldkv_jax.byte_counts import format_bytes
    from worldkv_jax.sessions.results import print_table

    def size(count: int | None) -> str | None:
        return None if not count else format_bytes(count)

    print("\nKeys and values in use, what a chunk moves between host and device, compilation, and the process's peak")
    columns = {**_CASE, "tokens": "attends to", "device": "KV on device", "host": "KV in host", "moved": "moved"}
    columns |= {"alone": "ms alone", "hidden": "% hidden", "compile": "compile s", "peak": "peak"}
    table = []
    for row in rows:
        if "skipped" in row or row["decode"]:
            continue
        kv, hidden = row["kv_bytes"], row.get("hidden_share")
        table.append(
            _named(row)
            | {
                "tokens": row["attended_tokens"],
                "device": size(kv["device"]),
                "host": size(sum(kv.values()) - kv["device"]),
                "moved": size(sum((row["moved_bytes"] or {}).values())),
                "alone": None if row["moves"] is None else 1e3 * sum(row["moves"].values()),
                "hidden": None if hidden is None else 100 * hidden,
                "compile": row["compile_s"],
                "peak": size(row["peak_bytes"]),
            }
        )
    print_table(table, columns)


def _print_ratios(result: dict) -> None:
    from worldkv_jax.sessions.results import print_table

    ceiling, checks = result["ceiling"], result["checks"]
    if result["ratios"]:
        print("\nWorldKV at the longest rollout, compared round by round")
        columns = {**_CASE, "decoded": "decoded", "times": "x full KV", "window": "x window of its size"}
        table = [
            _named(row)
            | {"decoded": "yes" if row["decode"] else "no", "window": row["share_of_window"]}
            | {"times": f"~{row['times_full']:.2f}" if row["estimated"] else row["times_full"]}
            for row in result["ratios"]
        ]
        print_table(table, columns)
    for row in result["verbs"]:
        print(f"{row['mode']}: recalling and remembering alone take {row['chunk_share']:.2%} of a chunk")
    shape = " x ".join(f"{ceiling[name]:,}" for name in ("rows", "d_in", "d_out"))
    print(f"ceiling: {ceiling['flops_per_s'] / 1e12:.3g} TFLOP/s, {ceiling['dtype']} product of {shape}")
    print(f"compiled while timed: {checks['compilations']} programs")
    print(f"live bytes: {'the same' if checks['live_bytes_flat'] else 'NOT the same'} before and after all rounds")


def _named(row: dict) -> dict:
    bank = row["tier"] and f"{row['tier']}{', live' if row['live'] else ''}"
    return {"memory": row["mode"], "bank": bank, "length": row["length"]}
