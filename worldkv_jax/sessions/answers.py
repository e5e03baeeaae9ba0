"""Answers of a live source: who walks or types chunk by chunk is asked, and what was said is noted to be said again."""

import time
from collections.abc import Callable, Sequence
from typing import Any


class Answers:
    """Asks a live source, and notes what it answers and when; give it to `Session.inputs` in the source's place."""

    def __init__(self, source: Callable[[int], Any], known: Sequence[dict[str, Any]] = ()):
        """Begin to ask.

        Args:
            source: who is asked.
            known: what was noted of the first chunks before, which are then answered so again.
        """
        self._source, self._since = source, time.monotonic()
        self.given: list[dict[str, Any]] = [*known]
        """For each chunk ``given``, what was answered, and ``seconds`` since the source was first there."""

    def __call__(self, chunk: int) -> Any:
        """Ask for a chunk."""
        if chunk < len(self.given):
            return self.given[chunk]["given"]
        answer = self._source(chunk)
        if answer is not None:
            self.given.append({"given": answer, "seconds": round(time.monotonic() - self._since, 3)})
        return answer
