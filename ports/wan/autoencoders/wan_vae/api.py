"""What others call of the Wan 2.1 VAE: encode clips and images, decode streams of latents."""

import jax
import jax.numpy as jnp

from ports.wan.autoencoders.checks import check_latents, check_pictures
from ports.wan.autoencoders.streaming import Caches, count_bytes, join_pieces, run_piece, run_pieces
from ports.wan.autoencoders.wan_vae.config import LATENT_MEAN, LATENT_STD, VAEConfig
from ports.wan.autoencoders.wan_vae.networks import Decoder, Encoder
from ports.wan.nn import parameters
from ports.wan.nn.layers import along_last


def init_params(config: VAEConfig, seed: int, *, dtype=jnp.float32) -> dict:
    """Draw the parameters of a VAE that is to be trained or tested."""
    encoder = parameters.init_params(Encoder, config, seed, dtype=dtype)
    return {"encoder": encoder, **init_decoder(config, seed, dtype=dtype)}


def init_decoder(config: VAEConfig, seed: int, *, dtype=jnp.float32) -> dict:
    """Draw what `init_params` does of the decoder, under ``"decoder"``: all that ``decode`` needs."""
    return {"decoder": parameters.init_params(Decoder, config, seed + 1, dtype=dtype)}


def abstract_params(config: VAEConfig) -> dict:
    """Describe the parameters as ``jax.ShapeDtypeStruct``, without allocating any."""
    return {
        "encoder": parameters.abstract_params(Encoder, config),
        "decoder": parameters.abstract_params(Decoder, config),
    }


def encode(config: VAEConfig, params: dict, video: jax.Array) -> jax.Array:
    """Encode clips; memory and compile time do not grow with their length.

    Args:
        config: of the VAE.
        params: its parameters.
        video: ``[B, T, H, W, 3]`` in [-1, 1], rows and columns multiples of 8. The first frame makes the first
            latent, every four later ones another; what is left at the end is dropped, as upstream does.

    Returns:
        Normalised means of the latents, float32 ``[B, 1 + (T - 1) // 4, H / 8, W / 8, 16]``.

    Raises:
        ValueError: a video of another shape.
    """
    return encode_next(config, params, video)[0]


def encode_next(
    config: VAEConfig, params: dict, video: jax.Array, state: Caches | None = None
) -> tuple[jax.Array, Caches]:
    """Encode the next frames of a stream, as `decode` decodes the next latents.

    Args:
        config: of the VAE.
        params: its parameters; ``params["encoder"]`` is enough of them.
        video: ``[B, T, H, W, 3]`` in [-1, 1]: of a stream that begins as for `encode`, later in groups of four frames.
        state: what the call before returned; ``None`` begins a stream.

    Returns:
        Normalised means of the latents, float32 ``[B, n, H / 8, W / 8, 16]``, and the state.

    Raises:
        ValueError: a video of another shape, a group that is not whole where a stream goes on, or a state of another
            stream.
    """
    check_pictures(video, name="video", axes="[B, T, H, W, 3]", multiple=config.spatial_factor)
    size, x = config.temporal_factor, video.astype(config.compute_dtype)
    if state is not None and x.shape[1] % size:
        raise ValueError(f"{x.shape[1]} frames go on with a stream, expected a multiple of {size}: groups of a latent")
    encoder = parameters.bind(Encoder, config, params["encoder"])
    parts = []
    if state is None:
        first, state = run_piece(encoder, x[:, :1], None)
        parts, x = [first], x[:, 1:]
    later, state = run_pieces(encoder, x[:, : x.shape[1] // size * size], size, state)
    return _normalise(jnp.concatenate([*parts, later], axis=1)), state


def encode_image(config: VAEConfig, params: dict, image: jax.Array, latents: int) -> jax.Array:
    """Encode a clip that shows an image in its first frame and mid-grey (zeros) ever after.

    The encoder looks 112 frames back, so from the 30th latent on all are the same: that one is repeated, and long
    clips cost no more than 117 frames.

    Args:
        config: of the VAE.
        params: its parameters.
        image: ``[B, H, W, 3]`` in [-1, 1], rows and columns multiples of 8.
        latents: how many to return; the clip has ``1 + 4 * (latents - 1)`` frames.

    Returns:
        Normalised latents, float32 ``[B, latents, H / 8, W / 8, 16]``.

    Raises:
        ValueError: an image of another shape, or fewer latents than one.
    """
    check_pictures(image, name="image", axes="[B, H, W, 3]", multiple=config.spatial_factor)
    if latents < 1:
        raise ValueError(f"latents={latents} must be at least 1: the image itself makes one")
    encoded = min(latents, config.still_latents)
    x = image[:, None].astype(config.compute_dtype)
    encoder = parameters.bind(Encoder, config, params["encoder"])
    first, caches = run_piece(encoder, x, None)
    grey = jnp.zeros((x.shape[0], config.temporal_factor, *x.shape[2:]), x.dtype)

    def step(caches, _):
        y, caches = run_piece(encoder, grey, caches)
        return caches, y

    _, later = jax.lax.scan(step, caches, length=encoded - 1)
    z = jnp.concatenate([first, join_pieces(later)], axis=1)
    return _normalise(jnp.concatenate([z, z[:, -1:].repeat(latents - encoded, axis=1)], axis=1))


def decode(
    config: VAEConfig, params: dict, latents: jax.Array, state: Caches | None = None, *, raw: bool = False
) -> tuple[jax.Array, Caches]:
    """Decode the next latents of a stream, one after another.

    A stream decoded in chunks equals one decoded at once. The first latent of a stream makes one frame and every
    later one four: chunks of 3 latents make 9 frames at first and 12 later. So a stream needs two compiled programs:
    one begins it (``state`` is ``None``), one goes on; the latter may donate its state.

    Args:
        config: of the VAE.
        params: its parameters; ``params["decoder"]`` is enough of them.
        latents: ``[B, F, h, w, 16]``, normalised.
        state: what the call before returned; ``None`` begins a stream.
        raw: return what the network gives, not clamped to [-1, 1] as every released wrapper does.

    Returns:
        Frames, float32 ``[B, n, 8 h, 8 w, 3]`` in [-1, 1], and the state: 32 arrays in the order of the layers, two
        frames each, whose shapes never change; `decoder_state` describes them.

    Raises:
        ValueError: latents of another shape, or a state of another stream.
    """
    check_latents(latents, channels=config.z_dim)
    z = _restore(latents).astype(config.compute_dtype)
    decoder = parameters.bind(Decoder, config, params["decoder"])
    frames = []
    if state is None:
        first, state = run_piece(decoder, z[:, :1], None)
        frames, z = [first], z[:, 1:]
    later, state = run_pieces(decoder, z, 1, state)
    video = jnp.concatenate([*frames, later], axis=1).astype(jnp.float32)
    return video if raw else jnp.clip(video, -1, 1), state


def decoder_state(config: VAEConfig, height: int, width: int, worlds: int = 1) -> Caches:
    """Describe the state of `decode` for frames of ``height`` by ``width`` pixels, as ``jax.ShapeDtypeStruct``."""
    frames = jax.ShapeDtypeStruct((worlds, height, width, 3), jnp.float32)
    check_pictures(frames, name="a world", axes="[worlds, height, width, 3]", multiple=config.spatial_factor)
    params = {"decoder": parameters.abstract_params(Decoder, config)}
    cells = (height // config.spatial_factor, width // config.spatial_factor)
    latents = jax.ShapeDtypeStruct((worlds, 1, *cells, config.z_dim), jnp.float32)
    return jax.eval_shape(lambda p, z: decode(config, p, z)[1], params, latents)


def decoder_state_bytes(config: VAEConfig, height: int, width: int, worlds: int = 1) -> int:
    """Return the bytes of `decoder_state`: 1.9 GB a world for 480 by 832 pixels in bfloat16."""
    return count_bytes(decoder_state(config, height, width, worlds))


def _normalise(z: jax.Array) -> jax.Array:
    mean, scale = (along_last(jnp.asarray(a, jnp.float32), z) for a in (LATENT_MEAN, LATENT_STD))
    return (z.astype(jnp.float32) - mean) * (1 / scale)


def _restore(z: jax.Array) -> jax.Array:
    mean, scale = (along_last(jnp.asarray(a, jnp.float32), z) for a in (LATENT_MEAN, LATENT_STD))
    return z.astype(jnp.float32) / (1 / scale) + mean
