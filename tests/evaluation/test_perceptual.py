"""LPIPS and DINO against their PyTorch originals with random weights, and weights that are not what they should be."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from worldkv_jax.evaluation.dino import DinoConfig, dino_features, load_dino
from worldkv_jax.evaluation.lpips import _STAGES, load_lpips
from worldkv_jax.evaluation.metrics import load_metrics

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def frames(seed, count=3, height=64, width=80):
    return np.random.default_rng(seed).random((count, height, width, 3)).astype(np.float32)


@pytest.fixture
def lpips_file(tmp_path):
    rng = np.random.default_rng(0)
    weights = {f"lin{i}.model.1.weight": rng.random((1, stage[1], 1, 1)) for i, stage in enumerate(_STAGES)}
    for name, out, channels, window, *_ in _STAGES:
        weights[f"{name}.weight"] = rng.normal(size=(out, channels, window, window)) / (window * np.sqrt(channels))
        weights[f"{name}.bias"] = 0.1 * rng.normal(size=out)
    save_file({name: w.astype(np.float32) for name, w in weights.items()}, tmp_path / "lpips.safetensors")
    return tmp_path / "lpips.safetensors"


@pytest.fixture
def dino_folder(tmp_path):
    rng, config = np.random.default_rng(1), DinoConfig(**SMALL)
    weights = {name: 0.2 * rng.normal(size=shape).astype(np.float32) for name, shape in config.shapes().items()}
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "dinov3_vit", **SMALL}))
    return tmp_path


def test_distances_are_zero_for_equal_frames_and_grow_with_noise(lpips_file, dino_folder):
    clean, noise = frames(0), np.random.default_rng(1).normal(size=(3, 64, 80, 3))
    for distance in (load_lpips(lpips_file), load_dino(dino_folder)):
        np.testing.assert_allclose(distance(clean, clean), 0, atol=1e-6)
        near, far = (distance(clean, np.clip(clean + level * noise, 0, 1)) for level in (0.02, 0.3))
        assert near.shape == (3,) and (near < far).all() and (near > 0).all()


@pytest.mark.torch
def test_lpips_agrees_with_pytorch(lpips_file):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file
    from torch.nn import functional as F

    weights, (a, b) = load_file(lpips_file), (frames(2), frames(3))
    features = []
    for x in (a, b):
        shift, scale = (torch.tensor(v).view(1, 3, 1, 1) for v in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]))
        x = (2 * torch.tensor(x).permute(0, 3, 1, 2) - 1 - shift) / scale
        found = []
        for name, *_, stride, padding, pooled in _STAGES:
            x = F.max_pool2d(x, 3, 2) if pooled else x
            x = F.relu(F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, padding))
            found.append(F.normalize(x, dim=1))
        features.append(found)
    expected = sum(
        F.conv2d((p - q) ** 2, weights[f"lin{i}.model.1.weight"]).mean(dim=(1, 2, 3))
        for i, (p, q) in enumerate(zip(*features))
    )
    np.testing.assert_allclose(load_lpips(lpips_file)(a, b), expected.numpy(), rtol=1e-4)


@pytest.mark.torch
def test_dino_agrees_with_transformers(dino_folder):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = transformers.DINOv3ViTConfig(**SMALL, num_register_tokens=4)
    model = transformers.DINOv3ViTModel.from_pretrained(dino_folder, config=config).eval()
    pixels = np.random.default_rng(4).normal(size=(2, 48, 64, 3)).astype(np.float32)
    with torch.no_grad():
        expected = model(torch.tensor(pixels).permute(0, 3, 1, 2)).last_hidden_state.numpy()
    from safetensors.numpy import load_file

    with jax.default_matmul_precision("highest"):
        got = dino_features(DinoConfig(**SMALL), load_file(dino_folder / "model.safetensors"), pixels)
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_metrics_without_weights_are_named(lpips_file, tmp_path):
    metrics, left_out = load_metrics(lpips=lpips_file, dino=tmp_path / "nowhere")
    assert [metric.name for metric in metrics] == ["psnr", "ssim", "lpips"]
    assert left_out == (f"dino is left out: there are no weights at {tmp_path / 'nowhere'}",)
    metrics, left_out = load_metrics()
    assert [metric.name for metric in metrics] == ["psnr", "ssim"]
    assert all("no weights were given" in line for line in left_out) and len(left_out) == 2


def test_wrong_weights_are_refused(lpips_file, dino_folder):
    save_file({"lin0.model.1.weight": np.zeros((1, 7, 1, 1), np.float32)}, lpips_file)
    with pytest.raises(ValueError, match=r"missing lin1(?s:.*)and \d+ more"):
        load_lpips(lpips_file)
    lpips_file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no safetensors file"):
        load_lpips(lpips_file)
    (dino_folder / "config.json").write_text(json.dumps({"model_type": "dinov2", **SMALL}))
    with pytest.raises(ValueError, match="'dinov2' model; expected a DINOv3 ViT"):
        load_dino(dino_folder)
    (dino_folder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"holds no config\.json"):
        load_dino(dino_folder)
