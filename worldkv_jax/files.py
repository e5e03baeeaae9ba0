"""Write a file whole or not at all, with an error that says why it cannot be written."""

import itertools
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Generator[Path]:
    """Offer a draft beside ``path`` that takes its name when the block ends well.

    If the block raises, the draft is removed and an older file at ``path`` stays as it was.

    Args:
        path: the file to write; missing parent folders are made.

    Yields:
        An empty file in the same folder with the same suffix; write to it and close it.

    Raises:
        OSError: the folder cannot be made or written to, or ``path`` is a folder or a device; the text says which.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder; give a file name in it")
    if path.exists() and not path.is_file():  # taking its name would remove /dev/null from the system
        raise OSError(f"cannot write {path}: it is a device or a pipe; give the name of a file")
    make_folder(path.parent)
    # Beside the target, so that the rename stays on one file system; not tempfile, which makes files private. Not
    # hidden: of a process that is killed it remains, and whoever looks should see what it is.
    draft = path.with_name(f"{path.stem}.draft-{secrets.token_hex(4)}{path.suffix}")
    try:
        draft.touch(exist_ok=False)
    except OSError as error:
        raise type(error)(f"cannot write {path}: {_reason(error)}; choose another folder") from None
    try:
        yield draft
        with open(draft, "rb") as file:
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """Make a folder and its parents if they are missing.

    Raises:
        OSError: a file is in the way, or a parent cannot be written to; the text says which.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        in_the_way = next(part for part in (folder, *folder.parents) if os.path.lexists(part) and not part.is_dir())
        what = "a file" if in_the_way.exists() else f"a link to {os.readlink(in_the_way)}, which is not there"
        raise NotADirectoryError(
            f"cannot make folder {folder}: {in_the_way} is {what}; remove it or choose another folder"
        ) from None
    except OSError as error:
        raise type(error)(f"cannot make folder {folder}: {_reason(error)}; choose another folder") from None
    return folder


def make_writable_folder(folder: str | os.PathLike[str]) -> Path:
    """Make a folder if it is missing, and check that files can be made in it, by making one and removing it.

    Raises:
        OSError: it cannot be made or written to; the text says which.
    """
    folder = make_folder(folder)
    trial = folder / f"writable-{secrets.token_hex(4)}"
    with replacing(trial):
        pass
    trial.unlink()
    return folder


def check_named(path: str | os.PathLike[str], what: str) -> None:
    """Raise ValueError for an empty path: pathlib takes what a shell makes of ``"$UNSET"`` for the current folder."""
    if not os.fspath(path):
        raise ValueError(f"the path of {what} is empty; give a name")


def free_name(path: str | os.PathLike[str]) -> Path:
    """Return a path where nothing is: the one that is given, or with the first free number, ``NAME_2.mp4``."""
    path = Path(path)
    names = itertools.chain([path], (path.with_stem(f"{path.stem}_{number}") for number in itertools.count(2)))
    return next(name for name in names if not os.path.lexists(name))


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
