"""Checks of the shapes that auto-encoders are given."""

import jax


def check_pictures(x: jax.Array | jax.ShapeDtypeStruct, *, name: str, axes: str, multiple: int) -> None:
    """Check frames or an image, whose last three axes are rows, columns and colours.

    Args:
        x: the pictures.
        name: what they are called.
        axes: what they must have, such as ``"[B, H, W, 3]"``.
        multiple: of which rows and columns must be one.

    Raises:
        ValueError: they are something else.
    """
    if x.ndim != axes.count(",") + 1 or x.shape[-1] != 3 or 0 in x.shape:
        raise ValueError(f"{name} has shape {x.shape}, expected {axes}: colours last, and no axis empty")
    height, width = x.shape[-3:-1]
    if height % multiple or width % multiple:
        raise ValueError(f"{name} has {height}x{width} pixels, expected multiples of {multiple}: crop or resize it")


def check_latents(z: jax.Array, *, channels: int) -> None:
    """Check latents ``[B, F, h, w, channels]``.

    Raises:
        ValueError: they are something else.
    """
    if z.ndim != 5 or z.shape[-1] != channels or 0 in z.shape:
        raise ValueError(
            f"latents have shape {z.shape}, expected [B, F, h, w, {channels}]: channels last, and no axis empty"
        )
