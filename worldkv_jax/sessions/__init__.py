"""What a program needs around a rollout: options that open a model, the session they make, plans, reports.

Knows no model and no command line. Modules are loaded when they are asked for, so that help stays quick.
"""

from typing import TYPE_CHECKING

from worldkv_jax.lazy import lazy

if TYPE_CHECKING:
    from worldkv_jax.sessions.answers import Answers
    from worldkv_jax.sessions.loaded import Loaded, Placement
    from worldkv_jax.sessions.memory_options import MemoryOptions, choose_memory
    from worldkv_jax.sessions.model_options import ModelOptions
    from worldkv_jax.sessions.options import ReleasedCommand, option, options_class
    from worldkv_jax.sessions.plan import Cost, Plan, make_plan
    from worldkv_jax.sessions.registry import model_names, open_model
    from worldkv_jax.sessions.session import Session
    from worldkv_jax.sessions.timeline import TimeLine
    from worldkv_jax.sessions.world_folder import WorldFolder

_HOMES = {
    "Answers": "answers",
    "Cost": "plan",
    "Loaded": "loaded",
    "MemoryOptions": "memory_options",
    "ModelOptions": "model_options",
    "Placement": "loaded",
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
    "Answers",
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
