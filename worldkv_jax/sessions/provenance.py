"""What a result was measured on: hardware, versions and date."""

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
            **{name: metadata.version(name) for name in ("jax", "jaxlib", "numpy", "worldkv-jax")},
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
