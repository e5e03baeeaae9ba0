"""The decoder of the three models that share latents: the VAE's, or TAEHV, drawn or read from a model folder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from ports.inspatio_world.checkpoint import TAEHV, WAN_FOLDER
from ports.wan.autoencoders import taehv, wan_vae
from ports.wan.backbone import WanParams
from ports.wan.program import coders
from tests.inspatio_world.released_folder import write_folder as write_inspatio
from tests.lingbot_world.released_folder import write_folder as write_lingbot
from tests.wan.released import random_tensors
from worldkv_jax.sessions import Placement, open_model

MODELS = {"inspatio-world": {"scene": "builtin", "size": "32x48"}, "lingbot-world-fast": {}, "matrix-game-2": {}}


@pytest.mark.long
@pytest.mark.parametrize("model", MODELS)
def test_every_model_offers_the_fast_decoder(model):
    vae, fast = (open_model(model, **MODELS[model], tiny=True, decoder=name).check() for name in ("vae", "taehv"))
    assert isinstance(vae.backbone.vae, wan_vae.VAEConfig) and isinstance(fast.backbone.vae, taehv.TAEHVConfig)
    assert fast.backbone.vae.compute_dtype == vae.backbone.vae.compute_dtype
    assert fast.summary["decoder"] == "taehv"
    assert fast.cost.decode_flops == pytest.approx(vae.cost.decode_flops / 25)
    assert fast.cost.encoder_bytes == vae.cost.encoder_bytes  # the VAE encodes all the same
    drawn = coders.decoder_params(fast.backbone.vae, Placement(), ckpt=None, coder=None)
    latents = jax.random.normal(jax.random.key(0), (1, *fast.backbone.latent_shape))
    frames, _ = fast.backbone.decode(WanParams(None, drawn), latents, None)
    expected, _ = taehv.decode(fast.backbone.vae, drawn, latents)
    assert frames.shape == (1, 9, 8 * latents.shape[2], 8 * latents.shape[3], 3)
    np.testing.assert_array_equal(frames, (expected + 1) / 2)


@pytest.mark.parametrize("model", MODELS)
def test_a_plan_counts_the_decoder_that_is_used(model):
    options = {**MODELS[model], "random_weights": True}
    vae, fast, none = (
        open_model(model, **options, decoder=name).check(decode=decode).cost
        for name, decode in (("vae", True), ("taehv", True), ("vae", False))
    )
    assert fast.weights_bytes < vae.weights_bytes and fast.decoder_bytes < vae.decoder_bytes
    assert none.weights_bytes < fast.weights_bytes and none.decoder_bytes == 0


def inspatio(folder):
    return write_inspatio(folder), folder / WAN_FOLDER, {"scene": "builtin", "size": "32x48", "prompt": "a room"}


def lingbot(folder):
    picture = folder.parent / "p.png"
    Image.new("RGB", (48, 32)).save(picture)
    return write_lingbot(folder), folder, {"image": str(picture), "prompt": "a street", "trajectory": "L60"}


@pytest.mark.parametrize(
    ("model", "write", "component"),
    [("inspatio-world", inspatio, TAEHV), ("lingbot-world-fast", lingbot, taehv.COMPONENT)],
)
def test_the_fast_decoder_is_read_from_the_model_folder(model, write, component, tmp_path):
    ckpt, place, options = write(tmp_path / "model")
    asked = open_model(model, ckpt=str(ckpt), dtype="float32", decoder="taehv", **options)
    with pytest.raises(FileNotFoundError, match=r"taehv: no (.*/)?taew2_1\.safetensors"):
        asked.check()
    tensors = random_tensors(taehv.COMPONENT, coders.TINY, 4)
    save_file(tensors, place / "taew2_1.safetensors")
    session = asked.check()
    assert session.backbone.vae == coders.TINY
    found = coders.decoder_params(session.backbone.vae, Placement(), ckpt=str(ckpt), coder=None, component=component)
    kernel = found["decoder"]["conv_in"]["kernel"]
    np.testing.assert_array_equal(kernel, np.moveaxis(tensors["decoder.1.weight"], (0, 1), (-1, -2)))
    assert kernel.dtype == jnp.float32
