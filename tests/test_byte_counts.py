"""Byte counts: memory in binary units, files in decimal ones."""

import pytest

from worldkv_jax.byte_counts import format_bytes, format_file_size


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3.5 * 2**20, "3.5 MiB"), (2**42, "4096.0 GiB")]
)
def test_memory_is_counted_in_binary_units(size, text):
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (4_700_000, "4.7 MB"), (11_361_920_418, "11.36 GB")],
)
def test_files_are_counted_in_decimal_units(size, text):
    assert format_file_size(size) == text
