"""PyTorch files are read as PyTorch reads them, lazily, and nothing in them is ever run."""

import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from checkpoints.tensors import DTYPES
from checkpoints.torch_files import read_torch
from checkpoints.torch_pickle import read_pickle
from tests.checkpoints.torch_writer import number, save_torch, tensor, text, write_archive

DATA = Path(__file__).parent / "data"  # written by PyTorch 2.13 on a CPU
RECORDED = json.loads((DATA / "tensors.json").read_text())


@pytest.mark.parametrize("name", RECORDED)
def test_files_that_pytorch_wrote(name):
    file = read_torch(DATA / name)
    file.verify(lambda _: None)
    assert file.tensors.keys() == RECORDED[name].keys()
    for key, want in RECORDED[name].items():
        tensor = file.tensors[key]
        assert (tensor.name, tensor.dtype.name, list(tensor.shape)) == (key, want["dtype"], want["shape"])
        array = tensor.open()
        assert array.shape == tensor.shape and array.dtype == DTYPES[want["dtype"]]
        assert array.tobytes().hex() == want["data"]
        assert array.size == 0 or not array.flags.writeable


def test_what_is_no_tensor_is_named(tmp_path):
    pickle = b"\x80\x02}(" + text("step") + b"K\x03" + text("w") + tensor("0", "float32", 1, (1,)) + b"u."
    write_archive(tmp_path / "a.pth", pickle, {"0": bytes(4)})
    file = read_torch(tmp_path / "a.pth")
    assert list(file.tensors) == ["w"] and file.ignored == ("step",)


def test_views_share_the_file(tmp_path):
    save_torch(tmp_path / "a.pth", {"a": np.arange(6.0, dtype=np.float32)})
    tensor = read_torch(tmp_path / "a.pth").tensors["a"]
    assert np.shares_memory(tensor.open(), tensor.open())
    assert tensor.nbytes == 24 and tensor.size == 6 and tensor.file == tmp_path / "a.pth"


@pytest.mark.torch
def test_pytorch_and_we_read_the_same(tmp_path):
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(1)
    base = torch.randn(7, 6, 5, generator=generator)
    state = {
        "base": base,
        "permuted": base.permute(2, 0, 1),
        "part": base[2:5, ::3, 1:],
        "half": base.half()[1],
        "bfloat16": base.bfloat16().transpose(0, 1),
        "narrow": base.to(torch.float8_e4m3fn),
    }
    for protocol in (2, 3, 4, 5):
        path = tmp_path / f"{protocol}.pth"
        torch.save(state, path, pickle_protocol=protocol)
        ours = read_torch(path).tensors
        for name, theirs in state.items():
            theirs = theirs.contiguous().reshape(-1).view(torch.uint8).numpy()
            assert ours[name].open().tobytes() == theirs.tobytes(), (protocol, name)


# --- hostile and damaged files ---


class Evil:
    """What unpickling would run."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {}",), "system"),
        (eval, ("open({!r}, 'w')",), "eval"),
        (open, ("{}", "w"), "open"),
        (getattr, ("a", "upper"), "getattr"),
    ],
)
def test_a_pickle_that_calls_anything_is_refused_by_name(tmp_path, protocol, function, arguments, name):
    trace = tmp_path / "trace"
    evil = Evil(function, *(argument.format(str(trace)) for argument in arguments))
    for state in (evil, {"a": evil}, {"a": [1, (evil,)]}):
        write_archive(tmp_path / "evil.pth", pickle.dumps(state, protocol=protocol), {})
        with pytest.raises(ValueError, match=rf"evil\.pth.*calls .*{name}.*nothing was run"):
            read_torch(tmp_path / "evil.pth")
        assert not trace.exists()


def test_all_refused_names_are_listed_before_anything_runs():
    with pytest.raises(ValueError, match=r"calls a\.b, os\.system, torch\.load,"):
        read_pickle(b"\x80\x02cos\nsystem\nca\nb\nctorch\nload\n.")


@pytest.mark.parametrize("instruction", [b"\x85\x81.", b"(ios\nsystem\n.", b"(cos\nsystem\no.", b"\x82\x01.", b"I1\n."])
def test_instructions_that_state_dicts_do_not_need_are_refused(instruction):
    with pytest.raises(ValueError, match=r"calls|uses the instruction|damaged"):
        read_pickle(b"\x80\x02)" + instruction)


def test_no_name_of_the_list_can_be_misused():
    ordered = b"ccollections\nOrderedDict\n"
    for data in (
        ordered + b"}b.",  # a state for the class itself
        ordered + b"(K\x01tR.",
        ordered + b"((((((" + b"t" * 5 + b"N\x86\x85\x85R.",
        b"ctorch\nFloatStorage\n)R.",  # a dtype is no function
        b"K\x01)R.",
        b"}K\x01K\x02s)R.",
    ):
        with pytest.raises(ValueError, match="damaged"):
            read_torch_pickle(data)


def read_torch_pickle(data):
    result = read_pickle(b"\x80\x02" + data)
    if not isinstance(result, dict):
        raise ValueError("damaged")
    return result


def test_a_state_beside_a_dictionary_is_skipped():
    assert read_pickle(b"\x80\x02}" + text("a") + b"K\x01s}" + text("x") + b"K\x02sb.") == {"a": 1}
    replaces_a_method = b"ccollections\nOrderedDict\n)R(N}" + text("items") + b"K\x01stb."
    assert list(read_pickle(b"\x80\x02" + replaces_a_method).items()) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02.",
        b"\x80\x02}}.",  # two results
        b"\x80\x02u.",
        b"\x80\x02(u.",
        b"\x80\x02}(K\x01u.",  # a key without value
        b"\x80\x02}((tK\x01u.",  # a key that is no text
        b"\x80\x02h\x05.",  # memory that was never written
        b"\x80\x02N\x85\x85\x85" + b"\x85" * 100_000 + b"}" + b"K\x01s.",
        b"\x80\x02}" + b"(" + b"N" + b"\x85" * 100_000 + b"K\x01u.",  # hashing this key would run out of stack
        b"\x80\x02}r\xff\xff\xff\xffj\xff\xff\xff\x7f.",
        b"\x80\x02X\xff\xff\xff\x7fabc.",  # a text of two gigabytes
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.",
        b"\x80\x02(((((((((((((((",
        b"\x80\x02]K\x01a]e.",
        b"\x80\x02Q.",
        b"\x80\x02NQ.",
    ],
)
def test_damaged_pickles(data):
    try:
        result = read_pickle(data)
    except ValueError as error:
        assert len(str(error)) < 1000
    else:
        assert result in ({}, None)


def test_a_place_far_out_in_memory_takes_no_memory():
    assert read_pickle(b"\x80\x02}r\xff\xff\xff\xffj\xff\xff\xff\xff0.".replace(b"0.", b"\x86.")) == ({}, {})


def archive(tmp_path, pickle, storages, **options):
    write_archive(tmp_path / "a.pth", b"\x80\x02" + pickle + b".", storages, **options)
    return tmp_path / "a.pth"


def one(*arguments, **options):
    return b"}" + text("w") + tensor("0", "float32", *arguments, **options) + b"s"


@pytest.mark.parametrize(
    ("pickle", "storages", "message"),
    [
        (one(4, (2, 2)), {}, "the data of tensor w is missing"),
        (one(4, (2, 2)), {"0": bytes(12)}, "has 12 bytes, expected 16"),
        (one(4, (2, 3)), {"0": bytes(16)}, "tensor w reaches outside its data"),
        (one(1, (1 << 40, 1 << 20), strides=(0, 0)), {"0": bytes(4)}, "tensor w repeats 4 bytes of data to 4,611,"),
        (one(4, (2, 2), offset=1), {"0": bytes(16)}, "tensor w reaches outside"),
        (one(4, (2, 2), strides=(1 << 60, 1)), {"0": bytes(16)}, "tensor w reaches outside"),
        (one(4, (1 << 62, 1 << 62)), {"0": bytes(16)}, "tensor w reaches outside"),
        (one(4, (2, 2), offset=-1), {"0": bytes(16)}, "not whole numbers"),
        (one(4, (2, 2), strides=(-2, 1)), {"0": bytes(16)}, "not whole numbers"),
        (one(4, (2, 2), strides=(1,)), {"0": bytes(16)}, "without storage, dtype or strides"),
        (one(-4, (2, 2)), {"0": bytes(16)}, "storage without name or length"),
        (b"}", {}, "holds a dict without tensors"),
        (b"]", {}, "holds a list without tensors"),
        (b"K\x01", {}, "holds a int without tensors"),
        (
            b"}" + text("a") + one(1, (1,)) + b"s" + text("b") + one(1, (1,)) + b"s",
            {"0": bytes(4)},
            r"several state dicts \(a, b\)",
        ),
    ],
)
def test_tensors_that_cannot_be(tmp_path, pickle, storages, message):
    with pytest.raises(ValueError, match=message):
        read_torch(archive(tmp_path, pickle, storages))


def test_a_dictionary_that_contains_itself_ends(tmp_path):
    with pytest.raises(ValueError, match="without tensors"):
        read_torch(archive(tmp_path, b"}q\x00" + text("a") + b"h\x00s", {}))


def test_compressed_members_are_refused(tmp_path):
    path = archive(tmp_path, one(1 << 20, (1 << 20,)), {"0": bytes(4 << 20)}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 16
    with pytest.raises(ValueError, match="compressed"):
        read_torch(path)


def test_members_inside_another_are_refused(tmp_path):
    """Many tensors of the same bytes would be a bomb."""
    path = archive(tmp_path, one(4, (2, 2)), {"0": bytes(16), "1": bytes(16)})
    data = bytearray(path.read_bytes())
    # The directory entry of the second storage points to the header of the first.
    first, second = (data.rindex(f"archive/data/{name}".encode()) - 4 for name in "01")
    data[second : second + 4] = data[first : first + 4]
    path.write_bytes(data)
    with pytest.raises(ValueError, match="not where the archive says"):
        read_torch(path)


def test_archives_of_other_kinds(tmp_path):
    for names, message in [
        (["a/data.pkl", "b/data.pkl"], "2 files"),
        (["data.txt"], "0 files"),
        (["a/data.pkl", "a/constants.pkl"], "TorchScript"),
    ]:
        with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
            for name in names:
                archive.writestr(name, b"\x80\x02}.")
        with pytest.raises(ValueError, match=message):
            read_torch(tmp_path / "a.pth")


def test_another_byte_order_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/byteorder", "big")
    with pytest.raises(ValueError, match="byte order is b'big', expected little"):
        read_torch(tmp_path / "a.pth")


def test_flipped_bits_are_found(tmp_path):
    path = tmp_path / "a.pth"
    save_torch(path, {"a": np.arange(1000, dtype=np.float32)})
    data = bytearray(path.read_bytes())
    data[data.index(struct.pack("<f", 500.0))] ^= 4
    path.write_bytes(data)
    file = read_torch(path)  # the data is not read
    with pytest.raises(ValueError, match=r"checksum of archive/data/0 is wrong"):
        file.verify(lambda _: None)


def test_a_huge_pickle_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("checkpoints.torch_files._MAX_PICKLE", 100)
    save_torch(tmp_path / "a.pth", {"a": np.zeros(3, ml_dtypes.bfloat16)})
    with pytest.raises(ValueError, match="expected at most 100"):
        read_torch(tmp_path / "a.pth")


def test_numbers_of_the_writer():
    assert read_pickle(b"\x80\x02" + number(-(1 << 40)) + b".") == -(1 << 40)


def test_tensors_alone(tmp_path):
    """Latents are saved without a dictionary."""
    one = b"\x80\x02" + tensor("0", "float32", 6, (2, 3)) + b"."
    two = b"\x80\x02](" + tensor("0", "float32", 6, (2, 3)) + tensor("0", "float32", 6, (6,)) + b"e."
    data = np.arange(6, dtype=np.float32)
    for pickled, want in ((one, {"tensor": (2, 3)}), (two, {"0": (2, 3), "1": (6,)})):
        write_archive(tmp_path / "a.pth", pickled, {"0": data.tobytes()})
        found = read_torch(tmp_path / "a.pth").tensors
        assert {name: item.shape for name, item in found.items()} == want
        for item in found.values():
            np.testing.assert_array_equal(item.open().ravel(), data)
