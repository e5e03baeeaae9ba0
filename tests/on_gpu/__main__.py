"""``make gpu``: run all parts or those that are named, go on when one fails, and write down what came out.

    python -m tests.on_gpu --out outputs/gpu [--only lingbot kernels]

Writes ``gpu.json``, the table ``gpu.md`` and the figure ``gpu.png``, after each part anew.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.on_gpu.parts import PARTS, TINY, Part
from worldkv_jax.media.figures import save_figure
from worldkv_jax.names import check_name
from worldkv_jax.sessions.results import write_json

_COLUMNS = ("part", "what", "ms", "fps", "share of ceiling", "hidden", "verbs", "planned GiB", "peak GiB", "note")


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return how many parts failed."""
    parser = argparse.ArgumentParser(prog="make gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("outputs/gpu"), help="folder of the results")
    parser.add_argument("--only", nargs="+", metavar="PART", help="of " + ", ".join(part.name for part in PARTS))
    parser.add_argument("--tiny", action="store_true", help="rehearse at tiny size, on any machine")
    args = parser.parse_args(words)
    parts = {part.name: part for part in (TINY if args.tiny else PARTS)}
    chosen = [parts[check_name("part", name, parts)] for name in args.only or parts]
    args.out.mkdir(parents=True, exist_ok=True)
    done = []
    for part in chosen:
        done.append(run_part(part, args.out))
        print(f"{part.name}: {done[-1]['state']}, {done[-1]['seconds']:.0f} s", flush=True)
        write(done, args.out)
    print((args.out / "gpu.md").read_text())
    return sum(part["state"] != "done" for part in done)


def run_part(part: Part, out: Path) -> dict:
    """Run one part in a process of its own, and read what it wrote."""
    folder = (out / part.name).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    command = [word.replace("{out}", str(folder)) for word in part.command]
    env = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95", **os.environ, "PYTHONPATH": os.getcwd()}
    since, log, rows = time.perf_counter(), folder / "log.txt", []
    with log.open("w") as file:
        try:
            code = subprocess.run(
                command, stdout=file, stderr=subprocess.STDOUT, timeout=part.seconds, env=env
            ).returncode
            state = "done" if code == 0 else f"failed with {code}, see {log.name}"
        except subprocess.TimeoutExpired:
            state = f"given up after {part.seconds} s"
    if state == "done":
        try:
            rows = part.read(folder)
        except Exception as error:  # whatever it is, the other parts are worth having
            state = f"its results cannot be read: {error!r}"
    return {"part": part.name, "state": state, "seconds": time.perf_counter() - since, "rows": rows, "command": command}


def write(done: Sequence[dict], out: Path) -> None:
    """Write all that came out so far: numbers, table and figure."""
    machine = _machine(done, out)
    write_json(out / "gpu.json", {"machine": machine, "parts": list(done)})
    lines = [f"{machine.get('hardware', {})}, {machine.get('versions', {})}", ""]
    lines += [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for part in done:
        for row in part["rows"] or [{"what": part["state"]}]:
            cells = {"part": part["part"], **row}
            lines.append(f"| {' | '.join(str(cells.get(name) or '') for name in _COLUMNS)} |")
    (out / "gpu.md").write_text("\n".join(lines) + "\n")
    timed = [(f"{part['part']}: {row['what']}", row["ms"]) for part in done for row in part["rows"] if "ms" in row]
    if timed:
        save_figure(out / "gpu.png", _figure(timed))


def _machine(done: Sequence[dict], out: Path) -> dict:
    """Take the machine from a part's own report: this process must not hold the device."""
    for part in done:
        for path in (out / part["part"]).glob("*.json"):
            found = json.loads(path.read_text())
            if "hardware" in found:
                return {name: found.get(name) for name in ("hardware", "versions", "date")}
    return {}


def _figure(timed: list[tuple[str, float]]):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1 + 0.25 * len(timed)), layout="constrained")
    axes = figure.subplots()
    axes.barh([name for name, _ in timed], [ms for _, ms in timed])
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="milliseconds, median")
    return figure


if __name__ == "__main__":
    sys.exit(main())
