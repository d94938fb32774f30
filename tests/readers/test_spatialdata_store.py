"""SpatialData stores: written by spatialdata, opened by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import zarr

from integrate.errors import DataError, ParameterError
from integrate.readers.spatialdata_store import SpatialDataStore
from integrate.testing import ReaderTests


def write(store: Path) -> str:
    import geopandas as gpd
    import spatialdata as sd
    from shapely import Point
    from spatialdata.models import Image2DModel, Labels2DModel, PointsModel, ShapesModel, TableModel
    from spatialdata.transformations import Scale

    labels = np.zeros((20, 30), np.int32)
    labels[2:6, 3:9], labels[10:15, 20:25] = 1, 2
    um = {"um": Scale([0.5, 0.5], axes=("y", "x"))}
    obs = pd.DataFrame({"instance_id": [1, 2], "region": pd.Categorical(["cells"] * 2)}, index=["1", "2"])
    table = ad.AnnData(np.array([[1.0, 2], [3, 4]], np.float32), obs=obs, var=pd.DataFrame(index=["CD3", "CD8"]))
    points = pd.DataFrame({"x": [1.0, 2], "y": [3.0, 4], "gene": ["A", "B"]})
    elements = {
        "picture": Image2DModel.parse(np.full((1, 20, 30), 9, np.uint8), dims=("c", "y", "x"), transformations=um),
        "cells": Labels2DModel.parse(labels, dims=("y", "x"), transformations=um),
        "spots": ShapesModel.parse(gpd.GeoDataFrame({"radius": [1.0]}, geometry=[Point(3, 4)])),
        "molecules": PointsModel.parse(points, feature_key="gene"),
        "table": TableModel.parse(table, region="cells", region_key="region", instance_key="instance_id"),
    }
    data = sd.SpatialData.init_from_elements(elements, attrs={"integrate": {"cells": {"ids": {"subject_id": "P01"}}}})
    data.write(store)
    return str(store)


class TestContract(ReaderTests):
    def reader(self, folder: Path) -> SpatialDataStore:
        return SpatialDataStore(url=write(folder / "s.zarr"))

    def victim(self, source: Path) -> Path:
        return source / "tables" / "table" / "zarr.json"

    def check(self, opened: Any) -> None:
        assert sorted(name for _, name, _ in opened.gen_elements()) == [
            "cells",
            "molecules",
            "picture",
            "spots",
            "table",
        ]
        assert opened["table"].X.sum() == 10
        assert opened.attrs["integrate"]["cells"]["ids"] == {"subject_id": "P01"}
        np.testing.assert_array_equal(np.unique(opened["cells"].values), [0, 1, 2])


def test_only_what_is_asked_for_is_opened(tmp_path: Path) -> None:
    store = write(tmp_path / "s.zarr")
    assert [name for _, name, _ in SpatialDataStore(url=store, kinds=["labels"]).read().gen_elements()] == ["cells"]
    kept = SpatialDataStore(url=store, elements=["cells", "picture"]).read()
    names = {name for _, name, _ in kept.gen_elements()}
    assert {"cells", "picture"} <= names
    assert not {"spots", "molecules"} & names
    with pytest.raises(ParameterError, match=r"no element 'cell'; closest: 'cells'"):
        SpatialDataStore(url=store, elements=["cell"]).read()
    with pytest.raises(ParameterError, match=r"has no 'image'; closest: 'images'"):
        SpatialDataStore(url=store, kinds=["image"]).read()


def test_another_zarr_store_is_refused(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w").create_array("x", shape=(2,), dtype="i4")
    with pytest.raises(DataError, match=r"a\.zarr is a Zarr store but no SpatialData"):
        SpatialDataStore(url=str(tmp_path / "a.zarr")).read()
