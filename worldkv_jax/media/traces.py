"""What one memory mode did in a rollout, chunk by chunk: the input of the memory figure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class MemoryTrace:
    """One memory mode over a rollout; index i of everything belongs to chunk i.

    Args:
        name: the mode, as the figure shows it.
        fidelity: PSNR ``[chunks]`` in dB; NaN for a chunk that was given and not generated.
        attended_tokens: stored tokens that the chunk attended to, ``[chunks]``; NaN where unknown.
        stored_bytes: bytes of keys and values in memory after the chunk, ``[chunks]``, all tiers.
        retrieved: for every chunk the ids of the chunks brought back for it, nearest first; leave it out for
            a mode that retrieves nothing.
        window: for every chunk the ids of the chunks it saw in the window (sink and recent).

    Raises:
        ValueError: no chunks, different numbers of chunks, an infinite number, or an id of a chunk that had
            not happened yet.
    """

    name: str
    fidelity: np.ndarray
    attended_tokens: np.ndarray
    stored_bytes: np.ndarray
    retrieved: Sequence[Sequence[int]] = ()
    window: Sequence[Sequence[int]] = ()

    def __post_init__(self):
        chunks = len(self.fidelity)
        if chunks == 0:
            raise ValueError(f"{self.name}: fidelity has no chunks; give one value for each chunk")
        for field in ("fidelity", "attended_tokens", "stored_bytes"):
            values = np.asarray(getattr(self, field), np.float64)
            if values.shape != (chunks,):
                raise ValueError(f"{self.name}: {field} has shape {values.shape}, expected ({chunks},)")
            if np.isinf(values).any():
                raise ValueError(f"{self.name}: {field} holds an infinite number; cap it or give NaN")
            object.__setattr__(self, field, values)
        for field in ("retrieved", "window"):
            lists = tuple(tuple(int(i) for i in ids) for ids in getattr(self, field)) or ((),) * chunks
            if len(lists) != chunks:
                raise ValueError(f"{self.name}: {field} has {len(lists)} lists, expected {chunks}, one for each chunk")
            for chunk, ids in enumerate(lists):
                wrong = [i for i in ids if not 0 <= i < chunk]
                if wrong:
                    raise ValueError(f"{self.name}: {field}[{chunk}] names chunk {wrong[0]}, which is not before it")
            object.__setattr__(self, field, lists)

    def __len__(self) -> int:
        return len(self.fidelity)

    @property
    def retrieves(self) -> bool:
        """Whether any chunk was brought back."""
        return any(self.retrieved)


def phase_runs(phases: Sequence[str]) -> list[tuple[int, int, str]]:
    """Cut phase labels into runs of equal ones: (first chunk, chunk after the last, label)."""
    starts = [i for i, phase in enumerate(phases) if i == 0 or phases[i - 1] != phase]
    return [(start, stop, phases[start]) for start, stop in zip(starts, [*starts[1:], len(phases)])]


def pick_highlights(trace: MemoryTrace, phases: Sequence[str], most: int = 3) -> tuple[int, ...]:
    """Choose chunks whose retrieval is worth showing: one of each of the last phases that were generated."""
    candidates = [
        [i for i in range(start, stop) if trace.retrieved[i] and np.isfinite(trace.fidelity[i])]
        for start, stop, _ in phase_runs(phases)
    ]
    candidates = [chunks for chunks in candidates if chunks][-most:]
    # At another place in each phase, so that laps of one path, in either direction, show different views.
    return tuple(chunks[int((0.2 + 0.25 * i) * len(chunks))] for i, chunks in enumerate(candidates))
