"""Cutting without padding: blocks stay inside the array and leave no row out."""

import numpy as np
import pytest

from kernels_pallas.blocks import block_start, power_of_two_below, power_of_two_divisor


@pytest.mark.parametrize("total", [16, 17, 31, 32, 75])
def test_blocks_cover_every_row_and_no_other(total):
    starts = [int(block_start(block, 16, total)) for block in range(-(-total // 16))]
    rows = np.concatenate([np.arange(start, start + 16) for start in starts])
    np.testing.assert_array_equal(np.unique(rows), np.arange(total))


def test_powers_of_two():
    assert [power_of_two_divisor(n, 128) for n in (1, 12, 96, 5120)] == [1, 4, 32, 128]
    assert [power_of_two_below(n, 16) for n in (1, 5, 16, 3120)] == [1, 4, 16, 16]
