"""Read safetensors files lazily: the library checks the header, the data is mapped."""

import functools
import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from checkpoints.tensors import DTYPES, LazyTensor, TensorFile, map_file

_NAMES = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"},
    **{"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "BOOL": "bool", "C64": "complex64"},
    **{f"{kind[0].upper()}{bits}": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}


def read_safetensors(path: Path) -> TensorFile:
    """Open a safetensors file.

    Raises:
        ValueError: it is truncated or damaged, or holds a dtype that NumPy has no name for.
    """
    # Tensors outside the file, overlaps, gaps and absurd headers are all found here. Only its NumPy arrays would
    # not do: they know neither every dtype nor views.
    open(path, "rb").close()  # a folder, or a file that may not be read, is no damaged file
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:  # the latter of devices, which cannot be mapped
        raise ValueError(f"{path} is not a whole safetensors file: {error}; get it again") from None
    data = map_file(path)
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    header = json.loads(data[8:start].tobytes(), object_pairs_hook=functools.partial(_unique, path))
    metadata = header.pop("__metadata__", None) or {}
    unknown = sorted({entry["dtype"] for entry in header.values()} - _NAMES.keys())
    if unknown:
        raise ValueError(f"{path} has tensors of {', '.join(unknown)}; expected only {', '.join(_NAMES)}")
    tensors = {}
    for name, entry in header.items():
        dtype, shape = DTYPES[_NAMES[entry["dtype"]]], tuple(entry["shape"])
        begin, end = (start + offset for offset in entry["data_offsets"])
        view = functools.partial(_view, data[begin:end], dtype, shape)
        tensors[name] = LazyTensor(name=name, shape=shape, dtype=dtype, file=path, open=view)
    return TensorFile(path=path, tensors=tensors, metadata=metadata)


def safetensors_name(dtype: np.dtype) -> str:
    """Return what a safetensors header calls a dtype."""
    return next(name for name, numpy_name in _NAMES.items() if numpy_name == np.dtype(dtype).name)


def _view(data: np.ndarray, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    return data.view(dtype).reshape(shape)


def _unique(path: Path, pairs: list) -> dict:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"{path} names {', '.join(twice)} twice in its header; get the file again")
    return dict(pairs)
