"""World memory for autoregressive video world models, in JAX.

``worldkv_jax.memory`` is the memory, ``cameras`` its index, ``rollout`` the loop around a model that lives on it,
``sessions`` what opens a model by name; ``evaluation`` scores what is remembered, ``media`` shows it, ``cli`` is the
command ``worldkv``. Each is imported when it is first used.
"""

from typing import TYPE_CHECKING

from worldkv_jax.lazy import lazy

if TYPE_CHECKING:
    from worldkv_jax import cameras, cli, evaluation, media, memory, rollout, sessions
    from worldkv_jax.sessions import open_model

__all__ = ["cameras", "cli", "evaluation", "media", "memory", "open_model", "rollout", "sessions"]

_get = lazy(__name__, dict.fromkeys(__all__, "") | {"open_model": "sessions"})


def __getattr__(name: str):
    if name == "__version__":
        from importlib.metadata import version

        return version("worldkv-jax")
    return _get(name)
