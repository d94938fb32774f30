"""Texture, patterns, gradients and spread against scikit-image and the slow obvious version, for any chunks."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import shapely
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from skimage.filters import sobel

from integrate.errors import ParameterError
from integrate.features.measure import measure
from integrate.features.texture import Gradient, LocalPatterns, Spread, Texture
from integrate.features.tiles import make_tiles
from integrate.model.image import make_image

EVERY = [Texture(levels=8), LocalPatterns(), Gradient(), Spread()]


def as_image(data: np.ndarray | da.Array, **more: object) -> object:
    return make_image(data, channels=[f"c{k}" for k in range(data.shape[0])], pixel_size_um=None)


def frame(image: object, regions: object, features: list[object]) -> pd.DataFrame:
    table = measure(image, regions, features=features)  # type: ignore[arg-type]
    return table.to_df().set_index(table.obs["instance_id"].to_numpy())


def noise(edge: int = 64, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 4096, (channels, edge, edge), dtype=np.uint16)


def cells(edge: int = 64) -> np.ndarray:
    y, x = np.mgrid[:edge, :edge]
    return np.where((y % 21 - 10) ** 2 + (x % 21 - 10) ** 2 < 81, (y // 21) * 100 + x // 21 + 1, 0)


def test_texture_of_a_tile_is_that_of_scikit_image() -> None:
    pixels = noise(40)
    found = frame(as_image(pixels), np.ones((40, 40), int), [Texture(levels=16, limits=(0, 4096))]).loc[1]
    level = (pixels[0] // 256).astype(np.uint8)
    matrix = graycomatrix(level, [1], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], 16, symmetric=True, normed=True)
    for name, theirs in (
        ("contrast", "contrast"), ("dissimilarity", "dissimilarity"), ("homogeneity", "homogeneity"), ("asm", "ASM"),
        ("correlation", "correlation"), ("entropy", None),
    ):  # fmt: skip
        p = matrix[:, :, 0]
        entropy = -np.sum(p * np.log2(p, out=np.zeros_like(p), where=p > 0), axis=(0, 1)).mean()
        expected = entropy if theirs is None else graycoprops(matrix, theirs).mean()
        assert found[f"c0_texture_{name}"] == pytest.approx(expected, rel=1e-12), name


def test_texture_of_a_cell_counts_only_pairs_inside_it() -> None:
    pixels, labels = noise(), cells()
    found = frame(as_image(pixels), labels, [Texture(levels=8)])
    for instance in np.unique(labels[labels > 0]):
        inside = labels == instance
        low, high = pixels[0][inside].min(), pixels[0][inside].max()
        level = np.minimum(((pixels[0].astype(float) - low) / (high - low) * 8).astype(int), 7)
        values = []
        for dy, dx in ((0, 1), (1, 1), (1, 0), (1, -1)):
            pairs = [
                (level[y, x] - level[y + dy, x + dx]) ** 2
                for y, x in np.argwhere(inside)
                if 0 <= y + dy < 64 and 0 <= x + dx < 64 and inside[y + dy, x + dx]
            ]
            values.append(np.mean(pairs))
        assert found.loc[instance, "c0_texture_contrast"] == pytest.approx(np.mean(values), rel=1e-12)


def test_patterns_and_gradients_are_those_of_scikit_image() -> None:
    pixels, labels = noise(), cells()
    labels[[0, -1]] = labels[:, [0, -1]] = 0  # scikit-image pads the image, we leave its edge out
    found = frame(as_image(pixels), labels, [LocalPatterns(), Gradient()])
    pattern = local_binary_pattern(pixels[0].astype(float), 8, 1, method="uniform")
    slope = sobel(pixels[0].astype(float))
    for instance, row in found.iterrows():
        inside = labels == instance
        shares = np.bincount(pattern[inside].astype(int), minlength=10) / inside.sum()
        np.testing.assert_allclose(row[[f"c0_pattern_{k}" for k in range(10)]], shares, rtol=1e-12)
        assert row["c0_gradient_mean"] == pytest.approx(slope[inside].mean(), rel=1e-12)
        assert row["c0_gradient_std"] == pytest.approx(slope[inside].std(), rel=1e-10)


def test_spread_equals_its_definition() -> None:
    pixels, labels = noise(), cells()
    found = frame(as_image(pixels), labels, [Spread()])
    for instance, row in found.iterrows():
        values = pixels[0][labels == instance].astype(float)
        apart = np.abs(values[:, None] - values).mean()
        assert row["c0_gini"] == pytest.approx(apart / (2 * values.mean()), rel=1e-12)
        assert row["c0_mad"] == np.median(np.abs(values - np.median(values)))


@pytest.mark.parametrize("chunks", [(1, 13, 17), (2, 64, 20), (2, 30, 64)])
def test_chunks_and_threads_change_no_bit(chunks: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrate.features.blocks._EDGE", 8)
    pixels, labels = noise(channels=2).astype(np.float32), cells()
    labels[20:50, 60] = 2**40  # across most cuts
    whole = frame(as_image(pixels), labels, EVERY)
    cut = frame(as_image(da.from_array(pixels, chunks=chunks)), da.from_array(labels, chunks=(9, 11)), EVERY)
    np.testing.assert_array_equal(whole.to_numpy(), cut.to_numpy())
    assert whole.index.tolist() == cut.index.tolist()


def test_overlapping_outlines_and_tiles_are_each_measured_as_if_alone() -> None:
    image = as_image(noise())
    outlines = [shapely.box(4, 4, 30, 30), shapely.box(10, 10, 50, 44), shapely.Point(33, 33).buffer(9)]
    together = frame(image, outlines, EVERY)
    for number, outline in enumerate(outlines):
        np.testing.assert_array_equal(frame(image, [outline], EVERY).iloc[0], together.iloc[number])
    tiles = frame(image, make_tiles(image, size=32), [Texture()])  # type: ignore[arg-type]
    assert tiles.shape == (4, 8)
    assert tiles.notna().all(axis=None)


def test_what_cannot_be_said_is_missing() -> None:
    pixels = np.full((1, 8, 8), np.nan)
    pixels[0, :4] = 5.0
    labels = np.zeros((8, 8), int)
    labels[1:3, 1:6], labels[5:7, 1:6], labels[3, 7] = 1, 2, 3
    found = frame(as_image(pixels), labels, EVERY)
    assert np.isnan(found.loc[1, "c0_texture_correlation"])  # flat
    assert found.loc[1, "c0_texture_contrast"] == 0
    assert found.loc[1, "c0_gradient_mean"] == 0
    assert found.loc[1, "c0_gini"] == 0
    assert found.loc[1, "c0_pattern_8"] == 1
    assert found.loc[2].isna().all()  # nothing but NaN
    assert found.loc[3].drop(["c0_gini", "c0_mad"]).isna().all()  # one pixel, at the edge
    empty = measure(as_image(pixels), np.zeros((8, 8), int), features=EVERY)  # type: ignore[arg-type]
    assert empty.shape == (0, 8 + 10 + 2 + 2)


def test_settings_that_give_no_texture_are_refused() -> None:
    with pytest.raises(ParameterError, match="no texture statistic 'contrasts'"):
        Texture(statistics=("contrasts",))
    with pytest.raises(ParameterError, match="expected 2 to 1024"):
        Texture(levels=1)
    with pytest.raises(ParameterError, match="lower intensity first"):
        Texture(limits=(5, 5))
