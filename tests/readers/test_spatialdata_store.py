"""SpatialData stores: written by spatialdata, opened by name."""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import cache
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


@cache
def template() -> Any:
    """The store, written once: spatialdata takes a second for it."""
    folder = tempfile.TemporaryDirectory()
    write_template(Path(folder.name) / "s.zarr")
    return folder  # gone with the last of it


def write(store: Path) -> str:
    return str(shutil.copytree(Path(template().name) / "s.zarr", store))


def write_template(store: Path) -> None:
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


@pytest.mark.parametrize("inside", ["images/picture", "labels/cells", "tables/table/X"])
@pytest.mark.parametrize("left", [0.0, 0.9])
def test_a_chunk_that_was_cut_off_gives_no_numbers(tmp_path: Path, inside: str, left: float) -> None:
    store = Path(write(tmp_path / "s.zarr"))
    chunk = max((one for one in (store / inside).rglob("c/**/*") if one.is_file()), key=lambda one: one.stat().st_size)
    chunk.write_bytes(chunk.read_bytes()[: int(left * chunk.stat().st_size)])
    with pytest.raises(DataError, match=r"s\.zarr"):
        load_all(SpatialDataStore(url=str(store)))


def load_all(reader: SpatialDataStore) -> None:
    for _, _, element in reader.read().gen_elements():
        if hasattr(element, "compute"):
            element.compute()


def test_levels_are_guarded_and_what_is_on_disk_is_not_written_over(tmp_path: Path) -> None:
    import spatialdata as sd
    from spatialdata.models import Image2DModel

    pixels = np.random.default_rng(0).integers(0, 60_000, (2, 64, 64)).astype("uint16")
    image = Image2DModel.parse(pixels, dims=("c", "y", "x"), c_coords=["DNA", "CD3"], scale_factors=[2])
    sd.SpatialData.init_from_elements({"picture": image}).write(tmp_path / "s.zarr")
    opened = SpatialDataStore(url=str(tmp_path / "s.zarr")).read()
    plain = sd.read_zarr(tmp_path / "s.zarr")
    for scale in ("scale0", "scale1"):
        assert opened["picture"][scale]["image"].identical(plain["picture"][scale]["image"])
    assert opened.is_self_contained()
    backing = sd.get_dask_backing_files(opened["picture"])
    assert [Path(one).relative_to(tmp_path.resolve()).as_posix() for one in backing] == ["s.zarr/images/picture/s0"]
    coarse = max(one for one in (tmp_path / "s.zarr").rglob("s1/c/**/*") if one.is_file())
    coarse.write_bytes(coarse.read_bytes()[:-5])
    np.testing.assert_array_equal(opened["picture"]["scale0"]["image"].values, pixels)
    with pytest.raises(DataError, match=r"'images/picture/s1' of s\.zarr"):
        opened["picture"]["scale1"]["image"].compute()


def test_another_zarr_store_is_refused(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w").create_array("x", shape=(2,), dtype="i4")
    with pytest.raises(DataError, match=r"a\.zarr is a Zarr store but no SpatialData"):
        SpatialDataStore(url=str(tmp_path / "a.zarr")).read()


def test_a_picture_outside_the_store_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "secret.zarr")
    description = Path(write(tmp_path / "s.zarr")) / "images" / "picture" / "zarr.json"
    said = json.loads(description.read_text(encoding="utf-8"))
    level = said["attributes"]["ome"]["multiscales"][0]["datasets"][0]
    level["path"] = f"../../../secret.zarr/images/picture/{level['path']}"
    description.write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(DataError, match="secret"):
        SpatialDataStore(url=str(tmp_path / "s.zarr"), kinds=["images"]).read()
