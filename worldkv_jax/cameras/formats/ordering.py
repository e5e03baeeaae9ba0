"""Order frames by the numbers in their pictures' names."""

from collections.abc import Sequence
from pathlib import Path

from worldkv_jax.readers import in_order


def by_name(names: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """Return the order of frames by the numbers in their names, and what is to be said of it.

    Programs list pictures as they found or matched them; a path goes from picture to picture.

    Raises:
        ValueError: two frames with one number.
    """
    if len(set(names)) < len(names) or not all(names):
        return list(range(len(names))), ()
    notes: list[str] = []
    places = {Path(name): place for place, name in enumerate(names)}
    order = [places[path] for path in in_order(map(Path, names), tell=notes.append)]
    if order != sorted(order):
        notes.append("frames were brought into the order of the numbers in their names")
    return order, tuple(notes)
