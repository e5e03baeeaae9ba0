"""How many bytes may be taken of this machine: of main memory, and of its first device."""

import os
from pathlib import Path

import jax


def available_host_bytes() -> int:
    """Return the bytes of main memory that can be taken without swapping."""
    meminfo = Path("/proc/meminfo")
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
