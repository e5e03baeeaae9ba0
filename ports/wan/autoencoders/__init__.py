"""Frames to latents and back: the Wan 2.1 VAE, and TAEHV, its tiny stand-in."""
