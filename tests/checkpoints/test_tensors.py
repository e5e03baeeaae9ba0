"""Copies of tensors: any strides, casts to the nearest number, nothing lost silently."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from checkpoints.listing import fold, fold_by_text
from checkpoints.parameter_paths import flatten, unflatten
from checkpoints.tensors import DTYPES, aligned_empty, common_dtype, copy_as, give_back_pages, is_floating, map_file

BF16 = ml_dtypes.bfloat16


@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (130, 70), (3, 3, 3, 65, 66)])
@pytest.mark.parametrize("dtype", [np.float32, BF16, np.float16])
def test_copies_equal_numpy(shape, dtype):
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for view in (array, array.T, array[..., ::-1] if shape else array, np.broadcast_to(array, (2, *shape))):
        copy = copy_as(view, dtype)
        assert copy.flags.c_contiguous and copy.dtype == dtype and not np.shares_memory(copy, array)
        np.testing.assert_array_equal(copy, view.astype(dtype))


def test_casts_round_to_nearest_even():
    # bfloat16 keeps 8 bits: 1 + 1/256 lies between 1 and 1 + 1/128.
    values = np.array([1 + 1 / 256, 1 + 3 / 256, 1 + 1 / 256 + 2**-20, -1 - 1 / 256], np.float32)
    np.testing.assert_array_equal(copy_as(values, BF16).astype(np.float32), [1, 1 + 1 / 64, 1 + 1 / 128, -1])
    np.testing.assert_array_equal(copy_as(values, BF16), np.asarray(jnp.asarray(values).astype(jnp.bfloat16)))


def test_what_is_not_a_number_stays():
    values = np.array([np.nan, np.inf, -np.inf, 0, -0.0], np.float32)
    for dtype in (BF16, np.float16, np.float32):
        copy = copy_as(values, dtype).astype(np.float32)
        np.testing.assert_array_equal(copy, values)
        assert np.signbit(copy[-1])


def test_numbers_too_large_for_float16_are_an_error():
    for dtype in (np.float32, BF16):
        with pytest.raises(ValueError, match="above 65504, which float16 cannot; use bfloat16"):
            copy_as(np.array([1, 70000], dtype), np.float16)


def test_dtypes_of_stacks():
    f32, bf16, f16 = (np.dtype(name) for name in (np.float32, BF16, np.float16))
    assert common_dtype({bf16}, None) == bf16
    assert common_dtype({bf16, f16}, None) == f32
    assert common_dtype({f32, bf16}, f16) == f16
    assert common_dtype({np.dtype(np.int64)}, f16) == np.int64
    assert [name for name, dtype in DTYPES.items() if is_floating(dtype)] == [
        "float32",
        "float16",
        "bfloat16",
        "float8_e4m3fn",
        "float8_e5m2",
    ]


def test_an_empty_file_can_be_mapped(tmp_path):
    (tmp_path / "empty").touch()
    assert map_file(tmp_path / "empty").size == 0


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux says which pages a process holds")
def test_pages_that_were_read_are_given_back(tmp_path):
    path = tmp_path / "file"
    np.arange(2**20, dtype=np.float32).tofile(path)

    def resident():
        maps = Path("/proc/self/smaps").read_text().partition(str(path))[2]
        return 1024 * int(re.search(r"Rss: +(\d+)", maps)[1])

    data = map_file(path)
    tensor = data[4096:].view(np.float32).reshape(-1, 1024).T
    total = tensor.sum(dtype=np.float64)
    assert resident() > tensor.nbytes / 2
    give_back_pages(tensor)
    assert resident() < tensor.nbytes / 8
    assert tensor.sum(dtype=np.float64) == total
    for unmapped in (np.ones(3), np.ones((2, 3)).T, data[:0]):
        give_back_pages(unmapped)
    assert unmapped.size == 0


def test_lists_are_folded():
    names = [f"blocks.{i}.a" for i in (0, 1, 2, 5)] + ["blocks.7.b", "head.0", "x"]
    assert fold(names) == ["blocks.{0-2,5}.a", "blocks.7.b", "head.0", "x"]
    assert fold(["a2.b"]) == ["a2.b"]  # a number is a whole word
    assert fold_by_text({"b.0.w": "bad", "b.1.w": "bad", "b.2.w": "worse"}) == ["b.{0-1}.w: bad", "b.2.w: worse"]


def test_paths_of_parameters():
    params = {"blocks": {0: {"w": 1}, 10: {"w": 2}}, "head": 3}
    assert flatten(params) == {"blocks/0/w": 1, "blocks/10/w": 2, "head": 3}
    assert unflatten(params, {"head": 6, "blocks/10/w": 5, "blocks/0/w": 4}) == {
        "blocks": {0: {"w": 4}, 10: {"w": 5}},
        "head": 6,
    }


@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (5, 7)])
@pytest.mark.parametrize("dtype", [np.float32, BF16])
def test_jax_takes_over_aligned_memory(shape, dtype):
    memory = aligned_empty(shape, dtype)
    assert memory.shape == shape and memory.dtype == dtype and memory.flags.c_contiguous
    memory[...] = 1
    array = jax.device_put(memory)
    np.testing.assert_array_equal(array, memory)
    assert not memory.size or array.unsafe_buffer_pointer() == memory.ctypes.data
