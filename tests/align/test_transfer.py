"""Cells come to spots, tiles and lesions by position; nobody is lost uncounted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spatialdata.models import ShapesModel
from spatialdata.transformations import Scale

import integrate as ig
from integrate.align.grid import Grid
from integrate.align.space import Space
from integrate.align.transfer import aggregate_to, assign
from integrate.align.transform import Affine
from integrate.errors import AlignmentError, DataError, IdentityError, ParameterError, UnitError
from integrate.model.image import make_image
from integrate.readers.imzml import ImzML

from .conftest import Pair

SLIDE, SECTION = Space("slide", "um"), Space("section", "um")


def cells(xy: list[list[float]], values: list[float] | None = None) -> ad.AnnData:
    numbers = np.arange(float(len(xy))) if values is None else np.array(values)
    obs = pd.DataFrame({"instance_id": np.arange(len(xy)) + 1}, index=[f"c{i}" for i in range(len(xy))])
    var = pd.DataFrame({"unit": ["{counts}"], "level": ["instance"], "statistic": ["mean"]}, index=["CD8_mean"])
    table = ad.AnnData(X=numbers[:, None], obs=obs, var=var, obsm={"spatial": np.array(xy, float)})
    table.uns["integrate"] = {"unit": "um", "ids": {"subject_id": "P1"}}
    return table


MZ = (184.07, 760.59)


def written_imzml(path: Path, shown: np.ndarray, size: float) -> Any:
    """A continuous imzML file of ions by rows and columns, as its reader gives it."""
    writer_module = pytest.importorskip("pyimzml.ImzMLWriter")
    with writer_module.ImzMLWriter(str(path)) as writer:
        for y, x in np.ndindex(shown.shape[1:]):
            writer.addSpectrum(np.array(MZ), shown[:, y, x], (x + 1, y + 1, 1))
    text = path.read_text()
    scale = (
        f'<cvParam cvRef="IMS" accession="IMS:1000046" name="pixel size (x)" value="{size}" unitCvRef="UO" '
        'unitAccession="UO:0000017" unitName="micrometer"/>'
    )
    path.write_text(text.replace("</scanSettings>", f"{scale}</scanSettings>"))
    return ImzML(url=str(path)).read()


def test_a_mass_spectrometry_image_meets_the_stained_section(pair: Pair, tmp_path: Path) -> None:
    """H&E to MSI by landmarks; then its pixels take the cells that lie in them, and the ions come to the H&E."""
    fixed = pair.fixed.values[0].astype(float)
    ions = fixed[:198, :198].reshape(33, 6, 33, 6).mean(axis=(1, 3))  # 12 µm
    msi = ig.set_space(written_imzml(tmp_path / "a.imzML", np.stack([ions, ions**2]), 12.0), name="section")
    assert msi.dims == ("mz", "y", "x")
    truth = np.random.default_rng(1).uniform(60, 340, (12, 2))
    marks = ig.LandmarkPairs(pair.way.map_points(truth), truth, kind="spline")
    by_marks = ig.register(pair.moving, msi, method=marks)
    assert pair.error(by_marks.transform) < 3  # a quarter of a pixel
    centres = np.random.default_rng(2).uniform(100, 300, (500, 2))
    table = cells(pair.way.map_points(centres).tolist())
    expected = np.histogram2d(centres[:, 1], centres[:, 0], bins=[np.arange(34) * 12.0] * 2)[0]
    exact = aggregate_to(table, msi, transform=pair.way.inverse())
    assert exact.n_obs == 33 * 33
    np.testing.assert_array_equal(exact.obs["n_cells"].to_numpy().reshape(33, 33), expected)
    back = ig.resample(msi, by_marks.transform.inverse(), like=pair.moving)
    assert list(back.c.values) == [str(one) for one in MZ]
    dark, bright = pair.moving.values[0], np.nan_to_num(back.values[0])
    assert np.corrcoef(dark[bright > 0], bright[bright > 0])[0, 1] < -0.4


def tiles() -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(
        geometry=[shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10), shapely.box(40, 0, 50, 10)],
        index=["left", "right", "far"],
    )


def test_cells_go_to_the_tile_their_centre_lies_in() -> None:
    found = assign(cells([[5, 5], [12, 3], [30, 5]]), tiles())
    assert found["to"].tolist()[:2] == ["left", "right"]
    assert found["to"].isna().tolist() == [False, False, True]
    assert found.attrs == {"assigned": 2, "unassigned": 1, "ambiguous": 0, "empty_regions": 1}
    assert found.index.tolist() == [1, 2, 3]


def test_outlines_know_which_part_of_them_lies_inside() -> None:
    cell = gpd.GeoDataFrame(geometry=[shapely.box(6, 0, 12, 2)])
    found = assign(cell, tiles())
    assert (found["to"].iloc[0], found["covered"].iloc[0]) == ("left", pytest.approx(4 / 6))


def regions_of(kind: str) -> Any:
    """Cells, spots, tiles, MSI pixels or lesions over 0 … 60 µm; some overlap, one lesion has a hole, one is empty."""
    rng = np.random.default_rng(8)
    if kind == "pixels":
        ions = make_image(np.zeros((2, 4, 4), np.float32), channels=["1", "2"], pixel_size_um=(12, 12))
        return ig.set_space(ions, name="section")
    if kind == "spots":
        x, y = (one.ravel() for one in np.meshgrid(np.arange(6.0, 60, 11), np.arange(6.0, 60, 11)))
        return gpd.GeoDataFrame({"radius": np.full(len(x), 5.0)}, geometry=gpd.points_from_xy(x, y))
    drawn: dict[str, list[Any]] = {
        "cells": list(shapely.buffer(shapely.points([(40, 17), *rng.uniform(-3, 63, (80, 2))]), 2.5, quad_segs=3)),
        "tiles": [shapely.box(x, y, x + 15, y + 15) for y in (0, 15, 30) for x in (0, 15, 30)],
        "lesions": [
            shapely.Polygon([(2, 2), (40, 5), (25, 50)], [[(20, 15), (28, 15), (22, 25)]]),
            shapely.Polygon([(30, 4), (58, 20), (33, 28)]),
            shapely.box(90, 90, 95, 95),
        ],
    }
    return gpd.GeoDataFrame(geometry=drawn[kind], index=[f"{kind} {k}" for k in range(len(drawn[kind]))])


def outlines_of(regions: Any) -> list[Any]:
    """What a region covers, the slow obvious way."""
    if hasattr(regions, "dims"):
        return [shapely.box(x * 12, y * 12, x * 12 + 12, y * 12 + 12) for y in range(4) for x in range(4)]
    if "radius" in regions:
        return [shapely.buffer(p, r, quad_segs=32) for p, r in zip(regions.geometry, regions["radius"], strict=True)]
    return list(regions.geometry)


KINDS = ["cells", "spots", "tiles", "pixels", "lesions"]


@pytest.mark.parametrize("there", KINDS)
@pytest.mark.parametrize("here", KINDS)
def test_every_kind_comes_to_every_kind(here: str, there: str) -> None:
    items, regions = regions_of(here), regions_of(there)
    found = assign(items, regions)
    outlines = outlines_of(regions)
    names = list(range(16)) if there == "pixels" else list(regions.index)
    for item, (_, row) in zip(outlines_of(items), found.iterrows(), strict=True):
        holding = [k for k, one in enumerate(outlines) if one.intersects(item.centroid)]
        assert row["candidates"] == len(holding)
        if not holding:
            assert (row["to"], row["covered"]) == (None, 0)
            continue
        nearest = min(holding, key=lambda k: outlines[k].centroid.distance(item.centroid))
        assert row["to"] == names[nearest]
        assert row["covered"] == pytest.approx(item.intersection(outlines[nearest]).area / item.area)
    missing = found["to"].isna()
    assert found.attrs["unassigned"] == missing.sum()
    assert found.attrs["assigned"] == (~missing).sum()
    assert found.attrs["empty_regions"] == len(names) - found["to"].nunique()
    assert (~missing).any()


@pytest.mark.parametrize("there", KINDS)
def test_what_cells_measure_comes_to_every_kind(there: str) -> None:
    """A value per cell: means, counts, the part of every region that was seen, and who is left over."""
    regions, outlines = regions_of(there), outlines_of(regions_of(there))
    xy = np.random.default_rng(9).uniform(-5, 65, (300, 2))
    table = cells(xy.tolist(), xy[:, 0].tolist())
    image = Grid((60, 30), Affine.scale([1, 1], Space("px", "px"), SECTION))
    made = aggregate_to(table, regions, seen=image)
    near = np.full(len(xy), -1)
    for i, point in enumerate(shapely.points(xy)):
        holding = [k for k, one in enumerate(outlines) if one.intersects(point)]
        near[i] = min(holding, key=lambda k: outlines[k].centroid.distance(point)) if holding else -1
    counts = np.bincount(near[near >= 0], minlength=len(outlines))
    np.testing.assert_array_equal(made.obs["n_cells"], counts)
    means = [xy[near == k, 0].mean() if counts[k] else np.nan for k in range(len(outlines))]
    np.testing.assert_allclose(made.X[:, 0], means)
    seen = [one.intersection(shapely.box(0, 0, 30, 60)).area / one.area for one in outlines]
    np.testing.assert_allclose(made.obs["covered"], seen, atol=1e-9)
    assert made.uns["integrate"]["transfer"]["unassigned"] == (near < 0).sum()


def test_tiles_in_pixels_meet_the_cells_measured_on_the_same_image() -> None:
    image = next(iter(ig.datasets.toy_study().each("fields")))
    table = ig.measure(image, ig.segment_nuclei(image, channels="DNA"))
    tiles = ig.make_tiles(image, size=16)
    made = ig.aggregate_to(table, tiles)
    assert made.obs["n_cells"].sum() == table.n_obs
    in_um = gpd.GeoDataFrame(geometry=shapely.transform(tiles.geometry.to_numpy(), lambda xy: xy * 0.5))
    np.testing.assert_array_equal(made.obs["n_cells"], ig.aggregate_to(table, in_um).obs["n_cells"])
    assert made.obsm["spatial"][0].tolist() == [4, 4]  # micrometres
    tiles.attrs["integrate"]["ids"] = {"acquisition_id": "f7"}
    with pytest.raises(UnitError, match="the items are in 'um' and the regions in 'px'"):
        ig.assign(table, tiles)


def test_cells_do_not_meet_what_lies_on_another_image() -> None:
    """Measured cells know the space of their image, so a forgotten transform is no silent shift."""
    study = ig.datasets.toy_study()
    first, second = (ig.load_subject(study, "P02")[f"fields_{one}"] for one in ("f2", "f3"))
    image = next(iter(study.each("fields", acquisition_id="f2")))
    table = ig.measure(image, ig.segment_nuclei(image, channels="DNA"))
    assert ig.assign(table, first).attrs["unassigned"] == 0
    with pytest.raises(AlignmentError, match=r"lies in space 'fields_f2' .* expected 'fields_f3'"):
        ig.assign(table, second)
    way = Affine.scale([1, 1], Space("fields_f2", "um"), Space("fields_f3", "um"), offset=[1, 0])
    assert ig.assign(table, second, transform=way)["to"].notna().any()
    moved = ig.resample(first, way, like=second)
    again = ig.measure(moved, ig.segment_nuclei(image, channels="DNA").values)
    assert again.uns["integrate"]["space"] == "fields_f3"


def test_of_overlapping_spots_the_nearest_centre_wins_and_is_counted() -> None:
    spots = gpd.GeoDataFrame({"radius": [5.0, 5.0]}, geometry=gpd.points_from_xy([0, 6], [0, 0]), index=["a", "b"])
    found = assign(pd.DataFrame({"x": [2.0, 4.0, 9.0], "y": [0.0, 0.0, 0.0]}), spots)
    assert found["to"].tolist() == ["a", "b", "b"]
    assert found["candidates"].tolist() == [2, 2, 1]
    assert found.attrs["ambiguous"] == 2


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.floats(-5, 55), st.floats(-5, 15)), min_size=1, max_size=40))
def test_the_slow_obvious_way_finds_the_same(xy: list[tuple[float, float]]) -> None:
    found = assign(pd.DataFrame(xy, columns=["x", "y"]), tiles())
    for (x, y), to, count in zip(xy, found["to"], found["candidates"], strict=True):
        holding = [name for name, box in tiles().geometry.items() if box.intersects(shapely.Point(x, y))]
        assert count == len(holding)
        assert (to in holding) if holding else to is None
    assert found.attrs["assigned"] + found.attrs["unassigned"] == len(xy)


def test_a_region_without_cells_has_nan_and_a_count_of_zero() -> None:
    table = cells([[5, 5], [6, 5], [12, 3], [30, 5]], [1, 3, np.nan, 7])
    for statistic, left in (("mean", 2.0), ("sum", 4.0), ("median", 2.0)):
        made = aggregate_to(table, tiles(), statistic=statistic)  # type: ignore[arg-type]
        assert made.obs_names.tolist() == ["left", "right", "far"]
        assert made.X[0, 0] == left
        assert np.isnan(made.X[1:, 0]).all()
        assert made.layers["n"][:, 0].tolist() == [2, 0, 0]
        assert made.obs["n_cells"].tolist() == [2, 1, 0]
        assert made.var.loc["CD8_mean", ["unit", "level", "statistic"]].tolist() == [
            "{counts}",
            "region",
            f"{statistic} of mean",
        ]
    assert made.uns["integrate"]["transfer"]["unassigned"] == 1
    assert made.uns["integrate"]["ids"] == {"subject_id": "P1"}
    with pytest.raises(ParameterError, match="expected 'mean', 'median' or 'sum'"):
        aggregate_to(table, tiles(), statistic="max")  # type: ignore[arg-type]


def test_cells_come_through_a_transform_and_regions_know_how_much_was_seen() -> None:
    shift = Affine.scale([1, 1], SECTION, SLIDE, offset=[100, 0])
    spots = gpd.GeoDataFrame({"radius": [5.0, 5.0]}, geometry=gpd.points_from_xy([105, 100], [5, 5]))
    placed = ShapesModel.parse(spots, transformations={"slide": Scale([1.0, 1.0], axes=("y", "x"))})
    image = Grid((10, 10), Affine.scale([1, 1], Space("px", "px"), SECTION))
    made = aggregate_to(cells([[5, 5], [5, 6]], [1, 3]), placed, transform=shift, seen=image)
    assert made.X[0, 0] == 2
    assert made.obs["covered"].tolist() == pytest.approx([1, 0.5], abs=1e-3)
    assert made.obsm["spatial"].round(6).tolist() == [[105, 5], [100, 5]]


def test_what_does_not_fit_is_refused() -> None:
    pixels = tiles()
    pixels.attrs["integrate"] = {"unit": "px"}
    with pytest.raises(UnitError, match="the items are in 'um' and the regions in 'px'"):
        assign(cells([[1, 1]]), pixels)
    with pytest.raises(IdentityError, match="ids of regions repeat: 'left'"):
        assign(cells([[1, 1]]), tiles().rename(index={"right": "left"}))
    with pytest.raises(DataError, match="a region has no area"):
        assign(cells([[1, 1]]), gpd.GeoDataFrame(geometry=[shapely.Point(1, 1)]))
    with pytest.raises(DataError, match="the items have no positions"):
        assign([1, 2], tiles())
    here, there = (placed_tiles(name) for name in ("slide", "section"))
    with pytest.raises(AlignmentError, match=r"lies in space 'slide' .* expected 'section'"):
        assign(here, there)
    assert ig.assign(here, here)["to"].tolist() == [0, 1, 2]


def placed_tiles(space: str) -> gpd.GeoDataFrame:
    one = Scale([1.0, 1.0], axes=("y", "x"))
    return ShapesModel.parse(tiles().reset_index(drop=True), transformations={space: one})
