"""Pacing: each chunk is begun as late as it can be and still be there when the one before it has been shown."""

import time

_MARGIN = 0.012


class Pace:
    """Knows how long a client has something to show, and how long a chunk takes to arrive."""

    def __init__(self, fps: float, *, paced: bool = True):
        self.fps, self.paced = fps, paced
        self._shown_until = 0.0
        self._takes = 0.05

    def wait(self) -> float:
        """Return the seconds until the next chunk should be begun; 0 for now."""
        if not self.paced:
            return 0.0
        return max(0.0, self._shown_until - time.monotonic() - self._takes - _MARGIN)

    def sent(self, frames: int, begun: float) -> None:
        """Take note of a chunk that was begun at a time of `time.monotonic`, and has been sent now."""
        now = time.monotonic()
        took = now - begun
        # Quick to believe that chunks take longer, slow to believe the opposite: a late picture is seen.
        self._takes += (took - self._takes) * (0.5 if took > self._takes else 0.1)
        self._shown_until = max(self._shown_until, now) + frames / self.fps
