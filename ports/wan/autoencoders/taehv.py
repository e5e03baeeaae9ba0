"""TAEHV for Wan 2.1 (taew2_1): a tiny streaming auto-encoder that reads and writes the VAE's latents."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from checkpoints.components import Component, Shapes
from checkpoints.key_tables import Row, conv, patch
from ports.wan.autoencoders.checks import check_latents, check_pictures
from ports.wan.autoencoders.layers import FrameConv, channels_to_frames, double_pixels, side_by_side
from ports.wan.autoencoders.streaming import Caches, Past, count_bytes, empty_caches, run_pieces
from ports.wan.nn import parameters
from ports.wan.nn.layers import Linear

FRAMES, PIXELS = 4, 8  # of a latent cell: frames, and pixels along one side
TRIMMED = FRAMES - 1
"""The first frames of a stream that are dropped: the first latent of a clip stands for a single frame."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TAEHVConfig:
    """Size of a TAEHV; taew2_1 unless told otherwise."""

    latent_channels: int = 16
    encoder_width: int = 64
    decoder_widths: tuple[int, ...] = (256, 128, 64, 64)
    """Channels at each resolution, coarsest first."""
    compute_dtype: str = "float32"
    """What activations are computed in."""

    def __post_init__(self):
        object.__setattr__(self, "decoder_widths", tuple(self.decoder_widths))  # JSON has lists
        if len(self.decoder_widths) != 4:
            raise ValueError(f"decoder_widths={self.decoder_widths} must be four: latents are an eighth of the pixels")


class MemoryBlock(nnx.Module):
    """Three convolutions of a frame and the one before it, beside a shortcut."""

    def __init__(self, dim: int, *, rngs: nnx.Rngs):
        self.conv1 = FrameConv(2 * dim, dim, rngs=rngs)
        self.conv2 = FrameConv(dim, dim, rngs=rngs)
        self.conv3 = FrameConv(dim, dim, rngs=rngs)

    def __call__(self, x: jax.Array, past: Past) -> jax.Array:
        """Transform ``[B, T, H, W, dim]``."""
        before = past.prepend(x, 1)[:, :-1]
        y = jax.nn.relu(self.conv1(jnp.concatenate([x, before], axis=-1)))
        y = jax.nn.relu(self.conv2(y))
        return jax.nn.relu(self.conv3(y) + x)


class ShrinkStage(nnx.Module):
    """Join ``frames`` frames into one, halve rows and columns, then three memory blocks."""

    def __init__(self, dim: int, *, frames: int, rngs: nnx.Rngs):
        self.pool = Linear(frames * dim, dim, bias=False, rngs=rngs)
        self.conv = FrameConv(dim, dim, stride=2, bias=False, rngs=rngs)
        self.blocks = nnx.List([MemoryBlock(dim, rngs=rngs) for _ in range(3)])
        self.frames = frames

    def __call__(self, x: jax.Array, past: Past) -> jax.Array:
        """Map ``[B, T, H, W, dim]`` to ``[B, T / frames, H / 2, W / 2, dim]``."""
        x = self.conv(self.pool(side_by_side(x, self.frames, stride=self.frames)))
        for block in self.blocks:
            x = block(x, past)
        return x


class GrowStage(nnx.Module):
    """Three memory blocks, then split each frame into ``frames`` and double rows and columns."""

    def __init__(self, c_in: int, c_out: int, *, frames: int, rngs: nnx.Rngs):
        self.blocks = nnx.List([MemoryBlock(c_in, rngs=rngs) for _ in range(3)])
        self.grow = Linear(c_in, frames * c_in, bias=False, rngs=rngs)
        self.conv = FrameConv(c_in, c_out, bias=False, rngs=rngs)
        self.frames = frames

    def __call__(self, x: jax.Array, past: Past) -> jax.Array:
        """Map ``[B, T, H, W, c_in]`` to ``[B, frames * T, 2 H, 2 W, c_out]``."""
        for block in self.blocks:
            x = block(x, past)
        # Upstream grows what is doubled already, which is the same at four times the cost.
        return self.conv(double_pixels(channels_to_frames(self.grow(x), self.frames)))


class TinyEncoder(nnx.Module):
    """Four frames to one latent."""

    def __init__(self, config: TAEHVConfig, *, rngs: nnx.Rngs):
        width = config.encoder_width
        self.conv_in = FrameConv(3, width, rngs=rngs)
        self.stages = nnx.List([ShrinkStage(width, frames=n, rngs=rngs) for n in (2, 2, 1)])
        self.conv_out = FrameConv(width, config.latent_channels, rngs=rngs)

    def __call__(self, x: jax.Array, past: Past) -> jax.Array:
        """Map frames ``[B, T, 8 h, 8 w, 3]`` in [0, 1] to latents ``[B, T / 4, h, w, 16]``."""
        x = jax.nn.relu(self.conv_in(x))
        for stage in self.stages:
            x = stage(x, past)
        return self.conv_out(x)


class TinyDecoder(nnx.Module):
    """One latent to four frames."""

    def __init__(self, config: TAEHVConfig, *, rngs: nnx.Rngs):
        widths = config.decoder_widths
        self.conv_in = FrameConv(config.latent_channels, widths[0], rngs=rngs)
        self.stages = nnx.List([GrowStage(a, b, frames=n, rngs=rngs) for a, b, n in zip(widths, widths[1:], (1, 2, 2))])
        self.conv_out = FrameConv(widths[-1], 3, rngs=rngs)

    def __call__(self, z: jax.Array, past: Past) -> jax.Array:
        """Map latents ``[B, T, h, w, 16]`` to frames ``[B, 4 T, 8 h, 8 w, 3]``, about in [0, 1]."""
        x = jax.nn.relu(self.conv_in(3 * jnp.tanh(z / 3)))
        for stage in self.stages:
            x = stage(x, past)
        return self.conv_out(jax.nn.relu(x))


def init_params(config: TAEHVConfig, seed: int, *, dtype=jnp.float32) -> dict:
    """Draw the parameters of an auto-encoder that is to be trained or tested."""
    encoder = parameters.init_params(TinyEncoder, config, seed, dtype=dtype)
    return {"encoder": encoder, **init_decoder(config, seed, dtype=dtype)}


def init_decoder(config: TAEHVConfig, seed: int, *, dtype=jnp.float32) -> dict:
    """Draw what `init_params` does of the decoder, under ``"decoder"``: all that ``decode`` needs."""
    return {"decoder": parameters.init_params(TinyDecoder, config, seed + 1, dtype=dtype)}


def abstract_params(config: TAEHVConfig) -> dict:
    """Describe the parameters as ``jax.ShapeDtypeStruct``, without allocating any."""
    return {
        "encoder": parameters.abstract_params(TinyEncoder, config),
        "decoder": parameters.abstract_params(TinyDecoder, config),
    }


def encode(config: TAEHVConfig, params: dict, video: jax.Array) -> jax.Array:
    """Encode clips, four frames a latent; the last group is filled up with the last frame.

    The VAE's first latent stands for one frame and this one's for four, so the two encoders' latents are up to three
    frames apart.

    Args:
        config: of the auto-encoder.
        params: its parameters; ``params["encoder"]`` is enough of them.
        video: ``[B, T, H, W, 3]`` in [-1, 1], rows and columns multiples of 8.

    Returns:
        Normalised latents, float32 ``[B, ceil(T / 4), H / 8, W / 8, 16]``.

    Raises:
        ValueError: a video of another shape.
    """
    check_pictures(video, name="video", axes="[B, T, H, W, 3]", multiple=PIXELS)
    missing = -video.shape[1] % FRAMES
    video = jnp.concatenate([video, video[:, -1:].repeat(missing, axis=1)], axis=1)
    x = ((video.astype(jnp.float32) + 1) / 2).astype(config.compute_dtype)
    encoder = parameters.bind(TinyEncoder, config, params["encoder"])
    z, _ = run_pieces(encoder, x, FRAMES, empty_caches(encoder, x[:, :FRAMES]))
    return z.astype(jnp.float32)


def decode(
    config: TAEHVConfig, params: dict, latents: jax.Array, state: Caches | None = None, *, raw: bool = False
) -> tuple[jax.Array, Caches]:
    """Decode the next latents of a stream, as the VAE's ``decode`` does and at a 25th of its cost.

    Args:
        config: of the auto-encoder.
        params: its parameters; ``params["decoder"]`` is enough of them.
        latents: ``[B, F, h, w, 16]``, normalised.
        state: what the call before returned; ``None`` begins a stream.
        raw: return what the network gives: about in [0, 1], not clamped, all four frames of the first latent too.

    Returns:
        Frames, float32 ``[B, n, 8 h, 8 w, 3]`` in [-1, 1], where ``n`` is 4 F, less 3 where a stream begins; and the
        state: nine arrays in the order of the memory blocks, one frame each, whose shapes never change.

    Raises:
        ValueError: latents of another shape, or a state of another stream.
    """
    check_latents(latents, channels=config.latent_channels)
    begins = state is None
    z = latents.astype(config.compute_dtype)
    decoder = parameters.bind(TinyDecoder, config, params["decoder"])
    frames, state = run_pieces(decoder, z, 1, empty_caches(decoder, z[:, :1]) if begins else state)
    frames = frames.astype(jnp.float32)
    if raw:
        return frames, state
    return 2 * jnp.clip(frames[:, TRIMMED if begins else 0 :], 0, 1) - 1, state


def decoder_state(config: TAEHVConfig, height: int, width: int, worlds: int = 1) -> Caches:
    """Describe the state of `decode` for frames of ``height`` by ``width`` pixels, as ``jax.ShapeDtypeStruct``."""
    frames = jax.ShapeDtypeStruct((worlds, height, width, 3), jnp.float32)
    check_pictures(frames, name="a world", axes="[worlds, height, width, 3]", multiple=PIXELS)
    params = {"decoder": parameters.abstract_params(TinyDecoder, config)}
    shape = (worlds, 1, height // PIXELS, width // PIXELS, config.latent_channels)
    latents = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(lambda p, z: decode(config, p, z)[1], params, latents)


def decoder_state_bytes(config: TAEHVConfig, height: int, width: int, worlds: int = 1) -> int:
    """Return the bytes of `decoder_state`: 67 MB a world for 480 by 832 pixels in bfloat16."""
    return count_bytes(decoder_state(config, height, width, worlds))


def _layer(key: str, path: str) -> tuple[Row, ...]:
    return Row(f"{key}.weight", f"{path}/kernel", conv(2)), Row(f"{key}.bias", f"{path}/bias")


def _key_table() -> tuple[Row, ...]:
    """List which tensor becomes which parameter; upstream counts layers, activations included, in one list."""
    rows = [*_layer("encoder.0", "encoder/conv_in"), *_layer("encoder.17", "encoder/conv_out")]
    rows += [*_layer("decoder.1", "decoder/conv_in"), *_layer("decoder.22", "decoder/conv_out")]
    for stage in range(3):
        encoder, decoder = f"encoder/stages/{stage}", f"decoder/stages/{stage}"
        rows.append(Row(f"encoder.{2 + 5 * stage}.conv.weight", f"{encoder}/pool/kernel", patch((1, 1))))
        rows.append(Row(f"decoder.{7 + 6 * stage}.conv.weight", f"{decoder}/grow/kernel", patch((1, 1))))
        rows += [*_layer(f"encoder.{3 + 5 * stage}", f"{encoder}/conv")]
        rows += [*_layer(f"decoder.{8 + 6 * stage}", f"{decoder}/conv")]
        for block in range(3):
            for part in range(3):
                name = f"blocks/{block}/conv{part + 1}"
                rows += _layer(f"encoder.{4 + 5 * stage + block}.conv.{2 * part}", f"{encoder}/{name}")
                rows += _layer(f"decoder.{3 + 6 * stage + block}.conv.{2 * part}", f"{decoder}/{name}")
    return tuple(rows)


def _configure(shapes: Shapes, settings: Mapping[str, Any]) -> TAEHVConfig:
    """Read the sizes off the tensors."""
    widths = [shapes["decoder.1.weight"][0], *(shapes[f"decoder.{8 + 6 * stage}.weight"][0] for stage in range(3))]
    return TAEHVConfig(
        latent_channels=shapes["decoder.1.weight"][1],
        encoder_width=shapes["encoder.0.weight"][0],
        decoder_widths=tuple(widths),
    )


COMPONENT = Component(
    name="taehv",
    files=("taew2_1.safetensors", "taew2_1.pth", "*taew2_1*.safetensors"),
    tables={"original": _key_table()},
    configure=_configure,
    abstract=abstract_params,
    from_json=lambda fields: TAEHVConfig(**fields),
    optional=True,
)
