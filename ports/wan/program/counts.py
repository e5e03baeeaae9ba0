"""Counts and rates that people give: positive, and no more than memory could be asked for by mistake."""

MOST = 1_000_000


def check_count(name: str, given: int | None, *, least: int = 1, most: int = MOST) -> None:
    """Check a number of frames or chunks, where one was given.

    Raises:
        ValueError: it is outside of what can be.
    """
    if given is not None and not least <= given <= most:
        raise ValueError(f"`{name}` {given} must be at least {least} and at most {most:,}")


def check_fps(given: float | None) -> None:
    """Check frames a second, where they were given.

    Raises:
        ValueError: they are no rate that a video can have.
    """
    if given is not None and not 0 < given < 1000:
        raise ValueError(f"`fps` {given:g} must be a positive number of frames a second")
