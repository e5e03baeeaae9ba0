"""Seeds: whole numbers of 64 bits, each of which is a world of its own."""

import typing
from typing import Any

from worldkv_jax.whole_numbers import whole

if typing.TYPE_CHECKING:
    import jax


def check_seed(seed: Any) -> int:
    """Return a seed of 64 bits.

    Raises:
        ValueError: it is none.
    """
    try:
        number = whole("seed", seed)
    except ValueError:
        number = -1
    if not 0 <= number < 2**64:
        raise ValueError(f"seed={seed!r} is no whole number from 0 to 2**64 - 1")
    return number


def key_of(seed: int) -> "jax.Array":
    """Make a random key of a seed.

    The same as ``jax.random.key`` for seeds of 32 bits; larger ones would lose their upper half there, unless x64 is
    on.

    Raises:
        ValueError: it is no whole number of 64 bits.
    """
    import jax
    import numpy as np

    words = divmod(check_seed(seed), 2**32)
    return jax.random.wrap_key_data(jax.device_put(np.array(words, np.uint32)), impl="threefry2x32")


def seed_of(key: "jax.Array | None") -> int | None:
    """Return the seed of which `key_of` made a key; ``None`` for another kind of key, or for none."""
    import jax
    import numpy as np

    if key is None or str(jax.random.key_impl(key)) not in ("threefry2x32", "fry"):
        return None
    high, low = (int(word) for word in np.asarray(jax.random.key_data(key)))
    return high * 2**32 + low
