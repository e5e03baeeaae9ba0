"""Counts of things as a sentence names them."""


def counted(count: int, thing: str) -> str:
    """Name so many things, such as ``1 chunk`` and ``3 chunks``; ``thing`` is one of them, whose plural ends in s."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
