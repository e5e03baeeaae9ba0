"""The rollout benchmark: what a chunk of a model costs under each memory, late in a rollout."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from worldkv_jax.benchmarks.ceiling import product_step, widest_product
from worldkv_jax.benchmarks.rollout_bursts import Bursts
from worldkv_jax.benchmarks.rollout_cases import MODES, Case, plan_cases
from worldkv_jax.benchmarks.rollout_rows import add_hidden_shares, make_row, ratios, skipped_row, verb_row
from worldkv_jax.benchmarks.timing import Effort, count_compilations, live_bytes, measure, peak_bytes, time_compilations
from worldkv_jax.memory.config import Tier
from worldkv_jax.sessions.provenance import describe_machine
from worldkv_jax.sessions.session import Session
from worldkv_jax.sessions.world_state import frames_of_chunks


@dataclasses.dataclass(frozen=True, kw_only=True)
class RolloutBenchmark:
    """What to measure."""

    modes: Sequence[str] = MODES
    """Memories, names of `MODES`."""
    lengths: Sequence[int] = (10, 30, 60, 90)
    """Chunks of the rollouts."""
    tiers: Sequence[Tier] = ("device", "pinned_host")
    """Memories to hold the bank."""
    rounds: int = 5
    """How often all cases are gone through; interleaved, so that a slower spell of the machine meets them all."""
    timed: int = 3
    """Chunks timed each time."""
    decode: bool = True
    """Measure with decoding too, and not only without."""
    seed: int = 0

    def __post_init__(self):
        for name in ("rounds", "timed"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        for name in ("modes", "lengths", "tiers"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; name at least one")
        if min(self.lengths) < self.timed + 2:
            raise ValueError(
                f"a rollout of {min(self.lengths)} chunks has no room for {self.timed} timed ones: the first chunk and "
                f"one before the timed ones come on top; use lengths of at least {self.timed + 2}"
            )


def run_rollout_benchmark(
    session: Session,
    benchmark: RolloutBenchmark,
    *,
    progress: Callable[[Sequence, str], Iterable] | None = None,
) -> dict[str, Any]:
    """Measure what a chunk costs under each memory.

    No rollout is generated up to the chunks that are timed: memories are filled with random keys and values.

    Args:
        session: the model; its memory and its number of chunks do not matter, its chunks' conditions are used in turn.
        benchmark: what to measure.
        progress: wraps a list that is gone through; it is also told what for.

    Returns:
        The machine, the parameters, the ``ceiling``, ``rows``, ``verbs``, ``ratios`` and ``checks``; all of it has a
        JSON form. Times are in seconds.

    Raises:
        ValueError: a mode or length that is not possible, or a model with less than two chunks, before anything is
            measured.
    """
    progress = progress or (lambda items, label: items)
    if session.chunks < 2:
        raise ValueError("the first chunk differs from all others: give the model at least two chunks to make")
    planned = plan_cases(session, modes=benchmark.modes, lengths=benchmark.lengths, tiers=benchmark.tiers)
    cases = [case for case in planned if not case.skipped]
    machine = describe_machine()
    session = session.load()
    bursts = Bursts(session, list(session.inputs()), benchmark.timed, benchmark.seed)
    spec = session.backbone.spec
    product = widest_product(
        session.params, layers=spec.layers, rows=session.worlds * spec.chunk_tokens, dtype=spec.dtype
    )
    multiply = product_step(product)
    measure(multiply, _BRIEFLY)

    ways = [(case, decode) for case in cases for decode in ((False, True) if benchmark.decode else (False,))]
    warm = {way: _warm_up(bursts, *way) for way in progress(ways, "compiling")}
    live, seconds, products = live_bytes(), defaultdict(list), []
    with count_compilations() as compiled:
        visits = [(turn, way) for turn in range(benchmark.rounds) for way in ways]
        for _, (case, decode) in progress(visits, "measuring"):
            if (case, decode) == ways[0]:  # once a round
                products.append(measure(multiply, _BRIEFLY).min_s)
            seconds[case, decode].append(bursts.run(case, decode=decode))
    checks = {"compilations": compiled.total(), "live_bytes_flat": live_bytes() == live}

    ceiling = product.flops / min(products)
    moves = {case: bursts.moves(case, _AGAIN) for case in cases if case.tier not in (None, "device")}
    _, frames = frames_of_chunks(session.backbone, session.params, session.worlds)
    common = {"frames": frames, "ceiling": ceiling}
    rows = [
        make_row(
            case,
            session,
            seconds[case, decode],
            decode=decode,
            timed=range(bursts.first_timed(case), case.length),
            moves=moves.get(case),
            **common,
        )
        | warm[case, decode]
        for case, decode in ways
    ]
    add_hidden_shares(rows)
    longest = max(benchmark.lengths)
    banks = [case for case in cases if case.tier == "device" and case.length == longest]
    verbs = [verb_row(case, bursts.verbs(case, _AGAIN), rows) for case in banks]
    rows += [skipped_row(case, rows) for case in planned if case.skipped]
    return {
        "benchmark": "rollout",
        **machine,
        "weights": "random" if session.random_weights else "loaded",
        "request": session.summary,
        "parameters": dataclasses.asdict(benchmark),
        "ceiling": {**product._asdict(), "flops_per_s": ceiling},
        "rows": rows,
        "verbs": verbs,
        "ratios": ratios(rows),
        "checks": checks,
    }


_BRIEFLY = Effort(repeats=3, warmup=1)
_AGAIN = Effort(repeats=10, warmup=2, budget_s=5.0)


def _warm_up(bursts: Bursts, case: Case, decode: bool) -> dict[str, Any]:
    """Compile a case, and see how much of the device the process has used by then."""
    with time_compilations() as compiling:
        bursts.run(case, decode=decode)
    return {
        "compile_s": sum(compiling),
        "planned_bytes": case.plan.total_bytes,
        "peak_bytes": peak_bytes(),  # of the process so far; cases come in the order of what they need
    }
