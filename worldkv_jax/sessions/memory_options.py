"""Changes to the memory that a model has of its own: what was asked for, and nothing else."""

import dataclasses
import typing
from typing import Any

from worldkv_jax.sessions.options import option, options_class

if typing.TYPE_CHECKING:
    from worldkv_jax.memory import MemoryConfig

_PLACES = {
    "retrieve": ("retrieval", "chunks"),
    "rule": ("retrieval", "rule"),
    "positions": ("retrieval", "positions"),
    "keep_ratio": ("compression", "keep_ratio"),
    "similarity": ("compression", "similarity"),
    "compress_at": ("compression", "at"),
    "pooled": ("compression", "pooled"),
    "tier": ("bank", "tier"),
    "storage": ("bank", "storage"),
    "capacity": ("bank", "capacity"),
    "when_full": ("bank", "when_full"),
}
"""Where in a `MemoryConfig` each option that needs a bank belongs."""


@options_class
class MemoryOptions:
    """Which memory is asked for; what is ``None`` stays as the model has it."""

    memory: typing.Literal["full", "sliding", "sink-recent", "worldkv"] | None = option(
        None, "which past a chunk attends to"
    )
    profile: str | None = option(
        None, "default, paper or official (the released code, quirk for quirk)", metavar="NAME"
    )
    sink: int | None = option(None, "first latent frames, kept for ever", metavar="N")
    sink_position: str | None = option(None, "where it seems to stand: anchored, moving or auto", metavar="NAME")
    recent: int | None = option(None, "latent frames kept before the current chunk", metavar="N")
    retrieve: int | None = option(None, "stored chunks brought back", metavar="K")
    rule: str | None = option(
        None,
        "how near a stored chunk is: camera, paper, released, overlap, coverage, attention, recent, random",
        metavar="NAME",
    )
    positions: str | None = option(None, "time positions of retrieved keys: as_stored, rebased or auto", metavar="NAME")
    keep_ratio: float | None = option(None, "share of non-anchor tokens that is stored", metavar="R")
    similarity: str | None = option(None, "to the anchor: per_key or centroid", metavar="NAME")
    compress_at: str | None = option(None, "store or retrieval", metavar="NAME")
    pooled: bool | None = option(None, "choose tokens over all non-anchor frames together")
    tier: typing.Literal["device", "device_slots", "pinned_host", "host"] | None = option(
        None,
        "memory that holds the stored chunks; device_slots keeps them apart, so that forks share them",
    )
    storage: str | None = option(None, "what they are stored in: model (its dtype), bits, int8, float8", metavar="NAME")
    capacity: int | None = option(None, "chunks the bank holds", metavar="N")
    when_full: str | None = option(None, "error, drop_oldest or drop_most_redundant", metavar="NAME")

    def given(self) -> dict[str, typing.Any]:
        """Return what was asked for by name."""
        asked = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in asked.items() if value is not None}

    def bank_alone(self) -> bool:
        """Tell whether nothing but the bank is changed."""
        return all(_PLACES.get(name, ("window",))[0] == "bank" for name in self.given())

    def resolve(self, *own: "MemoryConfig") -> "MemoryConfig":
        """Make the memory that was asked for.

        Args:
            own: memories that the model has of its own, the usual one first. What is asked for changes the first of
                the mode that is wanted; or `DEFAULT`, or another profile if one is named.

        Raises:
            ValueError: values that are not valid, or options that the chosen mode does not have.
        """
        from worldkv_jax.memory import DEFAULT, MemoryConfig, profile

        asked = self.given()
        mode: Any = asked.pop("memory", None)
        banked = [name for name in asked if name in _PLACES or name == "profile"]
        if mode is None:
            mode = "worldkv" if banked else own[0].mode
        mode = mode.replace("-", "_")
        if mode != "worldkv" and banked:
            named = ", ".join(f"`{name}`" for name in banked)
            raise ValueError(f"`memory` {self.memory} has no bank, so {named} means nothing; use `memory` worldkv")
        if "profile" in asked:
            base = profile(asked.pop("profile"))
        else:
            others = (DEFAULT if mode == "worldkv" else MemoryConfig(mode=mode),)
            base = next(memory for memory in (*own, *others) if memory.mode == mode)
        return self._change(base, asked)

    def change(self, memory: "MemoryConfig") -> "MemoryConfig":
        """Change a memory in what was asked for.

        Raises:
            ValueError: values that are not valid.
        """
        return self._change(memory, self.given())

    def _change(self, memory: "MemoryConfig", asked: dict[str, Any]) -> "MemoryConfig":
        frames = {f"{name}_frames": asked[name] for name in ("sink", "recent") if name in asked}
        if "sink_position" in asked:
            frames["sink"] = asked["sink_position"]
        memory = dataclasses.replace(memory, **frames)
        for name, (part, field) in _PLACES.items():
            if name in asked:
                changed = dataclasses.replace(getattr(memory, part), **{field: asked[name]})
                memory = dataclasses.replace(memory, **{part: changed})
        return memory


def choose_memory(asked: "MemoryConfig | MemoryOptions | None", *own: "MemoryConfig") -> "MemoryConfig":
    """Return the memory of a rollout: the one that was asked for, or the first of the model's own.

    Args:
        asked: a memory, changes to the model's own, or ``None``.
        own: memories that the model has of its own, the usual one first.

    Raises:
        ValueError: as `MemoryOptions.resolve`.
    """
    if asked is None:
        return own[0]
    return asked.resolve(*own) if isinstance(asked, MemoryOptions) else asked
