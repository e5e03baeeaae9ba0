"""What users can cause, told from defects of the program, and said in one line; signals as exceptions."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Generator

from worldkv_jax.entry_points import hidden_by
from worldkv_jax.extras import advice

_USERS = (ValueError, OSError, ModuleNotFoundError, MemoryError, OverflowError, RecursionError)
_BY_JAX = {
    "RESOURCE_EXHAUSTED": "out of memory: {line}; `worldkv plan` says what a rollout needs and what would make it fit",
    "Unable to initialize backend": "{line}; unset JAX_PLATFORMS, or install JAX for that device",
    "failed to initialize": "{line}; unset JAX_PLATFORMS, or install JAX for that device",
    "Unknown backend": "{line}; unset JAX_PLATFORMS, or install JAX for that device",
    "Could not determine home directory": "this user has no home folder; set HOME, or name folders with their options",
}
"""What JAX and Python raise as a RuntimeError for what users can cause: a part of the text, and what to say."""


class Terminated(BaseException):
    """The process was asked to end; like KeyboardInterrupt no Exception, so that only clean-ups see it."""


@contextlib.contextmanager
def signals_as_exceptions() -> Generator[None]:
    """Raise `Terminated` where SIGTERM or SIGHUP arrive, so that what was made so far is kept."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what signals do
        return

    def stop(number, frame):
        raise Terminated(signal.Signals(number).name)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # A signal that the parent had ignored, as nohup does, stays ignored.
    numbers = [number for name in names if signal.getsignal(number := getattr(signal, name)) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def out_of_memory(error: BaseException) -> bool:
    """Tell whether there was too little memory, on the host or on a device."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" in str(error))


def user_message(error: Exception) -> str | None:
    """Say what a user did, or may do; ``None`` for a defect of the program."""
    if isinstance(error, RuntimeError) and not isinstance(error, RecursionError):
        line = next(iter(str(error).splitlines()), "")
        return next((text.format(line=line) for part, text in _BY_JAX.items() if part in str(error)), None)
    if _found_no_device(error):
        asked = os.environ.get("JAX_PLATFORMS", "")
        return f"JAX found no device (JAX_PLATFORMS={asked}); unset JAX_PLATFORMS, or install JAX for that device"
    if not isinstance(error, _USERS):
        return None
    if isinstance(error, ModuleNotFoundError) and error.name and (hidden := hidden_by(error.name)):
        return f"{error}: {hidden}; start elsewhere, or rename it"
    if isinstance(error, ModuleNotFoundError) and "pip install" not in str(error) and (how := advice(error)):
        return f"{error}: {how}"
    if isinstance(error, OSError) and error.strerror:
        places = [str(place) for place in (error.filename, error.filename2) if place is not None]
        return ": ".join([" -> ".join(places), error.strerror.lower()]) if places else error.strerror.lower()
    return str(error) or type(error).__name__


def _found_no_device(error: Exception) -> bool:
    """Tell JAX's assertion that there is a device, which has no text, by asking once more."""
    if not isinstance(error, AssertionError) or str(error) or "jax" not in sys.modules:
        return False
    try:
        sys.modules["jax"].devices()
    except AssertionError:
        return True
    return False
