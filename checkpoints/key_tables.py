"""Key tables: which PyTorch tensor becomes which parameter, as data.

A row pairs a pattern of PyTorch keys with the path of a parameter. Both are plain text with placeholders:

- ``{layer}``, in the pattern alone: the place along the leading axis of a parameter that stacks its layers;
- ``{name}``: a number that both sides share;
- ``{name:q|k|v}``, written so in the pattern and ``{name}`` in the path: one of these words.

A path is made of the keys of the parameters, a nested dictionary, joined by slashes.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping

import jax

STACKED = "layer"
"""Placeholder of the layer axis."""


@dataclasses.dataclass(frozen=True)
class Transform:
    """A change of layout that can be undone; both ways take and return an array."""

    name: str
    apply: Callable
    """From the PyTorch tensor to the parameter of one layer."""
    undo: Callable
    """From the parameter of one layer to the PyTorch tensor."""

    def shape(self, shape: tuple[int, ...], *, undo: bool = False) -> tuple[int, ...]:
        """Return the shape that a tensor of this shape gets."""
        change = self.undo if undo else self.apply
        return jax.eval_shape(change, jax.ShapeDtypeStruct(shape, "float32")).shape


KEEP = Transform("keep", lambda a: a, lambda a: a)
LINEAR = Transform("linear", lambda a: a.T, lambda a: a.T)
"""``[out, in]`` to ``[in, out]``."""


def conv(rank: int) -> Transform:
    """Return the transform of a convolution over ``rank`` axes: ``[out, in, *window]`` to ``[*window, in, out]``."""
    window = range(2, rank + 2)
    return Transform(
        f"conv{rank}d",
        lambda a: a.transpose(*window, 1, 0),
        lambda a: a.transpose(rank + 1, rank, *range(rank)),
    )


def patch(window: tuple[int, ...]) -> Transform:
    """Return the transform of a patch embedding: ``[out, in, *window]`` to ``[window * in, out]``, ``in`` fastest."""
    n = len(window)
    return Transform(
        f"patch{'x'.join(map(str, window))}",
        lambda a: a.transpose(0, *range(2, n + 2), 1).reshape(a.shape[0], -1).T,
        lambda a: a.T.reshape(a.shape[1], *window, -1).transpose(0, n + 1, *range(1, n + 1)),
    )


def patch_linear(window: tuple[int, ...]) -> Transform:
    """Return the same for a patch embedding that is stored as a linear map ``[out, in * window]``, ``in`` slowest."""
    whole = patch(window)
    return Transform(
        f"linear-{whole.name}",
        lambda a: whole.apply(a.reshape(a.shape[0], -1, *window)),
        lambda a: whole.undo(a).reshape(a.shape[1], -1),
    )


def squeeze(*, leading: int = 0, trailing: int = 0) -> Transform:
    """Return the transform that drops axes of length one at the front and at the end."""
    return Transform(
        f"squeeze{leading}+{trailing}",
        lambda a: a.reshape(a.shape[leading : a.ndim - trailing]),
        lambda a: a.reshape((1,) * leading + tuple(a.shape) + (1,) * trailing),
    )


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a key table."""

    key: str
    """Pattern of PyTorch keys."""
    path: str
    """Path of the parameter."""
    transform: Transform = KEEP

    @property
    def stacked(self) -> bool:
        """Whether the parameter stacks what the layers have."""
        return f"{{{STACKED}}}" in self.key

    @functools.cached_property
    def pattern(self) -> re.Pattern:
        """Regular expression of the PyTorch keys."""
        return _compile(self.key, self.key)

    @functools.cached_property
    def path_pattern(self) -> re.Pattern:
        """Regular expression of the paths."""
        return _compile(self.path, self.key)


@dataclasses.dataclass(frozen=True)
class Target:
    """Where a PyTorch tensor goes."""

    path: str
    layer: int | None
    """Place along the leading axis of the parameter; ``None`` for all of it."""
    transform: Transform
    shape: tuple[int, ...]
    """Of the PyTorch tensor."""


def expected_tensors(rows: Iterable[Row], parameters: Mapping[str, tuple[int, ...]]) -> dict[str, Target]:
    """List the PyTorch tensors that fill the parameters, by key.

    Args:
        rows: the key table.
        parameters: shape of each parameter by path, stacked layers included.

    Raises:
        ValueError: a parameter that no row names, or more than one; a defect of the table.
    """
    rows, found = list(rows), {}
    for path, shape in parameters.items():
        matches = [(row, match) for row in rows if (match := row.path_pattern.fullmatch(path))]
        if len(matches) != 1:
            named = ", ".join(row.key for row, _ in matches) or "none"
            raise ValueError(f"{len(matches)} rows of the key table name the parameter {path}, expected one: {named}")
        (row, match), shape = matches[0], tuple(shape)
        one = row.transform.shape(shape[1:] if row.stacked else shape, undo=True)
        for layer in range(shape[0]) if row.stacked else (None,):
            key = fill(row.key, {**match.groupdict(), STACKED: layer})
            found[key] = Target(path, layer, row.transform, one)
    return found


_PLACEHOLDER = re.compile(r"\{(\w+)(?::([^}]*))?\}")


def _compile(text: str, key: str) -> re.Pattern:
    """Make a regular expression of a text whose placeholders are declared in ``key``."""
    words = {name: alternatives for name, alternatives in _PLACEHOLDER.findall(key) if alternatives}
    parts, end = [], 0
    for match in _PLACEHOLDER.finditer(text):
        name = match[1]
        allowed = "|".join(map(re.escape, words[name].split("|"))) if name in words else r"0|[1-9]\d*"
        parts += [re.escape(text[end : match.start()]), f"(?P<{name}>{allowed})"]
        end = match.end()
    return re.compile("".join([*parts, re.escape(text[end:])]))


def fill(text: str, values: Mapping[str, object]) -> str:
    """Put values in the place of the placeholders of a pattern or path."""
    return _PLACEHOLDER.sub(lambda match: str(values[match[1]]), text)
