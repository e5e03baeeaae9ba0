"""Arrays from .npy files: what is in them, or what they are instead."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldkv_jax.readers import read_array, read_arrays


@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3), np.arange(3, dtype=">f4"), np.zeros((0, 4)), np.float64(3)]
)
def test_what_was_saved_comes_back(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy"), array)


def test_what_is_no_array_of_numbers_is_named(tmp_path):
    path = tmp_path / "a.npy"
    for save, message in (
        (lambda: path.write_bytes(b""), "an empty file"),
        (lambda: path.write_bytes(b"\x89PNG" + bytes(9)), "a PNG picture"),
        (lambda: path.write_text("1 2 3"), "cannot be read as a .npy array of poses"),
        (lambda: np.savez(path.open("wb"), data=np.zeros(3), poses=np.zeros(3)), "a .npz archive of data, poses"),
        (lambda: np.save(path, np.array([None])), "cannot be read as a .npy array of poses"),
        (lambda: np.save(path, np.array(["a"])), "holds <U1, expected real numbers such as float32: poses"),
        (lambda: np.save(path, np.array([True])), "holds bool"),
        (lambda: np.save(path, np.zeros(3, complex)), "holds complex128"),
        (lambda: np.save(path, np.zeros(11)), "has shape \\(11,\\), which holds more numbers than 10 frames"),
    ):
        save()
        with pytest.raises(ValueError, match=rf"a\.npy .*{message}"):
            read_array(path, what="poses", most=(10, "10 frames"))
    with pytest.raises(FileNotFoundError, match=r"b\.npy is not there; expected a .npy array of poses"):
        read_array(tmp_path / "b.npy", what="poses")


@given(data=st.data())
def test_damage_is_named(tmp_path_factory, data):
    file = io.BytesIO()
    np.save(file, np.arange(5.0))
    content = bytearray(file.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.npy"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert read_array(path).dtype.kind in "fiu"
    except ValueError as error:
        assert "damaged.npy" in str(error)


def test_archives_are_weighed_before_they_are_unpacked(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(1000), b=np.arange(3))
    assert path.stat().st_size < 1000
    np.testing.assert_array_equal(read_arrays(path)["b"], [0, 1, 2])
    with pytest.raises(ValueError, match=r"a\.npz cannot be read as arrays: it unpacks to 8,\d+ bytes"):
        read_arrays(path, limit=2000)


def test_an_archive_whose_array_promises_more_than_it_holds_is_refused(tmp_path):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (1 << 50,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", head.getvalue() + bytes(8))
    with pytest.raises(ValueError, match=r"a\.npz cannot be read as arrays"):
        read_arrays(tmp_path / "a.npz")
