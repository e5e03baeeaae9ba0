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


_GIB = 1024**3
DEVICES = {
    device.name: device
    for device in (
        Device(name="h200", memory_bytes=139 * _GIB, flops=989e12, link_bytes=64e9),
        Device(name="h100", memory_bytes=78 * _GIB, flops=989e12, link_bytes=64e9),
        Device(name="a100-80gb", memory_bytes=79 * _GIB, flops=312e12, link_bytes=32e9),
        Device(name="a100-40gb", memory_bytes=39 * _GIB, flops=312e12, link_bytes=32e9),
        Device(name="rtx4090", memory_bytes=23 * _GIB, flops=165e12, link_bytes=32e9),
    )
}
"""Devices that a plan can be made for; memory is what programs find there."""


def device_named(name: str) -> Device:
    """Return a device by name, in any case."""
    return DEVICES[check_name("device", name.lower(), DEVICES)]
