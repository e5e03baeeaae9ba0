"""The kernels benchmark: every version of the pruning kernels beside XLA's, equal or not, and how fast."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernels_pallas.anchor_similarity import anchor_similarity, anchor_vector
from kernels_pallas.arg_specs import REAL, ArgSpec
from kernels_pallas.compact import compact
from kernels_pallas.dispatch import FILES
from kernels_pallas.select_lowest import select_lowest
from worldkv_jax.benchmarks.timing import Effort, measure
from worldkv_jax.names import check_name
from worldkv_jax.sessions.provenance import describe_machine

SHAPES = {spec.name: spec for spec in REAL}
"""Chunks of the models: all layers of one world."""

_REFERENCE = "xla"


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelsBenchmark:
    """What to measure."""

    shapes: Sequence[str] = ()
    """Names of `SHAPES`; none for all of them on a GPU, and for the demo world's on a CPU."""
    versions: Sequence[str] = tuple(FILES)
    effort: Effort = dataclasses.field(default_factory=lambda: Effort(repeats=20, budget_s=5.0))
    seed: int = 0

    def __post_init__(self):
        for name in self.shapes:
            check_name("shape", name, SHAPES)
        for name in self.versions:
            check_name("version of the kernels", name, FILES)
        if not self.versions:
            raise ValueError("versions is empty; name at least one")
        if not self.shapes:
            on_gpu = jax.default_backend() == "gpu"
            object.__setattr__(self, "shapes", tuple(SHAPES) if on_gpu else ("demo_world",))


def run_kernels_benchmark(
    benchmark: KernelsBenchmark,
    *,
    progress: Callable[[Sequence, int], Iterable] | None = None,
) -> dict[str, Any]:
    """Compare each version with the reference on the same numbers, then time it.

    Args:
        benchmark: what to measure.
        progress: wraps the rows while they are measured; it is also told how many there are.

    Returns:
        The machine, the parameters and ``rows``, in a form that JSON takes. ``deviation`` is 0 for equal results: the
        largest difference over the largest number, or the share of other positions. A version that cannot run here,
        or fails to, has ``skipped`` instead, which says why.
    """
    progress = progress or (lambda rows, total: rows)
    wanted = [
        (shape, kernel, version)
        for shape in benchmark.shapes
        for kernel in _KERNELS
        for version in dict.fromkeys((_REFERENCE, *benchmark.versions))
    ]
    rows, inputs = [], {}
    for shape, kernel, version in progress(wanted, len(wanted)):
        if shape not in inputs:  # one shape at a time: LingBot's keys and values are 3.8 GB
            inputs = {shape: _Inputs.draw(SHAPES[shape], benchmark.seed)}
        rows.append(_measure(kernel, version, inputs[shape], benchmark.effort))
    _add_ratios(rows)
    return {
        "benchmark": "kernels",
        **describe_machine(),
        "parameters": dataclasses.asdict(benchmark),
        "rows": rows,
    }


@dataclasses.dataclass(frozen=True)
class _Inputs:
    spec: ArgSpec
    keys: jax.Array  # [L, T, N, H]
    values: jax.Array  # [L, T, N, H]
    scores: jax.Array  # float32 [L, T]
    indices: jax.Array  # int32 [L, P], in order

    @classmethod
    def draw(cls, spec: ArgSpec, seed: int) -> "_Inputs":
        @jax.jit
        def draw(key):
            of_keys, of_values, of_scores = jax.random.split(key, 3)
            keys, values = (jax.random.normal(k, spec.shape, spec.dtype) for k in (of_keys, of_values))
            scores = jax.random.uniform(of_scores, spec.shape[:-2])
            return keys, values, scores, select_lowest(scores, spec.picks)

        return cls(spec, *draw(jax.random.key(seed, impl="rbg")))


def _similarity(given: _Inputs, version: str):
    def run(keys):
        anchor = anchor_vector(keys[..., : keys.shape[-3] // 3, :, :], "per_key")
        return anchor_similarity(keys, anchor, implementation=version)

    return run, (given.keys,)


def _selection(given: _Inputs, version: str):
    return lambda scores: select_lowest(scores, given.spec.picks, implementation=version), (given.scores,)


def _compaction(given: _Inputs, version: str):
    return lambda *args: compact(args[:2], args[2], implementation=version), (given.keys, given.values, given.indices)


_KERNELS = {"anchor_similarity": _similarity, "select_lowest": _selection, "compact": _compaction}


def _measure(kernel: str, version: str, given: _Inputs, effort: Effort) -> dict[str, Any]:
    row = {"shape": given.spec.name, "kernel": kernel, "version": version}
    run, args = _KERNELS[kernel](given, version)
    try:
        jax.eval_shape(run, *args)  # refuses before anything is compiled
    except NotImplementedError as error:
        return row | {"skipped": str(error)}
    run = jax.jit(run)
    try:
        made = jax.block_until_ready(run(*args))
    except (jax.errors.JaxRuntimeError, ValueError) as error:  # one kernel that does not compile must not cost the rest
        return row | {"skipped": f"{kernel} as {version!r} FAILED: {str(error).splitlines()[0]}"}
    deviation = 0.0
    if version != _REFERENCE:
        expected = jax.jit(_KERNELS[kernel](given, _REFERENCE)[0])
        deviation = _deviation(made, expected(*args))
    del made
    timing = measure(lambda: run(*args), effort)
    return row | {
        "deviation": deviation,
        **{name: getattr(timing, name) for name in ("median_s", "min_s", "max_s", "repeats")},
    }


def _deviation(ours: Any, theirs: Any) -> float:
    """Compare two results leaf by leaf; the worst counts."""

    @jax.jit
    def compare(a, b):
        if jnp.issubdtype(a.dtype, jnp.integer):
            return jnp.mean(a != b, dtype=jnp.float32)
        difference = jnp.abs(a.astype(jnp.float32) - b.astype(jnp.float32)).max()
        return difference / jnp.maximum(jnp.abs(b.astype(jnp.float32)).max(), np.finfo(np.float32).tiny)

    return float(max(jax.tree.leaves(jax.tree.map(compare, ours, theirs))))


def _add_ratios(rows: list[dict]) -> None:
    """Add to each measured row how many times as fast as the reference it is; ``None`` if that failed."""
    measured = [row for row in rows if "skipped" not in row]
    reference = {(row["shape"], row["kernel"]): row["median_s"] for row in measured if row["version"] == _REFERENCE}
    for row in measured:
        seconds = reference.get((row["shape"], row["kernel"]))
        row["times_xla"] = None if seconds is None else seconds / row["median_s"]
