"""A folder that appears only when it is complete, and whose making can be interrupted and continued."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PLAN, _JOURNAL, _NEW, _OLD = "plan.json", "journal.jsonl", "new", "old"


class Draft:
    """A hidden folder beside the final one, with a journal of what is done.

    Whoever is killed leaves it behind; whoever comes with the same plan goes on from there. It is held by one
    process at a time.
    """

    def __init__(self, out: Path, plan: Mapping[str, Any]):
        """Open the draft of ``out``; what was made to another plan is thrown away.

        Raises:
            BlockingIOError: another process is making ``out``.
            FileExistsError: a folder of other origin is in the draft's place.
            OSError: the folder cannot be made.
        """
        self.out = out
        self.folder = out.with_name(f".{out.name}.part")
        self.new = self.folder / _NEW
        """Where to put what ``out`` will hold."""
        self.notes: dict[tuple[str, ...], Any] = {}
        """What was noted, in this process and before."""
        self._lock = self._take()
        try:
            self._open(plan)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> "Draft":
        return self

    def __exit__(self, *_) -> None:
        os.close(self._lock)

    def note(self, *key: str, value: Any = True) -> None:
        """Write down that something is done."""
        with open(self.folder / _JOURNAL, "a", encoding="utf-8") as journal:
            journal.write(json.dumps([key, value]) + "\n")
        self.notes[key] = value

    def finish(self) -> None:
        """Put the new folder in its place, and an older one away."""
        for folder, _, files in os.walk(self.new, topdown=False):
            for file in files:
                _sync(os.path.join(folder, file))
            _sync(folder)
        if self.out.exists():
            shutil.rmtree(self.folder / _OLD, ignore_errors=True)
            os.rename(self.out, self.folder / _OLD)
        os.rename(self.new, self.out)
        _sync(self.out.parent)
        shutil.rmtree(self.folder, ignore_errors=True)

    def abandon(self) -> None:
        """Throw it away."""
        self._clear()
        self.folder.rmdir()

    def _take(self) -> int:
        """Make the folder, and lock it; return the lock."""
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            mine = False
            with contextlib.suppress(FileNotFoundError):  # whoever had it was done just now, and took it away
                lock = os.open(self.folder, os.O_RDONLY)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    mine = os.path.samestat(os.fstat(lock), os.stat(self.folder))
                except BlockingIOError:
                    text = f"another process is writing {self.out}; wait for it or choose another folder"
                    raise BlockingIOError(text) from None
                finally:
                    if not mine:
                        os.close(lock)
                if mine:
                    return lock

    def _open(self, plan: Mapping[str, Any]) -> None:
        if (self.folder / _OLD).exists() and not self.out.exists():
            os.rename(self.folder / _OLD, self.out)  # its maker died between two renames
        strange = {path.name for path in self.folder.iterdir()} - {_PLAN, _JOURNAL, _NEW, _OLD}
        if strange:
            raise FileExistsError(f"{self.folder}, where the draft would be, has other files; move it away")
        if not self._belongs_to(plan):
            self._clear()
            self.new.mkdir()
            (self.folder / _PLAN).write_text(json.dumps(plan))
        self._read_journal()

    def _clear(self) -> None:
        (self.folder / _PLAN).unlink(missing_ok=True)  # first: without it, nobody takes what is left for whole
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _belongs_to(self, plan: Mapping[str, Any]) -> bool:
        try:
            return self.new.is_dir() and json.loads((self.folder / _PLAN).read_text()) == json.loads(json.dumps(plan))
        except (FileNotFoundError, ValueError):
            return False  # its maker died in the first moment

    def _read_journal(self) -> None:
        """Read the notes up to where whoever wrote them died, and forget the rest."""
        path, whole = self.folder / _JOURNAL, []
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if path.exists() else []
        for line in lines:
            if not line.endswith("\n"):
                break
            try:
                key, value = json.loads(line)
            except (ValueError, TypeError):
                break
            self.notes[tuple(key)] = value
            whole.append(line)
        path.write_text("".join(whole), encoding="utf-8")


def check_space(out: Path, needed: int) -> None:
    """Check that a number of bytes fits beside ``out``.

    Raises:
        OSError: it does not.
    """
    folder = next(folder for folder in out.absolute().parents if folder.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{out} needs {needed:,} bytes, but only {free:,} are free there; free some or choose another disk"
        )


def _sync(path: str | Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
