"""Formats of the files that sessions keep: which one a file has, and whether this program reads its version."""

import os
from typing import Any

ROLLOUT_FORMAT = "worldkv-jax session"
PLAYED_FORMAT = "worldkv-jax played session"
"""Session files of the shell and of the page: who is given the other's says so."""


def check_format(path: str | os.PathLike[str], found: Any, version: Any, *, expected: str, newest: int) -> None:
    """Check that a file is of a format, in a version that this program reads.

    Raises:
        ValueError: it is something else, or of a newer version; the text names the file.
    """
    if found != expected or not isinstance(version, int):
        raise ValueError(f"{path} is a {found!r} of version {version!r}, expected a {expected!r}")
    if version > newest:
        raise ValueError(f"{path} has format {version}, and this program reads up to {newest}: update worldkv-jax")
