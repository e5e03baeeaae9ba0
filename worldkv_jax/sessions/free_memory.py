"""How many bytes may be taken of this machine: of main memory, and of its first device."""

import os
from pathlib import Path

import jax

_ROOT = Path("/")
_UNLIMITED = 2**60  # what a control group of version 1 says where there is no limit is more than this


def available_host_bytes() -> int:
    """Return the bytes of main memory that can be taken without swapping, and without being killed for them.

    A container, or a job of a batch system, may have less than the machine: beyond that its processes are killed.
    """
    return min([_free_bytes(), *_left_to_groups()])


def _left_to_groups() -> list[int]:
    """Return the bytes that each control group of this process may still take; of those that have a limit."""
    left = []
    for mount, kind, limit, usage in (
        ("sys/fs/cgroup", "", "memory.max", "memory.current"),
        ("sys/fs/cgroup/memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        folder = _ROOT / mount / _group(kind).lstrip("/")
        # A container sees its own group at the top, under whatever name the machine knows it.
        folders = [folder, *folder.parents][: len(folder.parts) - len((_ROOT / mount).parts) + 1]
        for one in folders:
            most, used = _read_count(one / limit), _read_count(one / usage)
            if most is not None and used is not None and most < _UNLIMITED:
                left.append(max(0, most - used + _reclaimable(one / "memory.stat")))
    return left


def _group(kind: str) -> str:
    """Return the name of this process's group among those of a kind; version 2 has one kind, without a name."""
    try:
        lines = (_ROOT / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return "/"
    groups = {name: path for _, kinds, path in (line.split(":", 2) for line in lines) for name in kinds.split(",")}
    return groups.get(kind, "/")


def _read_count(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such group, or no limit: "max"
        return None


def _reclaimable(path: Path) -> int:
    """Return the bytes of files that the system holds in memory for as long as nobody needs it."""
    try:
        counts = dict(line.split() for line in path.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(counts.get("total_inactive_file", counts.get("inactive_file", 0)))


def _free_bytes() -> int:
    """Return what the machine as a whole has."""
    meminfo = _ROOT / "proc/meminfo"
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # Not every system counts free pages; all pages are then the best there is.
    pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")


def available_device_bytes() -> int | None:
    """Return the free bytes of the first device, or ``None`` where it has no memory of its own."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return None
    stats = device.memory_stats()
    if not stats or "bytes_limit" not in stats:
        raise ValueError(f"{device} does not say how much memory it has, so no bank can be sized for it")
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0)


def device_limit() -> int | None:
    """Return the bytes that programs may take of the first device in all; ``None`` where it does not say."""
    return (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
