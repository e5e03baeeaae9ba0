"""The networks that the released models share, as checkpoints of their own."""

from checkpoints.components import ModelFormat
from ports.wan.autoencoders import taehv, wan_vae
from ports.wan.encoders import clip, umt5

PUBLISHED = {
    "38071ab59bd94681c686fa51d75a1968f64e470262043be31f7a094e442fd981": "Wan 2.1 VAE",
    "7cace0da2b446bbbbc57d031ab6cf163a3d59b366da94e5afe36745b746fd81d": "UMT5-XXL encoder, bfloat16",
    "628c9998b613391f193eb67ff68da9667d75f492911e4eb3decf23460a158c38": "CLIP ViT-H/14 with XLM-RoBERTa",
    "04766eac0221b5390b985ae3fdcca652cbb4b1e8b82b28ea7ff89dfad1b1a93f": "TAEHV for Wan 2.1, taew2_1",
}
"""Published files by SHA-256, as public repositories that pin them report it."""

VAE = ModelFormat(name="wan-vae", components=(wan_vae.COMPONENT,), known_files=PUBLISHED)
UMT5 = ModelFormat(name="umt5-xxl", components=(umt5.COMPONENT,), known_files=PUBLISHED)
CLIP = ModelFormat(name="clip-vit-h-14", components=(clip.COMPONENT,), known_files=PUBLISHED)
TAEHV = ModelFormat(name="taew2_1", components=(taehv.COMPONENT,), known_files=PUBLISHED)
