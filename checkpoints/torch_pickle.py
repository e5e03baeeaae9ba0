"""Read the pickle inside a PyTorch checkpoint without unpickling: an interpreter of the few steps it takes.

A pickle is a program. ``torch.save`` writes only some thirty of its instructions, and state dicts call only a
handful of functions. Here just those exist, so there is nothing that a hostile file could run: all names and
instructions are checked before the first step is taken.
"""

import dataclasses
import pickletools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from checkpoints.tensors import DTYPES


@dataclasses.dataclass(frozen=True)
class Storage:
    """A run of numbers that tensors share."""

    key: str
    """Its file name in the archive."""
    dtype: np.dtype | None
    """``None`` where the tensors say it themselves; the length is then in bytes."""
    length: int


@dataclasses.dataclass(frozen=True)
class TensorView:
    """A tensor as a view of a storage; offset and strides count elements."""

    storage: Storage
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_pickle(data: bytes) -> Any:
    """Return what the pickle of a state dict describes: dictionaries, lists, tuples, plain values, `TensorView`.

    Raises:
        ValueError: it calls anything that is not on the list of what state dicts need, which the text names, or it
            is damaged.
    """
    names, instructions = set(), set()
    for instruction, argument in _parse(data):
        instructions.add(instruction)
        if instruction == "GLOBAL":
            names.add(argument.replace(" ", "."))
    _refuse("calls", names - _KNOWN.keys())
    _refuse("uses the instruction", instructions - _STEPS.keys())
    machine = _Machine()
    try:
        for instruction, argument in _parse(data):
            _STEPS[instruction](machine, argument)
        (result,) = machine.stack
    except _RefusedError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"its pickle is damaged ({error})") from None
    return result


def _parse(data: bytes) -> Iterator[tuple[str, Any]]:
    instructions = pickletools.genops(data)
    while True:
        try:
            instruction, argument, _ = next(instructions)
        except StopIteration:
            return
        except Exception as error:  # of a parser that is fed arbitrary bytes: whatever its helpers raise
            raise ValueError(f"its pickle is damaged ({error})") from None
        yield instruction.name, argument


class _RefusedError(ValueError):
    """The pickle asks for what is not on the list."""


def _refuse(what: str, names: Iterable[str]) -> None:
    if names:
        raise _RefusedError(
            f"its pickle {what} {', '.join(sorted(names))}, which no state dict needs; it was refused and nothing "
            "was run. If you trust the file, load it with PyTorch and save its state dict alone"
        )


# --- what a state dict may name ---


def _tensor(storage, offset, shape, strides, requires_grad=False, hooks=None, *rest) -> TensorView:
    # A seventh argument is a dtype where the storage has none, else what PyTorch notes about backends.
    dtype = storage.dtype if storage.dtype is not None else rest[0]
    if not isinstance(storage, Storage) or not isinstance(dtype, np.dtype) or len(shape) != len(strides):
        raise ValueError("a tensor without storage, dtype or strides")
    if not all(_is_size(number) for number in (offset, *shape, *strides)):
        raise ValueError("a tensor whose shape, strides or offset are not whole numbers")
    return TensorView(storage, dtype, offset, tuple(shape), tuple(strides))


def _parameter(tensor, *_) -> TensorView:
    return tensor


def _dictionary(pairs=()) -> dict:
    result: dict = {}
    _update(result, [item for pair in pairs for item in pair])
    return result


_STORAGES = {
    **{"Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "ComplexFloat": "complex64"},
    **{"Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool"},
}
_CALLS: Mapping[str, Callable] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": tuple,
    "collections.OrderedDict": _dictionary,
}
_KNOWN: Mapping[str, Any] = {
    **_CALLS,
    **{f"torch.{name}Storage": DTYPES[dtype] for name, dtype in _STORAGES.items()},
    **{f"torch.{name}": dtype for name, dtype in DTYPES.items()},
    "torch.storage.UntypedStorage": None,
}
"""Every name that a pickle may mention, and what it stands for here."""


# --- the instructions ---


class _Machine:
    """The stack and the memory of the interpreter."""

    def __init__(self):
        self.stack: list = []
        self.marks: list[int] = []
        self.memory: dict[int, Any] = {}

    def push(self, value) -> None:
        self.stack.append(value)

    def pop(self, count: int) -> list:
        if count > len(self.stack):
            raise ValueError("it takes more than it has")
        start = len(self.stack) - count
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop_marked(self) -> list:
        return self.pop(len(self.stack) - self.marks.pop())

    def mark(self, _) -> None:
        self.marks.append(len(self.stack))

    def remember(self, place: int | None) -> None:
        self.memory[len(self.memory) if place is None else place] = self.stack[-1]

    def recall(self, place: int) -> None:
        self.push(self.memory[place])

    def name(self, name: str) -> None:
        self.push(_KNOWN[name.replace(" ", ".")])

    def name_on_stack(self, _) -> None:
        name = ".".join(self.pop(2))
        _refuse("calls", {name} - _KNOWN.keys())
        self.push(_KNOWN[name])

    def call(self, _) -> None:
        function, arguments = self.pop(2)
        if not any(function is known for known in _CALLS.values()):
            raise ValueError("it calls what is no function")
        self.push(function(*arguments))

    def storage(self, _) -> None:
        ((kind, dtype, key, _, length),) = self.pop(1)
        if kind != "storage" or not isinstance(key, str) or not _is_size(length):
            raise ValueError("a storage without name or length")
        self.push(Storage(key, dtype if isinstance(dtype, np.dtype) else None, length))

    def set_items(self, items: list) -> None:
        if type(self.stack[-1]) is not dict:
            raise ValueError("items for what is no dictionary")
        _update(self.stack[-1], items)

    def append(self, items: list) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("items for what is no list")
        self.stack[-1].extend(items)

    def skip_state(self, _) -> None:
        self.pop(1)  # PyTorch notes versions of modules beside the dictionary; nothing else may have a state
        if type(self.stack[-1]) is not dict:
            raise ValueError("a state for what is no dictionary")


_STEPS: Mapping[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda machine, _: None),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), _Machine.push),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE"), _Machine.push),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_marked())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop(3))),
    "MARK": _Machine.mark,
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.recall),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_on_stack,
    "REDUCE": _Machine.call,
    "BINPERSID": _Machine.storage,
    "SETITEM": lambda machine, _: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_marked()),
    "APPEND": lambda machine, _: machine.append(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.append(machine.pop_marked()),
    "BUILD": _Machine.skip_state,
}
"""Every instruction that ``torch.save`` writes, in protocols 2 to 5."""


def _is_size(value: Any) -> bool:
    return type(value) is int and value >= 0


def _update(dictionary: dict, items: list) -> None:
    keys, values = items[::2], items[1::2]
    # Hashing a tuple of tuples of tuples ... runs out of stack, which no handler can catch.
    if not all(type(key) in (str, int) for key in keys):
        raise ValueError("a dictionary with keys that are neither text nor numbers")
    dictionary.update(zip(keys, values, strict=True))
