"""Files and folders of tensors look the same, and what is wrong with them is said."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from checkpoints.safetensors_files import read_safetensors
from checkpoints.sources import open_source
from tests.checkpoints.formats import write_shards
from tests.checkpoints.torch_writer import save_torch

EXAMPLE = Path(__file__).parents[1] / "goldens" / "lingbot_world" / "h_ckpt"  # saved by diffusers
TENSORS = {f"blocks.{i}.w": np.arange(i, i + 6, dtype=np.float32).reshape(2, 3) for i in range(7)}
INDEX = "diffusion_pytorch_model.safetensors.index.json"
SHARD = "diffusion_pytorch_model-0000{}-of-00003.safetensors"


def same(source, tensors):
    assert source.tensors.keys() == tensors.keys()
    for name, want in tensors.items():
        assert source.tensors[name].dtype == want.dtype
        np.testing.assert_array_equal(source.tensors[name].open(), want)


@pytest.fixture
def shards(tmp_path):
    write_shards(tmp_path, TENSORS)
    return tmp_path


def test_a_folder_that_diffusers_saved():
    source = open_source(EXAMPLE)
    assert source.config["num_heads"] == 2 and len(source.files) == 4
    assert {tensor.dtype.name for tensor in source.tensors.values()} == {"bfloat16"}
    for file in source.files:
        for name, want in load_file(file.path).items():
            np.testing.assert_array_equal(source.tensors[name].open(), want)
    assert source.size == sum(file.path.stat().st_size for file in source.files)


def test_all_forms_of_a_checkpoint(tmp_path, shards):
    (shards / "config.json").write_text('{"dim": 3}')
    same(open_source(shards), TENSORS)
    same(open_source(str(shards / INDEX)), TENSORS)
    assert open_source(shards / INDEX).config == open_source(shards).config == {"dim": 3}
    one = tmp_path / "one"
    one.mkdir()
    save_file(TENSORS, one / "model.safetensors")
    same(open_source(one), TENSORS)
    same(open_source(one / "model.safetensors"), TENSORS)
    save_torch(tmp_path / "a.pth", TENSORS)
    same(open_source(tmp_path / "a.pth"), TENSORS)
    only_torch = tmp_path / "torch"
    only_torch.mkdir()
    save_torch(only_torch / "pytorch_model.bin", TENSORS)
    same(open_source(only_torch), TENSORS)


def test_the_name_of_a_file_does_not_matter(tmp_path):
    save_torch(tmp_path / "a.safetensors", TENSORS)
    same(open_source(tmp_path / "a.safetensors"), TENSORS)
    save_file(TENSORS, tmp_path / "a.pth")
    same(open_source(tmp_path / "a.pth"), TENSORS)


def test_narrow_dtypes(tmp_path):
    tensors = {
        np.dtype(dtype).name: np.arange(4).astype(dtype)
        for dtype in (
            ml_dtypes.bfloat16,
            np.float16,
            ml_dtypes.float8_e4m3fn,
            ml_dtypes.float8_e5m2,
            np.int64,
            np.bool_,
        )
    }
    save_file(tensors, tmp_path / "a.safetensors")
    same(open_source(tmp_path / "a.safetensors"), tensors)


def test_the_configuration_beside_a_file_counts_only_if_the_file_is_alone(tmp_path):
    (tmp_path / "config.json").write_text('{"dim": 3}')
    save_file(TENSORS, tmp_path / "a.safetensors")
    assert open_source(tmp_path / "a.safetensors").config == {"dim": 3}
    save_torch(tmp_path / "vae.pth", TENSORS)
    assert open_source(tmp_path / "a.safetensors").config == {}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "pointer of Git LFS"),
        (b"\x80\x02\x8a\nl\xfc\x9cF", "before 1.6"),
        (b"<!DOCTYPE html>", "neither a safetensors file nor"),
        (b"\x20\0\0\0\0\0\0\0{", "not a whole safetensors file"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff{", "not a whole safetensors file"),  # a header of absurd size
        (b"PK\x03\x04", "not a whole zip archive"),
    ],
)
def test_files_that_are_none(tmp_path, data, message):
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        open_source(tmp_path / "a.safetensors")
    assert "a.safetensors" in str(error.value)


def write_safetensors(path, header, data=bytes(16)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"a": {"dtype": "F32", "shape": [5], "data_offsets": [0, 20]}}, "not a whole safetensors file"),
        ({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 12]}}, "not a whole safetensors file"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, "not a whole safetensors file"),
        ({"a": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]}}, "not a whole safetensors file"),
        (
            {name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for name in "ab"},
            "not a whole safetensors file",
        ),
        ({"a": {"dtype": "F8_E8M0", "shape": [16], "data_offsets": [0, 16]}}, "tensors of F8_E8M0"),
        ({"a": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 16]}}, "not a whole"),
        (b"{" * 1000, "not a whole safetensors file"),
        (
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
            "names a twice in its header",
        ),
    ],
)
def test_safetensors_whose_header_lies(tmp_path, header, message):
    write_safetensors(tmp_path / "a.safetensors", header)
    with pytest.raises(ValueError, match=message):
        open_source(tmp_path / "a.safetensors")


def test_truncated_files(tmp_path):
    save_file(TENSORS, tmp_path / "a.safetensors")
    save_torch(tmp_path / "a.pth", TENSORS)
    for path in (tmp_path / "a.safetensors", tmp_path / "a.pth"):
        whole = path.read_bytes()
        for length in (7, 8, 20, 100, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match=path.name):
                open_source(path)


def test_all_problems_of_shards_are_listed(shards):
    (shards / SHARD.format(1)).unlink()
    save_file({"blocks.1.w": TENSORS["blocks.1.w"], "extra.0.w": np.zeros(1, np.float32)}, shards / SHARD.format(2))
    data = (shards / SHARD.format(3)).read_bytes()
    (shards / SHARD.format(3)).write_bytes(data[:-1])
    with pytest.raises(ValueError) as error:
        open_source(shards)
    lines = str(error.value).splitlines()
    assert "and its shards do not fit together; get them again" in lines[0]
    assert lines[1] == f"  shard {SHARD.format(1)} is missing"
    assert SHARD.format(3) in lines[2] and "not a whole safetensors file" in lines[2]
    assert lines[3:] == [
        f"  blocks.4.w: not in {SHARD.format(2)}, where the index has it",
        f"  extra.0.w: in {SHARD.format(2)}, but the index has it nowhere",
    ]


def test_a_tensor_in_two_shards_is_an_error(shards):
    path = shards / SHARD.format(2)
    save_file({**load_file(path), "blocks.0.w": TENSORS["blocks.0.w"]}, path)
    with pytest.raises(
        ValueError, match=rf"blocks.0.w: in {SHARD.format(2)}, but the index has it in {SHARD.format(1)}"
    ):
        open_source(shards)


@pytest.mark.parametrize("name", ["../out.safetensors", "/tmp/out.safetensors", "a/b.safetensors", "..\\out", "..", ""])
def test_an_index_cannot_lead_out_of_its_folder(shards, name):
    save_file(TENSORS, shards.parent / "out.safetensors")
    index = json.loads((shards / INDEX).read_text())
    index["weight_map"]["blocks.0.w"] = name
    (shards / INDEX).write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"not a plain file name|is missing"):
        open_source(shards)


def test_links_are_followed(tmp_path, shards):
    """Whoever keeps one copy of large files links to it; the advice to give that path itself could not be taken."""
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (shards / SHARD.format(1)).rename(elsewhere / "a.safetensors")
    (shards / SHARD.format(1)).symlink_to(elsewhere / "a.safetensors")
    (elsewhere / "all").symlink_to(shards)
    for path in (shards, elsewhere / "all"):
        same(open_source(path), TENSORS)
    (elsewhere / "a.safetensors").unlink()
    with pytest.raises(ValueError, match=r"is a link to .*a\.safetensors, which is not there"):
        open_source(shards)
    (tmp_path / "alone.safetensors").symlink_to(".git/annex/objects/x")
    with pytest.raises(FileNotFoundError, match=r"alone\.safetensors is a link to \.git/annex/objects/x, which is not"):
        open_source(tmp_path / "alone.safetensors")


def test_the_cache_of_the_hub_is_known(tmp_path):
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "1234" / "dit"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    write_shards(blobs, TENSORS)
    for number, file in enumerate(sorted(blobs.iterdir())):
        file.rename(blobs / f"blob{number}")
        (snapshot / file.name).symlink_to(Path("../../../blobs") / f"blob{number}")
    same(open_source(snapshot), TENSORS)
    for path, message in (
        (tmp_path / "models--a--b", r"download cache of a model; give .*snapshots/1234"),
        (blobs, r"part of the download cache of a model: .*give .*snapshots/1234"),
        (tmp_path, r"download cache of models--a--b; give the snapshot of one"),
    ):
        with pytest.raises(FileNotFoundError, match=f"has no tensors: .*; it is .*{message}"):
            open_source(path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"weight_map": []}', '{"weight_map": {"a": 1}}', '{"weight_map": {}}', "[" * 100_000, "{}"]
)
def test_an_index_that_is_none(shards, text):
    (shards / INDEX).write_text(text)
    with pytest.raises(ValueError, match=INDEX):
        open_source(shards)


def test_folders_without_or_with_too_many_tensors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"does not exist"):
        open_source(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"has no tensors: no \*.safetensors, no \*.pth"):
        open_source(tmp_path)
    for name in "ab":
        save_file(TENSORS, tmp_path / f"{name}.safetensors")
    with pytest.raises(ValueError, match=r"2 files \*.safetensors \(a.safetensors, b.safetensors\), expected one"):
        open_source(tmp_path)


def test_what_is_no_regular_file(tmp_path):
    import os

    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="not a regular file"):
        open_source(tmp_path / "a.safetensors")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.safetensors").mkdir()
    with pytest.raises(FileNotFoundError, match="has no tensors"):
        open_source(tmp_path / "b")


def test_hidden_files_are_passed_over(shards):
    for path in list(shards.iterdir()):
        (shards / f"._{path.name}").write_bytes(b"\0\5\x16\7" + bytes(20))
    same(open_source(shards), TENSORS)
    with pytest.raises(ValueError, match="an AppleDouble file, which macOS writes"):
        open_source(shards / f"._{SHARD.format(1)}")


def test_shards_without_their_index(shards):
    (shards / INDEX).unlink()
    same(open_source(shards), TENSORS)
    save_file(TENSORS, shards / SHARD.format(2))
    with pytest.raises(ValueError, match=r"shards that do not fit together(.|\n)*: in 2 shards"):
        open_source(shards)
    (shards / SHARD.format(2)).unlink()
    with pytest.raises(ValueError, match=r"has 2 of 3 shards and no index of them; missing: 2\. Get the others"):
        open_source(shards)


@pytest.mark.parametrize("suffix", [".aria2", ".incomplete", ".part", ".crdownload"])
def test_unfinished_downloads_are_named(tmp_path, suffix):
    """Some programs make the file in its full size at once: of zeros, it would be read as a whole one."""
    save_file(TENSORS, tmp_path / "a.safetensors")
    (tmp_path / f"a.safetensors{suffix}").touch()
    for path in (tmp_path / "a.safetensors", tmp_path):
        with pytest.raises(ValueError, match=rf"a download that is not finished: a\.safetensors\{suffix} lies beside"):
            open_source(path)
    (tmp_path / "a.safetensors").rename(tmp_path / f"a.safetensors{suffix}")
    with pytest.raises(FileNotFoundError, match=r"has downloads that are not finished \(a\.safetensors"):
        open_source(tmp_path)
    with pytest.raises(ValueError, match="is a download that is not finished"):
        open_source(tmp_path / f"a.safetensors{suffix}")


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"GGUF\3\0\0\0", "a GGUF file of quantised weights"),
        (b"/annex/objects/SHA256E-s1", "a pointer of git-annex"),
        (
            b"<!DOCTYPE html><title>Log in",
            "a web page; the download asked for a login",
        ),
        (bytes(100), "zeros, as an unfinished or broken download"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
    ],
)
def test_files_of_other_kinds_are_named(tmp_path, start, message):
    (tmp_path / "a.pth").write_bytes(start)
    with pytest.raises(ValueError, match=rf"a\.pth is {message}|a\.pth is neither .*{message}"):
        open_source(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model_index.json", "a pipeline as diffusers writes it"),
        ("adapter_config.json", "an adapter"),
        ("model-Q4.gguf", "GGUF files of quantised weights"),
        ("sub/model.safetensors", "there are some in sub; give that folder"),
        (".cache/huggingface/download/x.safetensors.incomplete", "downloads that are not finished"),
    ],
)
def test_folders_without_tensors_are_named(tmp_path, name, message):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=f"has no tensors.*; it has {message}|has no tensors.*{message}"):
        open_source(tmp_path)


def test_a_header_whose_length_looks_like_a_pickle(tmp_path):
    """Its 640 bytes are written as 80 02, with which the PyTorch files before 1.6 begin."""
    head = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode().ljust(640)
    (tmp_path / "a.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(8))
    assert open_source(tmp_path / "a.safetensors").tensors["a"].shape == (2,)


def test_a_folder_or_a_device_in_place_of_a_safetensors_file_is_named(tmp_path):
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):  # and not: no such device
        read_safetensors(tmp_path)
    with pytest.raises(ValueError, match="/dev/null is not a whole safetensors file"):
        read_safetensors(Path("/dev/null"))
