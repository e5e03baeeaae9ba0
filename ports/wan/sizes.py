"""Sizes of Wan's latent space, which every model on it has."""

CELL = 8
"""Pixels along one side of a latent cell."""
LATENT_CHANNELS = 16
FRAMES_PER_LATENT = 4
"""Pixel frames of a latent frame; the first of a video has one alone."""
CHUNK_FRAMES = 3
"""Latent frames of a chunk."""
MASK_CHANNELS = 4
"""Channels that say which pixel frames of a latent frame are given."""
CONDITION_CHANNELS = MASK_CHANNELS + LATENT_CHANNELS
"""Channels beside the noisy latents: mask and image latents."""
