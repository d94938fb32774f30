"""Speed of `count_points` beside reading, geopandas and spatialdata in one run; prints, asserts no time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from integrate.features.points import count_points

pytestmark = pytest.mark.benchmark

POINTS = int(os.environ.get("INTEGRATE_BENCH_POINTS", "2000000"))
CELLS = int(os.environ.get("INTEGRATE_BENCH_CELLS", "32000"))
GENES = 300


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


@pytest.fixture(scope="module")
def tissue(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, gpd.GeoDataFrame]:
    """Parquet in 20 row groups, and cells of 32 corners on a jittered lattice."""
    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(CELLS)))
    path = tmp_path_factory.mktemp("points") / "points.parquet"
    genes = pd.Categorical.from_codes(rng.integers(0, GENES, POINTS), [f"gene{k}" for k in range(GENES)])
    places = rng.uniform(0, 22 * side, (2, POINTS))
    pd.DataFrame({"x": places[0], "y": places[1], "gene": genes}).to_parquet(path, row_group_size=POINTS // 20 + 1)
    number = np.arange(CELLS)
    centres = np.stack([number % side, number // side], axis=1) * 22 + 11 + rng.uniform(-2, 2, (CELLS, 2))
    shapes = shapely.buffer(shapely.points(centres), rng.uniform(6, 11, CELLS), quad_segs=8)
    return path, gpd.GeoDataFrame(geometry=shapes, index=np.arange(1, CELLS + 1))


def test_count_points_beside_geopandas_and_spatialdata(tissue: tuple[Path, gpd.GeoDataFrame]) -> None:
    import spatialdata as sd
    from spatialdata.models import PointsModel, ShapesModel

    path, cells = tissue
    lazy = dd.read_parquet(path, split_row_groups=True)
    count_points(lazy.partitions[0], cells, by="gene")  # compile
    reading, _ = timed(lambda: [part.compute() for part in lazy.to_delayed()])
    mine, table = timed(lambda: count_points(lazy, cells, by="gene"))

    def joined() -> pd.DataFrame:
        points = lazy.compute()
        frame = gpd.GeoDataFrame(points[["gene"]], geometry=gpd.points_from_xy(points["x"], points["y"]))
        found = gpd.sjoin(frame, cells, predicate="within")
        return found.groupby(["index_right", "gene"], observed=False).size().unstack(fill_value=0)

    sjoin, other = timed(joined)
    element, shapes = PointsModel.parse(lazy, feature_key="gene"), ShapesModel.parse(cells)
    aggregate, _ = timed(lambda: sd.aggregate(values=element, by=shapes, value_key="gene", agg_func="count"))
    common = table.to_df().set_index(table.obs["instance_id"].to_numpy())
    assert (common.loc[other.index, other.columns].to_numpy() == other.to_numpy()).all()
    print(
        f"\n{POINTS:,} points, {CELLS:,} polygons, {GENES} genes: {mine:.2f} s; reading takes {reading / mine:.2f} x "
        f"as long, geopandas {sjoin / mine:.1f} x, spatialdata {aggregate / mine:.1f} x"
    )
