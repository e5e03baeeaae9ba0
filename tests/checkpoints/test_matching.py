"""Tensors are recognised by their names, and all that is wrong with them is said at once."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from checkpoints.components import ModelFormat
from checkpoints.locating import locate
from checkpoints.matching import match, recognise
from checkpoints.sources import open_source
from tests.checkpoints.formats import CLIP, DIT, FORMAT, OTHER, VAE, DiTConfig, VAEConfig, draw, write_model

CONFIG = DiTConfig(dim=6, layers=3)


def source(tmp_path, tensors):
    save_file(tensors, tmp_path / "a.safetensors")
    return open_source(tmp_path / "a.safetensors")


@pytest.mark.parametrize("naming", ["original", "other"])
def test_both_namings(tmp_path, naming):
    found = match(source(tmp_path, draw(DIT, CONFIG, naming=naming)), DIT)
    assert found.naming == naming and found.left_out == ()
    # The other naming has the patch kernel as a matrix: its channels cannot be told from its window.
    assert found.config.dim == 6 and found.config.layers == 3
    assert found.targets.keys() == found.source.tensors.keys()
    assert found.parameters == sum(tensor.size for tensor in found.source.tensors.values())


def test_all_problems_are_listed(tmp_path):
    tensors = draw(DIT, CONFIG)
    for layer in range(3):
        del tensors[f"blocks.{layer}.self_attn.q.bias"]
    tensors["blocks.1.self_attn.k.bias"] = np.zeros((2, 3), np.float32)
    tensors["blocks.2.self_attn.k.weight"] = np.zeros((6, 6), np.int64)
    tensors["head.1.scale"] = np.zeros((), np.float64)
    tensors |= {"blocks.0.extra": np.zeros(1, np.float32), "strange": np.zeros(1, np.float32)}
    with pytest.raises(ValueError) as error:
        match(source(tmp_path, tensors), DIT, known=[FORMAT, OTHER])
    lines = str(error.value).splitlines()
    assert lines[0].endswith("a.safetensors is not a whole dit:")
    assert sorted(lines[1:]) == sorted(
        [
            "  missing: blocks.{0-2}.self_attn.q.bias",
            "  unexpected: blocks.0.extra",
            "  unexpected: strange",
            "  blocks.1.self_attn.k.bias: has shape (2, 3), expected (6,)",
            "  blocks.2.self_attn.k.weight: has dtype int64, expected floating, at most 32 bits wide",
            "  head.1.scale: has dtype float64, expected floating, at most 32 bits wide",
        ]
    )


def test_a_missing_layer(tmp_path):
    tensors = {key: value for key, value in draw(DIT, CONFIG).items() if not key.startswith("blocks.1.")}
    with pytest.raises(ValueError, match=r"missing: blocks.1.modulation(.|\n)*unexpected: blocks.2.self_attn.k.weight"):
        match(source(tmp_path, tensors), DIT)


def test_a_tensor_that_decides_a_size_is_missing(tmp_path):
    tensors = draw(DIT, CONFIG)
    del tensors["patch_embedding.weight"]
    tensors["strange"] = np.zeros(1, np.float32)
    with pytest.raises(
        ValueError, match=r"missing: patch_embedding.weight, which decides a size\n  unexpected: strange"
    ):
        match(source(tmp_path, tensors), DIT)


@pytest.mark.parametrize("shape", [(), (5,), (0, 0, 0, 0, 0), (1, 2)])
def test_sizes_that_make_no_sense(tmp_path, shape):
    tensors = draw(DIT, CONFIG) | {"patch_embedding.weight": np.zeros(shape, np.float32)}
    with pytest.raises(ValueError, match="is not a whole dit"):
        match(source(tmp_path, tensors), DIT)


def test_an_absurd_depth_is_refused(tmp_path):
    absurd = dataclasses.replace(DIT, configure=lambda shapes, settings: DiTConfig(layers=10**9))
    with pytest.raises(ValueError, match="1000000000 layers, expected at most 10000"):
        match(source(tmp_path, draw(DIT, CONFIG)), absurd)


def test_the_wrong_model_is_named(tmp_path):
    tensors = {f"w.{layer}.a": np.zeros(3, np.float32) for layer in range(4)}
    with pytest.raises(ValueError, match=r"not a whole dit; it looks like the net of other-world"):
        match(source(tmp_path, tensors), DIT, known=[FORMAT, OTHER])
    with pytest.raises(ValueError, match=r"not a whole vae; it looks like the dit of tiny-world"):
        match(source(tmp_path, draw(DIT, CONFIG)), VAE, known=[FORMAT, OTHER])


def test_recognise(tmp_path):
    models = [OTHER, FORMAT]
    assert recognise(source(tmp_path, draw(DIT, CONFIG)), models) == (FORMAT, DIT)
    assert recognise(source(tmp_path, draw(VAE, VAEConfig())), models) == (FORMAT, VAE)
    text = {"textual.a": np.zeros(1, np.float32)}
    assert recognise(source(tmp_path, draw(CLIP, VAEConfig()) | text), models) == (FORMAT, CLIP)
    assert recognise(source(tmp_path, {"a": np.zeros(1, np.float32)}), models) is None
    # Of two that know the names, the one that it is.
    narrow = dataclasses.replace(DIT, name="narrow", configure=lambda shapes, settings: DiTConfig(dim=4))
    models = [ModelFormat(name="narrow", components=(narrow,)), FORMAT]
    assert recognise(source(tmp_path, draw(DIT, CONFIG)), models) == (FORMAT, DIT)


def test_tensors_that_are_not_needed_are_left_out(tmp_path):
    text = {"textual.a": np.zeros(1, np.int64)}
    found = match(source(tmp_path, draw(CLIP, VAEConfig()) | text), CLIP)
    assert found.left_out == ("textual.a",) and list(found.targets) == ["visual.head"]


# --- where networks are ---


def test_a_model_folder(tmp_path):
    folder = write_model(tmp_path / "model")
    assert list(locate(folder, FORMAT)) == ["dit", "vae", "clip"]
    assert list(locate(folder, FORMAT, only=["vae"])) == ["vae"]
    (folder / "clip.pth").unlink()
    assert list(locate(folder, FORMAT)) == ["dit", "vae"]
    (folder / "vae.pth").unlink()
    with pytest.raises(FileNotFoundError, match=r"--only dit:\n  vae: no vae.pth and no \*VAE\*.safetensors"):
        locate(folder, FORMAT)


def test_one_network_by_itself(tmp_path):
    folder = write_model(tmp_path / "model")
    assert list(locate(folder / "dit", FORMAT)) == ["dit"]
    assert list(locate(folder / "vae.pth", FORMAT)) == ["vae"]
    assert list(locate(folder / "clip.pth", FORMAT)) == ["clip"]
    assert list(locate(folder / "clip.pth", FORMAT, only=["vae"])) == ["vae"]  # what the user says counts
    save_file({"a": np.zeros(1, np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(
        ValueError, match="has no dit and no vae and no clip of tiny-world: its 1 tensors are others, such as a"
    ):
        locate(tmp_path / "a.safetensors", FORMAT)


def test_networks_that_cannot_be_found(tmp_path):
    folder = write_model(tmp_path / "model")
    with pytest.raises(ValueError, match="tiny-world has no ema and no x; it has dit, vae, clip"):
        locate(folder, FORMAT, only=["dit", "ema", "x"])
    with pytest.raises(FileNotFoundError, match="does not exist"):
        locate(tmp_path / "nowhere", FORMAT)
    for name in "ab":
        save_file(draw(VAE, VAEConfig()), folder / f"{name}VAE.safetensors")
    assert locate(folder, FORMAT)["vae"].path == folder / "vae.pth"  # the first pattern counts
    (folder / "vae.pth").unlink()
    with pytest.raises(ValueError, match=r"2 files \*VAE\*.safetensors \(aVAE.safetensors, bVAE.safetensors\)"):
        locate(folder, FORMAT)


def test_a_component_may_be_a_link(tmp_path):
    folder = write_model(tmp_path / "model")
    (folder / "vae.pth").rename(tmp_path / "vae.pth")
    (folder / "vae.pth").symlink_to(tmp_path / "vae.pth")
    assert locate(folder, FORMAT)["vae"].tensors
    (tmp_path / "vae.pth").unlink()
    with pytest.raises(FileNotFoundError, match=r"vae\.pth is a link to .*vae\.pth, which is not there"):
        locate(folder, FORMAT)


def test_hidden_files_are_no_components(tmp_path):
    folder = write_model(tmp_path / "model")
    (folder / "vae.pth").unlink()
    save_file(draw(VAE, VAEConfig()), folder / "aVAE.safetensors")
    (folder / "._aVAE.safetensors").write_bytes(b"\0\5\x16\7")
    assert locate(folder, FORMAT)["vae"].path == folder / "aVAE.safetensors"


# --- names of other programs ---


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod.", "model.diffusion_model.", "x."]
)
@pytest.mark.parametrize("naming", ["original", "other"])
def test_what_wrappers_put_before_names_is_taken_off(tmp_path, prefix, naming):
    plain = draw(DIT, CONFIG, naming=naming)
    wrapped = source(tmp_path, {prefix + name: tensor for name, tensor in plain.items()})
    assert recognise(wrapped, [FORMAT]) == (FORMAT, DIT)
    found = match(wrapped, DIT)
    assert found.source.tensors.keys() == plain.keys() and found.naming == naming and not found.left_out
    for name, tensor in plain.items():
        np.testing.assert_array_equal(found.source.tensors[name].open(), tensor)


def test_what_wrappers_put_between_parts_of_names_is_taken_out(tmp_path):
    plain = draw(DIT, CONFIG)
    inner = {name.replace("self_attn.", "_fsdp_wrapped_module.self_attn._orig_mod."): a for name, a in plain.items()}
    assert inner.keys() != plain.keys()
    assert match(source(tmp_path, inner), DIT).source.tensors.keys() == plain.keys()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["base.blocks.0.q.lora_A.weight", "base.blocks.0.q.lora_B.weight"], "these are LoRA weights"),
        (["lora_unet_blocks_0_q.lora_down.weight", "lora_unet_blocks_0_q.alpha"], "these are LoRA weights"),
        (["blocks.0.q.lora_A.default.weight"], "these are LoRA weights"),
        (["blocks.0.q.hada_w1_a"], "these are LoRA weights"),
        (["blocks.0.q.weight", "blocks.0.q.weight.absmax"], "quantised by bitsandbytes"),
        (["blocks.0.q.qweight", "blocks.0.q.scales"], "GPTQ or AWQ"),
        (["blocks.0.q.weight", "blocks.0.q.scale_weight", "scaled_fp8"], "scaled to 8 bits"),
        (["state.0.exp_avg"], "the state of an optimiser"),
    ],
)
def test_weights_of_other_kinds_are_named_in_one_line(tmp_path, names, message):
    foreign = source(tmp_path, {name: np.zeros((2, 2), np.float32) for name in names})
    with pytest.raises(ValueError, match=rf"is not a whole dit: .*{message}") as error:
        match(foreign, DIT)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=message):
        locate(tmp_path / "a.safetensors", FORMAT)


def test_weights_of_another_library_are_named(tmp_path):
    save_file({"a.weight": np.zeros(2, np.float32)}, tmp_path / "a.safetensors", metadata={"format": "mlx"})
    with pytest.raises(ValueError, match="converted for MLX, with other layouts"):
        locate(tmp_path / "a.safetensors", FORMAT)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), prefix=st.sampled_from(["", "module.", ".", "_orig_mod."]))
def test_any_names_are_a_network_or_refused_in_words(tmp_path, seed, prefix):
    rng = np.random.default_rng(seed)
    words, known = ["module", "_orig_mod", "lora_A", "blocks", "0", "weight", "", "é"], sorted(draw(DIT, CONFIG))
    names = {prefix + ".".join(rng.choice(words, rng.integers(6))) for _ in range(rng.integers(1, 6))}
    names |= {prefix + name for name in rng.choice(known, rng.integers(12))}
    shapes = [(), (6,), (6, 6)]
    found = source(tmp_path, {name: np.zeros(shapes[rng.integers(3)], np.float32) for name in names})
    recognise(found, [OTHER, FORMAT])
    with pytest.raises(ValueError, match="is not a whole dit"):
        match(found, DIT, known=[FORMAT])
