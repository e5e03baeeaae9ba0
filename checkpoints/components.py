"""What a port says about its checkpoints: the networks of a model, and how each is read."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from checkpoints.eight_bits import rows_of_parts
from checkpoints.key_tables import Row, Target, expected_tensors
from checkpoints.parameter_paths import flatten

Shapes = Mapping[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Component:
    """One network whose weights are a set of tensors."""

    name: str
    """Its folder in a converted checkpoint, such as ``"dit"``."""
    files: tuple[str, ...]
    """Where its tensors are in a model folder: relative file or folder names, tried in order; ``*`` is allowed."""
    tables: Mapping[str, tuple[Row, ...]]
    """Key table of each naming that is in use, such as ``{"original": ..., "diffusers": ...}``."""
    configure: Callable[[Shapes, Mapping[str, Any]], Any]
    """Make the configuration from the shapes of the tensors, in the first naming, and from ``config.json``
    (empty where there is none). Raises ``KeyError`` where a tensor that decides a size is missing."""
    abstract: Callable[[Any], Any]
    """Return the parameters of a configuration as nested dictionaries of ``jax.ShapeDtypeStruct``."""
    to_json: Callable[[Any], dict] = dataclasses.asdict
    """Turn the configuration into what a JSON file can hold."""
    from_json: Callable[[dict], Any] | None = None
    """Make the configuration from what `to_json` returned."""
    unused: tuple[str, ...] = ()
    """Regular expressions of PyTorch keys that the network does not need; they are left out without complaint."""
    in_eight_bits: Callable[[Any, str], Any] | None = None
    """Return the configuration of the same network with kernels in ``"int8"`` or ``"fp8"``, in whose parameters each
    such kernel is a pair, see `checkpoints.eight_bits`; ``None`` for a network that cannot be so."""
    optional: bool = False
    """Whether a model folder may lack it."""

    def tensors(self, config: Any, naming: str = "original") -> dict[str, Target]:
        """List the PyTorch tensors that fill a network of this configuration, by key."""
        shapes = {path: leaf.shape for path, leaf in flatten(self.abstract(config)).items()}
        return expected_tensors(rows_of_parts(self.tables[naming]), shapes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFormat:
    """What the released checkpoints of one model contain."""

    name: str
    """As users write it, such as ``"lingbot-world-fast"``."""
    components: tuple[Component, ...]
    known_files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Published files: SHA-256 to what it is."""
