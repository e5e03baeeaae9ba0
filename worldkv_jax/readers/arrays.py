"""Arrays of numbers from files: one from a ``.npy`` file, several from a ``.npz`` archive."""

import os
import zipfile

import numpy as np

from worldkv_jax.readers.foreign import check_file, what_it_is
from worldkv_jax.readers.texts import MAX_DATA


def read_array(
    path: str | os.PathLike[str], *, what: str = "numbers", kinds: str = "fiu", most: tuple[int, str] | None = None
) -> np.ndarray:
    """Read a ``.npy`` file; its header is checked before memory is taken.

    Args:
        path: of the file.
        what: it should hold, such as ``"poses"``.
        kinds: of NumPy dtypes that are taken: floating, signed and unsigned by default; add ``b`` for booleans.
        most: numbers at most, and what has so many, with advice: ``"10 frames have; pass max_frames"``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is another kind of file, cut short or damaged, holds no such numbers or too many of them.
    """
    path = check_file(path, f"a .npy array of {what}")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # of a header that is fed arbitrary bytes: whatever its parser raises
        if isinstance(error, MemoryError | PermissionError):
            raise
        found = what_it_is(path)
        reason = f"it is {found}" if found and "NumPy" not in found else _short(error)
        if "Python objects" in reason:  # NumPy says that they cannot be mapped, as if there were another way
            reason = "it holds Python objects, a pickle, which is a program that nobody here runs"
        raise ValueError(
            f"{path} cannot be read as a .npy array of {what}: {reason}; save it anew with numpy.save"
        ) from None
    if not isinstance(array, np.ndarray):
        names = ", ".join(array.files[:8]) or "nothing"
        array.close()
        raise ValueError(f"{path} is a .npz archive of {names}, expected one array of {what}; save it with numpy.save")
    if array.dtype.kind not in kinds:
        raise ValueError(f"{path} holds {array.dtype}, expected real numbers such as float32: {what}")
    if most is not None and array.size > most[0]:
        raise ValueError(f"{path} has shape {array.shape}, which holds more numbers than {most[1]}")
    return np.array(array)


def read_arrays(path: str | os.PathLike[str], *, limit: int = MAX_DATA) -> dict[str, np.ndarray]:
    """Read the arrays of a ``.npz`` archive; what it unpacks to is checked before memory is taken.

    Args:
        path: of the file.
        limit: most bytes of all arrays together; a small archive of zeros may unpack to any size.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is another kind of file, cut short or damaged, holds objects, or unpacks to too much.
    """
    path = check_file(path, "a .npz archive of arrays")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > limit:
            raise ValueError(f"it unpacks to {size:,} bytes, expected at most {limit:,}")
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except PermissionError:
        raise
    except Exception as error:  # of a parser that is fed arbitrary bytes; MemoryError, where a head promises too much
        found = what_it_is(path)
        reason = found if found and "zip" not in found else _short(error)
        raise ValueError(f"{path} cannot be read as arrays: {reason}; save it anew with numpy.savez") from None


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 160 else text[:160] + " ..."
