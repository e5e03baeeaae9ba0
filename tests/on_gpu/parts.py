"""The parts of ``make gpu``: what is run, and what of its results goes into the table."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

_PYTEST = (sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider")
_WORLDKV = (sys.executable, "-c", "from worldkv_jax.cli.main import main; raise SystemExit(main())")
_BENCH = (*_WORLDKV, "bench", "rollout")
_MATRIX = ("matrix-game-2", "--random-weights", "--chunks", "90")
_LINGBOT = ("lingbot-world-fast", "--random-weights", "--frames", "357", "--resolution", "480x832")
_ONCE = ("--lengths", "23", "--rounds", "2", "--no-decode")
_ALL = ("--modes", "full", "sliding", "worldkv", "worldkv-official")
_ONE = ("--modes", "worldkv", "--tiers", "pinned_host")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """One measurement, in a process of its own, so that none can spoil another."""

    name: str
    command: tuple[str, ...]
    """``{out}`` in it stands for the folder of its results."""
    seconds: int
    """When it is given up."""
    read: Callable[[Path], list[dict]] = lambda folder: []
    """Rows of the table from the folder of its results."""


def read_rollout(folder: Path) -> list[dict]:
    """Read the rows of ``worldkv bench rollout``."""
    rows = []
    for path in sorted(folder.glob("rollout_*.json")):
        result = json.loads(path.read_text())
        shares = {(verb["mode"], verb["length"]): verb["chunk_share"] for verb in result["verbs"]}
        for row in result["rows"]:
            if "skipped" in row:
                rows.append({"what": f"{row['mode']}, {row['length']} chunks", "note": row["skipped"]})
                continue
            tier, decoded = row["tier"] or "", ", decoded" if row["decode"] else ""
            rows.append(
                {
                    "what": f"{row['mode']} {tier}, {row['length']} chunks{decoded}",
                    "ms": round(1e3 * row["median_s"], 2),
                    "fps": round(row["fps"], 2),
                    "share of ceiling": round(row["ceiling_share"], 3),
                    "hidden": row.get("hidden_share"),
                    "verbs": shares.get((row["mode"], row["length"])),
                    "planned GiB": round(row["planned_bytes"] / 2**30, 2),
                    "peak GiB": row["peak_bytes"] and round(row["peak_bytes"] / 2**30, 2),
                }
            )
    return rows


def read_kernels(folder: Path) -> list[dict]:
    """Read the rows of ``worldkv bench kernels``."""
    rows = json.loads((folder / "kernels.json").read_text())["rows"]
    return [
        {"what": f"{row['kernel']} {row['version']}, {row['shape']}", "note": row["skipped"]}
        if "skipped" in row
        else {"what": f"{row['kernel']} {row['version']}, {row['shape']}", "ms": round(1e3 * row["median_s"], 3)}
        for row in rows
    ]


def read_latency(folder: Path) -> list[dict]:
    """Read the time from a control to its frames of ``worldkv rollout``."""
    latency = json.loads((folder / "report.json").read_text())["latency"]
    return [{"what": "from control to frames", "ms": round(1e3 * latency["median_seconds"], 1)}]


def _bench(name: str, seconds: int, *flags: str) -> Part:
    return Part(name=name, command=(*_BENCH, *flags, "--out", "{out}"), seconds=seconds, read=read_rollout)


PARTS = (
    Part(
        name="parity",
        command=(
            *_PYTEST,
            *(f"tests/parity/test_{name}.py" for name in ("memory", "lingbot_rollout", "matrix_game2_chunk")),
        ),
        seconds=90,
    ),
    Part(name="kernels", command=(*_WORLDKV, "bench", "kernels", "--out", "{out}"), seconds=75, read=read_kernels),
    _bench("matrix-game", 75, *_MATRIX, *_ALL, "--lengths", "10", "90", "--rounds", "2"),
    _bench("matrix-game-taehv", 40, *_MATRIX, *_ONE, "--lengths", "90", "--rounds", "2", "--decoder", "taehv"),
    _bench("lingbot", 120, *_LINGBOT, *_ALL, *_ONCE, "--lengths", "10", "23"),
    _bench("lingbot-int8", 45, *_LINGBOT, *_ONE, *_ONCE, "--weights", "int8"),
    _bench("lingbot-last-pass", 45, *_LINGBOT, *_ONE, *_ONCE, "--commit", "last_pass"),
    Part(
        name="latency",
        command=(
            *(*_WORLDKV, "rollout", "matrix-game-2", "--random-weights", "--chunks", "8"),
            *("--decoder", "taehv", "--out", "{out}", "--force"),
        ),
        seconds=45,
        read=read_latency,
    ),
)
"""Together nine minutes at most; in the order of what is worth most."""

TINY = (
    _bench("matrix-game", 600, "matrix-game-2", "--tiny", "--chunks", "6", *_ONE, "--lengths", "6", "--rounds", "1"),
    Part(name="broken", command=(sys.executable, "-c", "raise SystemExit('this part fails')"), seconds=60),
)
"""The same on any machine, and one part that fails."""
