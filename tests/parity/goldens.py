"""Find and load golden cases: NAME.json (what the case is) beside NAME.safetensors (its numbers)."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def load_case(json_path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Return a case's description and its tensors by name; float16 is only how they are stored."""
    meta = json.loads(json_path.read_text())
    path = json_path.with_suffix(".safetensors")
    tensors = load_file(path) if path.exists() else {}
    return meta, {name: t.astype(np.float32) if t.dtype == np.float16 else t for name, t in tensors.items()}


def find_cases(folder: Path, select: str | Callable[[dict], bool]) -> list[Path]:
    """List the JSON files under a folder whose name starts with ``select``, or whose content it accepts."""
    paths = sorted(folder.rglob("*.json"))
    if isinstance(select, str):
        return [path for path in paths if path.name.startswith(select)]
    return [path for path in paths if isinstance(meta := json.loads(path.read_text()), dict) and select(meta)]
