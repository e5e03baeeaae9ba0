"""The machine: what a benchmark ran on, and how many bytes it may take there."""

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax


def describe_machine() -> dict[str, Any]:
    """Describe hardware, versions and date, for the head of a result file."""
    device = jax.devices()[0]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "hardware": {
            "platform": device.platform,
            "device": device.device_kind if device.platform != "cpu" else cpu_model(),
            "devices": jax.device_count(),
            "cpu": cpu_model(),
            "cores": usable_cores(),
            "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("jax", "jaxlib", "numpy")},
        },
    }


def cpu_model() -> str:
    """Return the processor's name, as well as the system knows it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Count the processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
