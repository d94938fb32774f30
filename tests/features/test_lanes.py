"""Pixels summed sixteen at a time against the same sums one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from integrate.features import kernels
from integrate.features.blocks import Block, Window, find_block, group_runs
from integrate.features.fingerprint import Fingerprint
from integrate.features.lane_kernels import LANES, sum_and_print


def noisy_block(rng: np.random.Generator, shape: tuple[int, int], longest: int) -> Block:
    """Regions of runs of every length, also up to the last pixel."""
    ends = rng.integers(1, longest + 1, shape[0] * shape[1]).cumsum()
    labels = rng.integers(0, 5, ends.size)[np.searchsorted(ends, np.arange(shape[0] * shape[1]), side="right")]
    return find_block(labels.reshape(shape).astype(np.int32), Window(0, shape[0], 0, shape[1]))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 70)).filter(lambda shape: shape[0] * shape[1] >= LANES),
    longest=st.sampled_from([1, 3, 15, 16, 17, 60, 3000]),
    largest=st.sampled_from([1, 255, 65_535]),
)
def test_lanes_give_the_sums_extremes_and_prints_of_one_pixel_at_a_time(
    seed: int, shape: tuple[int, int], longest: int, largest: int
) -> None:
    rng = np.random.default_rng(seed)
    block = noisy_block(rng, shape, longest)
    dtype = np.uint8 if largest < 256 and seed % 2 else np.uint16
    pixels = rng.choice(np.array([0, 1, largest], dtype), shape)
    keys = Fingerprint(shape).keys(block.window)
    expected = kernels.sum_integers(len(block.ids), pixels, *block.runs)
    printed = kernels.fingerprint(pixels, block.row, block.start, block.stop, *keys)
    for runs in (block.runs, group_runs(block).runs):  # row by row, and region by region
        *sums, found = sum_and_print(len(block.ids), pixels, keys, *runs)
        for mine, theirs in zip(sums, expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert int(found) == int(printed)


def test_grouped_runs_are_the_same_runs_region_by_region_in_their_order() -> None:
    block = noisy_block(np.random.default_rng(0), (30, 50), 9)
    grouped = group_runs(block)
    assert np.count_nonzero(np.diff(grouped.region)) == len(block.ids) - 1
    for r in range(len(block.ids)):
        for mine, theirs in zip(grouped.runs, block.runs, strict=True):
            np.testing.assert_array_equal(mine[grouped.region == r], theirs[block.region == r])
