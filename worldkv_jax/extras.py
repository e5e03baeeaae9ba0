"""Optional parts of the package: a library that is missing is said with the extra that installs it."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Import what an extra of the package installs.

    Raises:
        ModuleNotFoundError: it is missing; the text says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("worldkv_jax", "kernels_pallas", "checkpoints", "ports"):
            raise
        raise ModuleNotFoundError(
            f"this needs {error.name}, which is not installed: pip install 'worldkv-jax[{name}]'", name=error.name
        ) from None
