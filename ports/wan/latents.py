"""Sizes of what Wan-style world models make: latent frames of the Wan 2.1 VAE, and chunks of them."""

CHUNK_FRAMES = 3
"""Latent frames of a chunk."""
CELL = 8
"""Pixels along one side of a latent cell."""
FRAMES_PER_LATENT = 4
"""Frames of a latent frame; the first latent frame of a video has one."""
LATENT_CHANNELS = 16
GUIDE_CHANNELS = FRAMES_PER_LATENT + LATENT_CHANNELS
"""Channels beside the noisy latents: a mask of the frames that a latent frame has, and latents of a picture."""


def latents_of(frames: int) -> int:
    """Return the latent frames of a video; of a last group that is cut short nothing is made."""
    return (frames - 1) // FRAMES_PER_LATENT + 1


def frames_of(latents: int) -> int:
    """Return the frames of so many latent frames."""
    return FRAMES_PER_LATENT * (latents - 1) + 1
