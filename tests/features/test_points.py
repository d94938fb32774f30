"""Points in regions against shapely, one region at a time."""

from __future__ import annotations

from typing import Any

import dask.dataframe as dd
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from integrate.errors import AlignmentError, DataError, DatasetNotFoundError, IntegrateWarning, UnitError
from integrate.features.points import count_points


def transcripts(n: int, *, seed: int = 0, size: float = 100) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-0.1 * size, 1.1 * size, (2, n))
    return pd.DataFrame({"x": x, "y": y, "gene": pd.Categorical(rng.choice(["B", "A", "C"], n, p=[0.6, 0.3, 0.1]))})


def cells(n: int, *, seed: int = 1, size: float = 100) -> list[Any]:
    """Overlapping polygons, every third with a hole, every fifth of two parts."""
    rng = np.random.default_rng(seed)
    found = []
    for number, (x, y, radius) in enumerate(zip(*rng.uniform(0, size, (2, n)), rng.uniform(2, 9, n), strict=True)):
        shape = shapely.Point(x, y).buffer(radius, quad_segs=int(rng.integers(1, 6)))
        if number % 3 == 0:
            shape = shape.difference(shapely.Point(x, y).buffer(radius / 2))
        if number % 5 == 0:
            shape = shape.union(shapely.box(x + 20, y, x + 23, y + 3))
        found.append(shape)
    return found


def slow_counts(points: pd.DataFrame, shapes: list[Any]) -> tuple[pd.DataFrame, np.ndarray]:
    """Counts by asking shapely for every pair, and in how many regions each point is."""
    inside = np.stack([shapely.contains_xy(shape, points["x"], points["y"]) for shape in shapes])
    genes = sorted(points["gene"].astype(str).unique())
    counts = {gene: inside[:, (points["gene"] == gene).to_numpy()].sum(axis=1) for gene in genes}
    return pd.DataFrame(counts), inside.sum(axis=0)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 60))
def test_counts_equal_shapely_for_every_pair(seed: int, n: int) -> None:
    points, shapes = transcripts(500, seed=seed), cells(n, seed=seed)
    table = count_points(points, shapes, by="gene")
    expected, times = slow_counts(points, shapes)
    assert table.var_names.tolist() == list(expected)
    np.testing.assert_array_equal(table.X.toarray(), expected)
    assert table.uns["integrate"]["n_in_several"] == (times > 1).sum()
    assert table.uns["integrate"]["n_unassigned"] == table.var["n_unassigned"].sum() == (times == 0).sum()
    assert table.var["n_total"].sum() == 500
    assert table.obs["n_points"].tolist() == expected.sum(axis=1).tolist()


@pytest.mark.parametrize("partitions", [1, 3, 8])
def test_partitions_threads_and_the_order_of_points_change_nothing(partitions: int) -> None:
    points, shapes = transcripts(5000), cells(200)
    whole = count_points(points, shapes, by="gene")
    shuffled = points.sample(frac=1, random_state=1)
    shuffled["gene"] = shuffled["gene"].astype(str)  # no categories known in advance, and not the same in each part
    lazy = count_points(dd.from_pandas(shuffled, npartitions=partitions, sort=False), shapes, by="gene", threads=2)
    np.testing.assert_array_equal(lazy.X.toarray(), whole.X.toarray())
    pd.testing.assert_frame_equal(lazy.obs, whole.obs)
    pd.testing.assert_frame_equal(lazy.var, whole.var)
    moved = points.assign(x=points["x"].where(points.index != 7, 3.0))
    assert count_points(moved, shapes, by="gene").var["input_hash"].iloc[0] != whole.var["input_hash"].iloc[0]


def test_of_polygons_that_share_edges_each_point_belongs_to_exactly_one() -> None:
    rng = np.random.default_rng(0)
    sites = shapely.MultiPoint(rng.uniform(0, 100, (300, 2)))
    parts = shapely.get_parts(shapely.voronoi_polygons(sites, extend_to=shapely.box(-50, -50, 150, 150)))
    corners = shapely.get_coordinates(parts)
    places = np.concatenate([rng.uniform(0, 100, (3000, 2)), corners])
    points = pd.DataFrame({"x": places[:, 0], "y": places[:, 1]})
    inside = points[(points["x"] > 0) & (points["x"] < 100) & (points["y"] > 0) & (points["y"] < 100)]
    table = count_points(inside, list(parts))
    assert table.X.sum() == len(inside)
    assert table.uns["integrate"]["n_in_several"] == 0


def test_outlines_of_thousands_of_corners_and_combs_of_steep_edges_count_as_shapely_does() -> None:
    angle = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    radius = 40 + 8 * np.sin(61 * angle)
    coast = np.stack([50 + radius * np.cos(angle), 50 + radius * np.sin(angle)], axis=1)
    teeth = np.stack([np.linspace(0, 100, 801), np.tile([20.0, 80.0], 401)[:801]], axis=1)
    comb = shapely.Polygon([*teeth, (100, 85), (0, 85)])
    shapes = [shapely.Polygon(coast, [0.5 * (coast - 50) + 50]), comb, shapely.box(3, 3, 4, 4), shapely.Polygon()]
    points = transcripts(20_000)
    expected, times = slow_counts(points, shapes)
    table = count_points(points, shapes, by="gene")
    np.testing.assert_array_equal(table.X.toarray(), expected)
    assert table.uns["integrate"]["n_in_several"] == (times > 1).sum()
    np.testing.assert_array_equal(np.isnan(table.obsm["spatial"]).all(axis=1), [False, False, False, True])  # empty
    assert np.isnan(table.obs["density"].iloc[3])


def test_circles_and_empty_regions() -> None:
    points = transcripts(2000)
    circles = gpd.GeoDataFrame({"radius": [10.0, 3.0, 5.0]}, geometry=shapely.points([50, 10, 900], [50, 20, 900]))
    table = count_points(points, circles)
    distance = [np.hypot(points["x"] - 50, points["y"] - 50) <= 10, np.hypot(points["x"] - 10, points["y"] - 20) <= 3]
    assert table.X.toarray().ravel().tolist() == [distance[0].sum(), distance[1].sum(), 0]
    np.testing.assert_allclose(table.obs["area"], np.pi * np.array([100, 9, 25]))
    np.testing.assert_array_equal(table.obs["density"], table.obs["n_points"] / table.obs["area"])


def test_points_without_a_place_or_a_kind_are_counted_and_said() -> None:
    points = transcripts(100)
    points.loc[3, "x"], points.loc[4, "gene"] = np.nan, None
    with pytest.warns(IntegrateWarning, match="2 of 100 points have no place or no gene"):
        table = count_points(points, cells(5), by="gene")
    assert table.uns["integrate"]["n_left_out"] == 2
    assert table.var["n_total"].sum() == 98


def test_no_points_give_rows_of_zeros_and_no_columns() -> None:
    assert count_points(transcripts(0), cells(4), by="gene").shape == (4, 0)


def test_spatialdata_elements_are_joined_through_their_transformations(tmp_path: Any) -> None:
    import spatialdata as sd
    from spatialdata.models import PointsModel, ShapesModel, TableModel
    from spatialdata.transformations import Identity, Scale

    points, shapes = transcripts(3000), cells(40)
    frame = gpd.GeoDataFrame(geometry=[shapely.affinity.scale(s, 0.5, 0.5, origin=(0, 0)) for s in shapes])
    frame.index = frame.index + 100
    element = PointsModel.parse(points, feature_key="gene", transformations={"global": Identity()})
    drawn = ShapesModel.parse(frame, transformations={"global": Scale([2, 2], axes=("y", "x"))})
    table = count_points(element, drawn, region="cells")
    np.testing.assert_array_equal(table.X.toarray(), slow_counts(points, shapes)[0])
    TableModel().validate(table)
    space = sd.SpatialData.init_from_elements({"cells": drawn, "counts": table})
    space.write(tmp_path / "cells.zarr")
    back = sd.read_zarr(tmp_path / "cells.zarr")["counts"]
    assert back.obs["instance_id"].tolist() == list(range(100, 140))
    assert back.var["n_unassigned"].tolist() == table.var["n_unassigned"].tolist()
    other = PointsModel.parse(points, feature_key="gene", transformations={"other": Identity()})
    with pytest.raises(AlignmentError, match="no shared coordinate system"):
        count_points(other, drawn)


def test_what_does_not_fit_is_refused() -> None:
    points, shapes = transcripts(10), gpd.GeoDataFrame(geometry=cells(2))
    with pytest.raises(DatasetNotFoundError, match="no column 'genes'; closest: 'gene'"):
        count_points(points, shapes, by="genes")
    with pytest.raises(DataError, match="expected regions as shapes, found ndarray"):
        count_points(points, np.ones((4, 4), int))
    points.attrs["integrate"], shapes.attrs["integrate"] = {"unit": "um"}, {"unit": "px"}
    with pytest.raises(UnitError, match="points are in 'um' and the shapes in 'px'"):
        count_points(points, shapes)
