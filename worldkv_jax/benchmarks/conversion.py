"""The conversion benchmark: memory and time that converting a checkpoint takes, whatever its size."""

import dataclasses
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldkv_jax.entry_points import find_entries, load_entry
from worldkv_jax.sessions.provenance import describe_machine

MODEL = "lingbot-world-fast"
_HEAD_DIM = 128
_BLOCK = 4 << 20  # numbers that are drawn once and repeated: only their number matters


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConversionBenchmark:
    """What to convert: LingBot-World-Fast's 1,421 tensors, float32, at reduced widths."""

    dims: Sequence[int] = (512, 1280)
    """Widths, multiples of 128; 1280 makes a file of 4.7 GB, and 5120 is the real model."""
    layers: int = 40
    dtypes: Sequence[str] = ("f32", "bf16", "int8")
    """What to cast to."""
    memory_limit_gb: float = 2.0
    """Memory a conversion may take, in GiB; mapped files are not counted, since the system may drop them."""

    def __post_init__(self):
        if any(dim < _HEAD_DIM or dim % _HEAD_DIM for dim in self.dims):
            raise ValueError(f"dims={list(self.dims)} are not all multiples of {_HEAD_DIM}, the width of a head")


def run_conversion_benchmark(
    benchmark: ConversionBenchmark,
    folder: Path,
    *,
    progress: Callable[[Iterable[dict], int], Iterable[dict]] | None = None,
) -> dict[str, Any]:
    """Convert synthetic checkpoints, each in a process of its own, and watch its memory.

    Args:
        benchmark: what to convert.
        folder: where sources and results may lie for the time being.
        progress: wraps the rows as they come; it is also given how many there will be.

    Returns:
        The machine, the parameters and the rows; all of it has a JSON form. ``baseline_bytes`` is the highest
        anonymous memory of a dry run, which does all but convert; ``ratio`` is what converting takes above it,
        in units of the largest layer.

    Raises:
        ValueError: a conversion failed; shows what it said.
        OSError: the system does not tell what memory a process takes, or the disk is full.
    """
    if not Path("/proc/self/status").exists():
        raise OSError("this system has no /proc, which tells what memory a process takes; run it on Linux")
    progress = progress or (lambda rows, total: rows)
    total = len(benchmark.dims) * len(benchmark.dtypes)
    rows = list(progress(_measure(benchmark, folder), total))
    return {
        "benchmark": "conversion",
        **describe_machine(),
        "parameters": dataclasses.asdict(benchmark),
        "rows": rows,
    }


def transformer_tensors(dim: int, layers: int) -> dict[str, tuple[int, ...]]:
    """List the transformer's tensors at a width, as the model's checkpoint format has them."""
    released = load_entry("checkpoint format", MODEL, find_entries("worldkv_jax.checkpoints")[MODEL])
    transformer = released.components[0]
    sizes = {"dim": dim, "ffn_dim": dim * 27 // 10, "text_dim": dim * 4 // 5, "heads": dim // _HEAD_DIM}
    config = transformer.from_json(sizes | {"layers": layers})
    return {key: target.shape for key, target in transformer.tensors(config).items()}


def largest_layer(tensors: Mapping[str, tuple[int, ...]]) -> int:
    """Return the bytes of the largest layer in float32: a block, or what is in none."""
    layers: dict[str, int] = {}
    for key, shape in tensors.items():
        words = key.split(".")
        name = ".".join(words[:2]) if words[0] == "blocks" else words[0]
        layers[name] = layers.get(name, 0) + 4 * math.prod(shape)
    return max(layers.values())


def _measure(benchmark: ConversionBenchmark, folder: Path) -> Iterator[dict]:
    source, out = folder / "source", folder / "converted"
    for dim in benchmark.dims:
        tensors = transformer_tensors(dim, benchmark.layers)
        try:
            size = _write(source, tensors, dim)
            command = ["convert", MODEL, str(source), str(out), "--only", "dit"]
            _, baseline = _watch([*command, "--dry-run"], benchmark.memory_limit_gb)
            for dtype in benchmark.dtypes:
                seconds, peak = _watch([*command, "--dtype", dtype], benchmark.memory_limit_gb)
                shutil.rmtree(out)
                layer = largest_layer(tensors)
                yield {
                    "dim": dim,
                    "tensors": len(tensors),
                    "dtype": dtype,
                    "source_bytes": size,
                    "layer_bytes": layer,
                    "baseline_bytes": baseline,
                    "peak_bytes": peak,
                    "ratio": (peak - baseline) / layer,
                    "seconds": seconds,
                }
        finally:
            shutil.rmtree(source, ignore_errors=True)


def _write(folder: Path, tensors: Mapping[str, tuple[int, ...]], dim: int) -> int:
    """Write float32 tensors as a diffusers folder, without holding them; return the bytes."""
    header, end = {}, 0
    for key, shape in tensors.items():
        start, end = end, end + 4 * math.prod(shape)
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": (start, end)}
    text = json.dumps(header).encode()
    numbers = np.random.default_rng(0).standard_normal(_BLOCK // 4, dtype=np.float32).tobytes()
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"dim": dim, "num_heads": dim // _HEAD_DIM}))
    with open(folder / "diffusion_pytorch_model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for start in range(0, end, _BLOCK):
            file.write(numbers[: min(_BLOCK, end - start)])
    return 8 + len(text) + end


_COMMAND = """
import resource, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
from worldkv_jax.cli.main import main
sys.exit(main())
"""


def _watch(words: Sequence[str], limit_gb: float) -> tuple[float, int]:
    """Run ``worldkv`` with limited memory; return its seconds, and its highest anonymous memory in bytes."""
    command = [sys.executable, "-c", _COMMAND, str(int(limit_gb * 2**30)), *words]
    start, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
        status = Path(f"/proc/{child.pid}/status")
        while child.poll() is None:
            peak = max(peak, _anonymous_bytes(status))
            time.sleep(0.001)
        said = "" if child.stderr is None else child.stderr.read().strip()
    if child.returncode:
        raise ValueError(f"worldkv {' '.join(words)} failed with exit code {child.returncode}: {said[-2000:]}")
    return time.perf_counter() - start, peak


def _anonymous_bytes(status: Path) -> int:
    try:
        lines = status.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), 0)
