"""Optional parts of the package: which extra installs a library that is missing."""

import contextlib
from collections.abc import Generator

EXTRAS = {
    "PIL": "media",
    "aiohttp": "play",
    "dm_pix": "eval",
    "filelock": "cli",
    "ftfy": "text",
    "google_crc32c": "checkpoints",
    "gymnasium": "gym",
    "imageio_ffmpeg": "media",
    "matplotlib": "media",
    "optax": "train",
    "orbax": "checkpoints",
    "prometheus_client": "play",
    "safetensors": "checkpoints",
    "tensorstore": "checkpoints",
    "tokenizers": "text",
}
"""The extra that brings each library."""


def advice(error: ImportError) -> str | None:
    """Say how to install what is missing; ``None`` for a library that no extra brings."""
    library = (error.name or "").split(".")[0]
    if not isinstance(error, ModuleNotFoundError) or library not in EXTRAS:
        return None
    return f"pip install 'worldkv-jax[{EXTRAS[library]}]', or [all] for everything"


@contextlib.contextmanager
def optional_imports() -> Generator[None]:
    """Import libraries that may be missing.

    Raises:
        ModuleNotFoundError: one is; the text says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (how := advice(error)) is None or "pip install" in str(error):
            raise
        raise ModuleNotFoundError(f"{error.name} is not installed: {how}", name=error.name) from None
