"""Write files as ``torch.save`` does, without PyTorch."""

import struct
import zipfile
from pathlib import Path

import numpy as np

STORAGES = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "float64": "DoubleStorage",
    "int64": "LongStorage",
}


def save_torch(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Write a state dict."""
    storages = {str(number): array.tobytes() for number, array in enumerate(tensors.values())}
    items = b"".join(
        text(name) + tensor(str(number), array.dtype.name, array.size, array.shape)
        for number, (name, array) in enumerate(tensors.items())
    )
    write_archive(path, b"\x80\x02}(" + items + b"u.", storages)


def write_archive(path: Path, pickle: bytes, storages: dict[str, bytes], **options) -> None:
    """Write a zip archive of a pickle and storages."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("archive/data.pkl", pickle)
        archive.writestr("archive/byteorder", "little")
        for name, data in storages.items():
            archive.writestr(f"archive/data/{name}", data)
        archive.writestr("archive/version", "3\n")


def text(value: str) -> bytes:
    """Pickle a string."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    """Pickle a whole number below 2**63."""
    return b"\x8a\x08" + struct.pack("<q", value)


def tensor(key, dtype, length, shape, *, offset=0, strides=None) -> bytes:
    """Pickle a tensor of a storage."""
    if strides is None:
        strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    storage = b"(" + text("storage") + f"ctorch\n{STORAGES[dtype]}\n".encode()
    storage += text(key) + text("cpu") + number(length) + b"tQ"
    numbers = [b"(" + b"".join(map(number, values)) + b"t" for values in (shape, strides)]
    arguments = storage + number(offset) + numbers[0] + numbers[1] + b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"
