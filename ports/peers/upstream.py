"""Running the code of a clone on a CPU, unchanged: its imports, its attention, its loop a chunk at a time."""

import contextlib
import functools
import importlib
import importlib.util
import queue
import sys
import threading
import types
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import torch

from worldkv_jax.benchmarks.pairs import NotComparable, Work

T = TypeVar("T")


def import_clone(
    folder: Path, packages: Sequence[str], modules: Sequence[str], *, unused: Sequence[str] = ()
) -> list[types.ModuleType]:
    """Import modules of a clone of a Wan model without what its packages import besides.

    They attend by their own way without flash attention, and do not round to bfloat16 for it.

    Args:
        folder: the clone.
        packages: of the modules and what they import; their ``__init__`` is not run.
        modules: the ones to import.
        unused: modules that are imported and that nothing here calls, stood in for meanwhile: the clone's own, and
            those of libraries that are missing.

    Raises:
        NotComparable: a library is missing that is called.
    """
    warnings.filterwarnings("ignore", message="CUDA is not available")  # they ask for autocast of CUDA in any case
    if importlib.util.find_spec("diffusers"):  # before libraries are stood in for: it looks for what is there
        for part in ("loaders", "models.modeling_utils", "schedulers.scheduling_utils"):
            importlib.import_module(f"diffusers.{part}")
    tops = {package.partition(".")[0] for package in packages}
    for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
        del sys.modules[name]  # of another clone
    for package in packages:
        sys.modules[package] = types.ModuleType(package)
        sys.modules[package].__path__ = [str(folder.joinpath(*package.split(".")))]
    stand_ins = {name: mock.MagicMock() for name in unused if _is_missing(name.partition(".")[0], tops)}
    sys.modules.update(stand_ins)
    try:
        with on_cpu():
            imported = [importlib.import_module(module) for module in modules]
    except ImportError as error:
        raise NotComparable(f"{folder} cannot be imported: {error}") from error
    finally:
        for name in stand_ins:
            del sys.modules[name]
    _attend_in_float32([module for name, module in sys.modules.items() if name.partition(".")[0] in tops])
    return imported


def on_cpu() -> contextlib.AbstractContextManager:
    """Answer code that asks for the current CUDA device while it makes its model: it is the CPU."""
    return mock.patch.object(torch.cuda, "current_device", lambda: torch.device("cpu"))


def _is_missing(library: str, tops: Container[str]) -> bool:
    return library in tops or importlib.util.find_spec(library) is None


def _attend_in_float32(modules: Sequence[types.ModuleType]) -> None:
    """Let them attend without flash attention, which rounds to bfloat16."""
    released = sys.modules["wan.modules.attention"]
    released.FLASH_ATTN_2_AVAILABLE = released.FLASH_ATTN_3_AVAILABLE = False
    attend = functools.partial(released.attention, dtype=torch.float32)
    rounding = {id(released.attention), id(released.flash_attention)}
    for module in modules:
        for name in [name for name, value in vars(module).items() if id(value) in rounding]:
            setattr(module, name, attend)


def after(first: int, advance: Work) -> Work:
    """Make so many chunks, and return what makes the next."""
    for _ in range(first):
        advance()
    return advance


class Turns:
    """A program that loops over chunks by itself, made to wait before each until it is asked for one."""

    def __init__(self, run: Callable[[], Any]):
        self._asked: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(run,), daemon=True)

    def loop(self, chunks: Iterable[int]) -> Iterator[int]:
        """Stand in for ``tqdm`` in the program."""
        for chunk in chunks:
            self._asked.get()
            yield chunk
            self._done.put(None)

    def take(self) -> None:
        """Let the program make its next chunk, and wait for it.

        Raises:
            Exception: what the program raised.
        """
        if not self._thread.is_alive():
            self._thread.start()
        self._asked.put(None)
        if (error := self._done.get()) is not None:
            raise error

    def take_last(self, made: list[T]) -> T:
        """Let the program make its next chunk, and return the last of what it adds to ``made``; earlier ones go."""
        made.clear()
        self.take()
        return made[-1]

    def _run(self, run: Callable[[], Any]) -> None:
        try:
            run()
        except Exception as error:
            self._done.put(error)
