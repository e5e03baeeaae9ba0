"""The peak memory of one side of a comparison, in a process of its own."""

import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Literal

from worldkv_jax.benchmarks.pairs import Place
from worldkv_jax.entry_points import load_entry
from worldkv_jax.heap import give_back_after_compiling

Side = Literal["ours", "theirs"]


def peak_of_process(entry: str, place: Place, side: Side) -> int:
    """Return the largest number of bytes that a process holds while it opens one side and does its work once.

    Over what it holds before: the libraries of both sides, imported. Weights count, and compiling.

    Args:
        entry: ``module:function`` of a `worldkv_jax.benchmarks.pairs.Peer`.
        place: where that has already been called.
        side: the one to open.
    """
    given = {"scratch": str(place.scratch), "rounds": place.rounds, "upstream": list(map(str, place.upstream))}
    command = [sys.executable, "-m", __name__, entry, side, json.dumps(given)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.split()[-1])


def _measure(entry: str, side: Side, scratch: str, rounds: int, upstream: list[str]) -> int:
    place = Place(scratch=Path(scratch), rounds=rounds, upstream=tuple(map(Path, upstream)))
    give_back_after_compiling()  # as the commands do
    pair = load_entry("peer", entry, entry)(place)
    before = _peak()
    (pair.ours if side == "ours" else pair.theirs)()()
    return _peak() - before


def _peak() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # under Linux what getrusage says begins with what the parent held
        return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    print(_measure(sys.argv[1], "ours" if sys.argv[2] == "ours" else "theirs", **json.loads(sys.argv[3])))
