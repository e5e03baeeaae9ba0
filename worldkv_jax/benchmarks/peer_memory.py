"""The peak memory of one side of a comparison, in a process of its own."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Literal

from worldkv_jax.benchmarks.pairs import Place
from worldkv_jax.entry_points import load_entry

Side = Literal["ours", "theirs"]


def peak_of_process(entry: str, place: Place, side: Side) -> int:
    """Return the largest resident bytes of a process that opens one side and does its work once.

    Everything counts: interpreter, libraries, compiling, weights.

    Args:
        entry: ``module:function`` of a `worldkv_jax.benchmarks.pairs.Peer`.
        place: where that has already been called.
        side: the one to open.
    """
    given = {"entry": entry, "side": side, "scratch": str(place.scratch), "upstream": list(map(str, place.upstream))}
    command = [sys.executable, "-m", __name__, json.dumps(given)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.split()[-1])


def _measure(entry: str, side: Side, scratch: str, upstream: list[str]) -> int:
    place = Place(scratch=Path(scratch), upstream=tuple(map(Path, upstream)))
    pair = load_entry("peer", entry, entry)(place)
    (pair.ours if side == "ours" else pair.theirs)()()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    print(_measure(**json.loads(sys.argv[1])))
