"""What a program needs around a rollout: options that open a model, the session they make, plans, reports.

Knows no model and no command line. Modules are loaded when they are asked for, so that help stays quick.
"""

import importlib

_HOMES = {
    "Cost": "plan",
    "Loaded": "session",
    "MemoryOptions": "memory_options",
    "Options": "options",
    "Plan": "plan",
    "ReleasedCommand": "options",
    "Session": "session",
    "choose_memory": "memory_options",
    "make_plan": "plan",
    "model_names": "registry",
    "open_model": "registry",
    "option": "options",
    "options": "options",
}

__all__ = [
    "Cost",
    "Loaded",
    "MemoryOptions",
    "Options",
    "Plan",
    "ReleasedCommand",
    "Session",
    "choose_memory",
    "make_plan",
    "model_names",
    "open_model",
    "option",
    "options",
]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
