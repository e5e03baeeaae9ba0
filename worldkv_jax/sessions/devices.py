"""Devices that a plan can be made for, by their data sheets."""

import dataclasses

from worldkv_jax.names import check_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device:
    """What a kind of device offers, by its data sheet."""

    name: str
    memory_bytes: int
    flops: float
    """Dense bfloat16 operations a second."""
    link_bytes: float
    """Bytes a second to host memory, one way."""
    chips: int = 1
    """How many of them there are; memory, arithmetic and links are those of one."""
    exchange_bytes: float = 0.0
    """Bytes a second to other chips, where there are several."""


def _device(name: str, gib: int, tflops: float, link_gb: float, chips: int = 1, exchange_gb: float = 0) -> Device:
    return Device(
        name=name,
        memory_bytes=gib * 1024**3,
        flops=tflops * 1e12,
        link_bytes=link_gb * 1e9,
        chips=chips,
        exchange_bytes=exchange_gb * 1e9,
    )


DEVICES = {
    device.name: device
    for device in (
        _device("h200", 139, 989, 64),
        _device("h100", 78, 989, 64),
        _device("a100-80gb", 79, 312, 32),
        _device("a100-40gb", 39, 312, 32),
        _device("l40s", 44, 362, 32),
        _device("rtx5090", 31, 210, 64),
        _device("rtx4090", 23, 165, 32),
        _device("rtx4070", 11, 58, 32),
        # What links a TPU to its host is not published; counted as PCIe 4 with eight lanes.
        _device("v5e", 15, 197, 16),
        _device("v5e-8", 15, 197, 16, chips=8, exchange_gb=200),
        _device("v6e", 31, 918, 16),
        _device("v6e-4", 31, 918, 16, chips=4, exchange_gb=448),
        _device("v5p", 94, 459, 16),
    )
}
"""Devices that a plan can be made for; memory is what programs find there."""


def device_named(name: str) -> Device:
    """Return a device by name, in any case."""
    return DEVICES[check_name("device", name.lower(), DEVICES)]
