"""What a program needs around a rollout: options that open a model, the session they make, plans, reports.

Knows no model and no command line. Modules are loaded when they are asked for, so that help stays quick.
"""

from worldkv_jax.lazy import lazy

_HOMES = {
    "Cost": "plan",
    "Loaded": "session",
    "MemoryOptions": "memory_options",
    "ModelOptions": "model_options",
    "Placement": "session",
    "Plan": "plan",
    "ReleasedCommand": "options",
    "Session": "session",
    "TimeLine": "timeline",
    "WorldFolder": "world_folder",
    "choose_memory": "memory_options",
    "make_plan": "plan",
    "model_names": "registry",
    "open_model": "registry",
    "option": "options",
    "options_class": "options",
}

__all__ = [
    "Cost",
    "Loaded",
    "MemoryOptions",
    "ModelOptions",
    "Placement",
    "Plan",
    "ReleasedCommand",
    "Session",
    "TimeLine",
    "WorldFolder",
    "choose_memory",
    "make_plan",
    "model_names",
    "open_model",
    "option",
    "options_class",
]

__getattr__ = lazy(__name__, _HOMES)
