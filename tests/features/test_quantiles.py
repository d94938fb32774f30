"""Quantiles against numpy, region by region, whatever the data type and the chunks."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from integrate.errors import ParameterError
from integrate.features.measure import measure
from integrate.features.quantiles import Quantiles
from integrate.model.image import make_image

PROBABILITIES = (0.0, 0.05, 0.333, 0.5, 0.95, 1.0)


def quantiles(image: Any, labels: Any) -> np.ndarray:
    names = [f"c{k}" for k in range(image.shape[0])]
    placed = make_image(image, channels=names, pixel_size_um=None)
    return measure(placed, labels, features=[Quantiles(PROBABILITIES)]).X


def slow(image: np.ndarray, masks: list[np.ndarray]) -> np.ndarray:
    rows = []
    for mask in masks:
        found = [channel[mask].astype(float) for channel in image]
        kept = [values[~np.isnan(values)] for values in found]
        rows.append([np.quantile(v, PROBABILITIES) if v.size else np.full(6, np.nan) for v in kept])
    return np.array(rows).reshape(len(masks), len(image) * len(PROBABILITIES))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_quantiles_equal_numpy_wherever_the_blocks_are_cut(dtype: str) -> None:
    @settings(max_examples=12, deadline=None)
    @given(seed=st.integers(0, 10_000), largest=st.sampled_from([1, 3, 100]), edge=st.integers(3, 13))
    def check(seed: int, largest: int, edge: int) -> None:
        rng = np.random.default_rng(seed)
        image = rng.integers(0, largest, (2, 13, 11), endpoint=True).astype(dtype)
        if dtype.startswith("float"):
            image[rng.random(image.shape) < 0.3] = np.nan
        labels = rng.choice([0, 1, 2, 70_000], (13, 11), p=[0.3, 0.4, 0.29, 0.01])
        expected = slow(image, [labels == i for i in np.unique(labels) if i])
        whole = quantiles(image, labels)
        np.testing.assert_allclose(whole, expected.reshape(whole.shape), rtol=1e-13, atol=1e-13)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("integrate.features.blocks._EDGE", 1)
            np.testing.assert_array_equal(quantiles(da.from_array(image, chunks=(1, edge, edge)), labels), whole)

    check()


def test_quantiles_of_outlines_that_overlap_or_are_empty() -> None:
    image = np.random.default_rng(0).integers(0, 9000, (2, 1100, 1100)).astype(np.uint16)
    outlines = [shapely.box(500, 500, 530, 530), shapely.box(480, 490, 520, 700), shapely.box(2000, 0, 2010, 9)]
    y, x = np.mgrid[:1100, :1100] + 0.5
    masks = [shapely.contains_xy(outline, x, y) for outline in outlines]
    lazy = da.from_array(image, chunks=(1, 550, 550))
    np.testing.assert_allclose(quantiles(lazy, outlines), slow(image, masks), rtol=1e-13)


def test_columns_are_named_after_their_probability_and_settings_are_checked() -> None:
    image = make_image(np.ones((1, 4, 4)), channels=["CD8"], pixel_size_um=None)
    table = measure(image, np.ones((4, 4), int), features=[Quantiles((0.05, 0.5, 0.995))])
    assert table.var_names.tolist() == ["CD8_q05", "CD8_median", "CD8_q99.5"]
    assert measure(image, np.zeros((4, 4), int), features=["quantiles"]).shape == (0, 5)
    with pytest.raises(ParameterError, match="expected numbers from 0 to 1"):
        Quantiles((50,))
    with pytest.raises(ParameterError, match="repeat"):
        Quantiles((0.5, 0.5))
