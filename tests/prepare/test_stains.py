"""Stains against scikit-image, lazily and on a real slide; tissue, tiles on it, rings and ratios against truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import shapely
import xarray as xr
from skimage.color import rgb2hed

import integrate as ig
from integrate.errors import DataError, ParameterError
from integrate.model.image import make_image, make_labels

COLOURS = ["red", "green", "blue"]


def colour(pixels: np.ndarray | da.Array, size: float | None = 0.5) -> xr.DataArray:
    return make_image(pixels, channels=COLOURS, pixel_size_um=None if size is None else (size, size))


def test_stains_are_those_of_scikit_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 30), dtype=np.uint8)
    found = ig.separate_stains(colour(pixels))
    expected = np.moveaxis(rgb2hed(np.moveaxis(pixels, 0, -1)), -1, 0)
    assert found.c.values.tolist() == ["haematoxylin", "eosin", "dab"]
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    floats = ig.separate_stains(colour(pixels / 255.0), stains=["dab"], white=1.0)
    np.testing.assert_allclose(floats.values[0], expected[2], atol=1e-6)


def test_stains_of_a_lazy_slide_are_lazy_and_the_same_bits() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 50, 60), dtype=np.uint8)
    names = [*COLOURS, "alpha"]
    whole = ig.separate_stains(make_image(pixels, channels=names, pixel_size_um=None))
    lazy = ig.separate_stains(make_image(da.from_array(pixels, chunks=(1, 17, 20)), channels=names, pixel_size_um=None))
    assert hasattr(lazy.data, "dask")
    np.testing.assert_array_equal(whole.values, lazy.values)


def test_a_real_section_has_haematoxylin_in_its_nuclei(test_data: Callable[[str], Path]) -> None:
    from skimage.io import imread

    folder = test_data("monuseg-he")
    name = "TCGA-B0-5698-01Z-00-DX1"
    pixels = imread(folder / f"{name}.tif")[..., :3]
    masks = [path for path in (folder / "binary_masks").rglob("*") if name in path.name]
    nuclei = (imread(masks[0]) > 0).astype(np.int32).reshape(*pixels.shape[:2], -1)[..., 0]
    stains = ig.separate_stains(colour(np.moveaxis(pixels, -1, 0)))
    both = ig.measure(stains, nuclei + 1, features=["intensity"]).to_df()
    assert both["haematoxylin_mean"].iloc[1] > 1.3 * both["haematoxylin_mean"].iloc[0]


def test_stains_need_colours_and_known_names() -> None:
    grey = make_image(np.zeros((2, 4, 4), np.uint8), channels=["a", "b"], pixel_size_um=None)
    with pytest.raises(DataError, match="expected red, green and blue"):
        ig.separate_stains(grey)
    with pytest.raises(ParameterError, match="no stain 'hematoxylin'; closest: 'haematoxylin'"):
        ig.separate_stains(colour(np.zeros((3, 4, 4), np.uint8)), stains=["hematoxylin"])


def slide(height: int = 600, width: int = 800) -> tuple[np.ndarray, np.ndarray]:
    """White with noise; a piece of tissue with a hole, and dust too small to count."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    tissue = (((y - 300) / 220) ** 2 + ((x - 350) / 260) ** 2 < 1) & ((y - 300) ** 2 + (x - 350) ** 2 > 80**2)
    dust = (y - 550) ** 2 + (x - 750) ** 2 < 36
    pixels = np.full((3, height, width), 240.0)
    pixels[:, tissue | dust] = np.array([200, 120, 180])[:, None]
    return (pixels + rng.normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8), tissue


def test_tissue_is_found_with_its_hole_and_without_dust() -> None:
    pixels, truth = slide()
    image = colour(da.from_array(pixels, chunks=(1, 200, 300)), size=4.0)
    found = ig.find_tissue(image)
    assert len(found) == 1
    assert len(found.geometry.iloc[0].interiors) == 1
    inside = ig.measure(image, found, features=["intensity"])
    assert inside.obs["n_pixels"].iloc[0] == pytest.approx(truth.sum(), rel=0.02)
    assert ig.find_tissue(image[:, 100:, 50:]).geometry.iloc[0].bounds[0] == pytest.approx(90, abs=6)
    assert len(ig.find_tissue(image[:, :60, :60])) == 0  # nothing but glass


def test_tiles_on_tissue_keep_their_ids_and_say_how_much_lies_there() -> None:
    pixels, truth = slide()
    image = colour(pixels, size=None)
    every, some = ig.make_tiles(image, size=50), ig.make_tiles(image, size=50, within=ig.find_tissue(image), least=0.75)
    assert 0 < len(some) < len(every)
    assert every.loc[some.index].geometry.equals(some.geometry)
    for instance, tile in some.iterrows():
        x0, y0, x1, y1 = (int(edge) for edge in tile.geometry.bounds)
        assert tile["within"] == pytest.approx(truth[y0:y1, x0:x1].mean(), abs=0.1), instance
    outline = shapely.box(0, 0, 100, 100)
    assert ig.make_tiles(image, size=50, within=[outline, outline])["within"].tolist() == [1.0] * 4
    with pytest.raises(ParameterError, match="expected a part of a tile"):
        ig.make_tiles(image, size=50, within=[outline], least=0)


def test_rings_hold_the_background_of_their_cell() -> None:
    labels = np.zeros((40, 80), np.int32)
    labels[15:25, 15:25], labels[15:25, 55:65] = 2, 9
    pixels = np.where(np.arange(80) < 40, 10.0, 30.0)[None, None] + 100.0 * (labels > 0)
    image = make_image(pixels, channels=["A"], pixel_size_um=(0.5, 0.5))
    rings = ig.make_rings(make_labels(labels, pixel_size_um=(0.5, 0.5)), inner=1, outer=3, unit="um")
    cells, around = ig.measure(image, labels), ig.measure(image, rings)
    assert cells.obs["instance_id"].tolist() == around.obs["instance_id"].tolist() == [2, 9]
    assert (cells.to_df()["A_mean"].to_numpy() - around.to_df()["A_mean"].to_numpy()).tolist() == [100.0, 100.0]
    with pytest.raises(ParameterError, match="the outer edge beyond"):
        ig.make_rings(make_labels(labels, pixel_size_um=None), inner=3, outer=3)


def test_ratios_are_those_of_the_means_and_missing_over_nothing() -> None:
    pixels = np.stack([np.full((4, 4), 6.0), np.full((4, 4), 3.0)])
    pixels[1, 2:] = 0
    labels = np.repeat([[1], [1], [2], [2]], 4, axis=1)
    image = make_image(pixels, channels=["A", "B"], pixel_size_um=None)
    table = ig.measure(image, labels, features=[ig.Ratios((("A", "B"), ("B", "A")))])
    assert table.to_df()["B_over_A"].tolist() == [0.5, 0.0]
    assert np.isnan(table.to_df()["A_over_B"].iloc[1])
    assert table.var["unit"].tolist() == ["1", "1"]
    with pytest.raises(ParameterError, match="no channel 'C' for a ratio"):
        ig.measure(image, labels, features=[ig.Ratios((("A", "C"),))])


def test_a_real_slide_goes_from_tissue_to_tiles_to_stains(test_data: Callable[[str], Path]) -> None:
    from integrate.readers.slide import Slide

    path = test_data("wsi-svs") / "cmu-1-small-region.svs"
    image = Slide(url=str(path)).read()
    tissue = ig.find_tissue(image)
    tiles = ig.make_tiles(image, size=256, within=tissue, least=0.5)
    stains = ig.separate_stains(image, stains=["haematoxylin", "eosin"])
    found = ig.measure(stains, tiles, features=[ig.Intensity(("mean",)), ig.Texture(levels=16)])
    assert 0 < len(tiles) <= len(ig.make_tiles(image, size=256))
    assert found.obs["instance_id"].tolist() == tiles.index.tolist()
    x0, y0, x1, y1 = (int(edge) for edge in tiles.geometry.iloc[0].bounds)
    part = np.moveaxis(np.asarray(image.data[:3, y0:y1, x0:x1]), 0, -1)
    expected = rgb2hed(part)[..., 0].mean()
    assert found.to_df()["haematoxylin_mean"].iloc[0] == pytest.approx(expected, rel=1e-5)
    assert found.to_df().notna().all(axis=None)
