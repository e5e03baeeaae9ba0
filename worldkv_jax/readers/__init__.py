"""Readers of what people have: texts, JSON, arrays and series of files, whose errors name the file and what it is."""

from worldkv_jax.readers.arrays import read_array, read_arrays
from worldkv_jax.readers.foreign import check_file, what_it_is
from worldkv_jax.readers.series import find_series, in_order, numbers_of
from worldkv_jax.readers.texts import looks_like_path, read_json, read_text, text_or_file

__all__ = [
    "check_file",
    "find_series",
    "in_order",
    "looks_like_path",
    "numbers_of",
    "read_array",
    "read_arrays",
    "read_json",
    "read_text",
    "text_or_file",
    "what_it_is",
]
