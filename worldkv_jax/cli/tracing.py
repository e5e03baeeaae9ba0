"""The flag ``--trace DIR``: a trace of the run, by the parts of a chunk."""

import argparse
import contextlib
from collections.abc import Generator


def add_trace_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag."""
    # Not --profile: a rollout has that for the memory's.
    parser.add_argument(
        "--trace",
        metavar="DIR",
        help="write a profiler's trace of the run, with prepare, recall, pass, commit, remember and decode by name",
    )


@contextlib.contextmanager
def traced(args: argparse.Namespace) -> Generator[None]:
    """Trace what runs inside, if the flag is given."""
    if args.trace is None:
        yield
        return
    import jax

    with jax.profiler.trace(args.trace, create_perfetto_trace=True):
        yield
    print(f"wrote a trace to {args.trace}; open perfetto_trace.json.gz in ui.perfetto.dev, or the folder in XProf")
