"""What opens a model: its options, which check themselves into a session."""

import typing
from typing import Any, ClassVar

from worldkv_jax.entry_points import load_entry
from worldkv_jax.sessions.memory_options import MemoryOptions
from worldkv_jax.sessions.options import ReleasedCommand

if typing.TYPE_CHECKING:
    from worldkv_jax.memory import MemoryConfig
    from worldkv_jax.sessions.session import Session


class ModelOptions:
    """Base of the options of a model: a dataclass made by `options_class`, whose fields are made by `option`."""

    OPENED_BY: ClassVar[str]
    """``module:function`` that checks the options; imported when it is needed, because help needs no JAX. It takes what
    `check` takes, after the options themselves, and returns a `Session`."""
    RELEASED: ClassVar[ReleasedCommand | None] = None
    """The released program's command line, where that is taken over."""

    def check(
        self, memory: "MemoryConfig | MemoryOptions | None" = None, *, weights: bool = True, decode: bool = True
    ) -> "Session":
        """Check everything that was asked for; reads heads of files and allocates nothing on a device.

        Args:
            memory: which past a chunk attends to; changes to the model's own memory; or ``None`` for just that, as no
                changes are.
            weights: whether the rollout is to be run. Without, files that only a run needs may be missing.
            decode: whether frames are wanted, and not only latents.

        Raises:
            OSError: a file is missing.
            ValueError: something is not as it has to be; the text says what to give, and names options as `name`
                in backticks.
        """
        from worldkv_jax.memory import MemoryConfig

        given: Any = memory  # anybody's
        if given is not None and not isinstance(given, MemoryConfig | MemoryOptions):
            raise ValueError(
                f"the memory is {given!r}, expected MemoryOptions(...), such as MemoryOptions(profile='paper'), or a "
                "MemoryConfig"
            )
        if memory == MemoryOptions():
            memory = None  # so that ports need not tell the two apart
        open_session: Any = load_entry("model", type(self).__name__, self.OPENED_BY)
        return open_session(self, memory, weights=weights, decode=decode)

    def played(self, chunks: int) -> "ModelOptions":
        """Return the options of a world that somebody steers key by key, with room for so many chunks.

        A model whose inputs are otherwise known ahead says here what takes their place.
        """
        return self

    if not typing.TYPE_CHECKING:  # type checkers name what is missing themselves

        def __getattr__(self, name: str) -> Any:
            """Say what is between options and a session, where something of a session is asked for."""
            if not name.startswith("_"):
                from worldkv_jax.sessions.session import Session

                if hasattr(Session, name):
                    raise AttributeError(
                        f"these are a model's options, which have no {name}: check() makes a session of them, whose "
                        "load() is the model with its weights, as in open_model(...).check().load()",
                        name=name,
                        obj=self,
                    )
            return object.__getattribute__(self, name)  # raises what it always does
