"""Xenium, MERSCOPE, Visium HD: transcripts, outlines and pictures lie on each other, and a flip is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import shapely
from spatialdata.transformations import get_transformation

from integrate.errors import AlignmentError, DataError, IntegrateWarning, ParameterError, SourceNotFoundError
from integrate.readers.merscope import Merscope
from integrate.readers.visium_hd import VisiumHD
from integrate.readers.xenium import Xenium
from integrate.testing import ReaderTests

from .vendor_bundles import (
    CELLS,
    PIXEL_UM,
    picture,
    write_merscope,
    write_visium_hd,
    write_xenium,
    write_xenium_masks,
)


def under_points(data: Any, image: str, points: str, space: str, cell: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel under every transcript, through the transformations, and what was planted there."""
    to_space = get_transformation(data[image], space).to_affine_matrix(("x", "y"), ("x", "y"))
    seen = data[points].compute()
    x, y, _ = np.linalg.inv(to_space) @ np.stack([seen["x"], seen["y"], np.ones(len(seen))])
    found = data[image].values[0][np.floor(y).astype(int), np.floor(x).astype(int)]
    numbers = {name: number * 100 for number, name in enumerate(dict.fromkeys(seen[cell][seen[cell] != ""]), start=1)}
    return found, seen[cell].map({**numbers, "": 0}).to_numpy()


class TestXenium(ReaderTests):
    def reader(self, folder: Path) -> Xenium:
        return Xenium(url=write_xenium(folder / "run"))

    def check(self, opened: Any) -> None:
        assert sorted(opened.shapes) == ["xenium_cells", "xenium_nuclei"]
        assert opened["xenium_table"].X.sum() == 180
        assert opened["xenium_table"].obs["cell_id"].tolist() == list(CELLS)
        assert opened["xenium_table"].var["feature_type"].tolist()[-1] == "Negative Control Probe"
        assert opened["xenium_morphology_image"].shape == (2, *picture().shape)
        notes = opened.attrs["integrate"]["xenium_transcripts"]
        assert (notes["on_cell"], notes["unit"], notes["software"]) == (1.0, "um", "xenium-3.0.0.15")
        found, planted = under_points(opened, "xenium_morphology_image", "xenium_transcripts", "xenium", "cell_id")
        np.testing.assert_array_equal(found, planted)


class TestMerscope(ReaderTests):
    def reader(self, folder: Path) -> Merscope:
        return Merscope(url=write_merscope(folder / "region_0"))

    def victim(self, source: Path) -> Path:
        return source / "detected_transcripts.csv"

    def check(self, opened: Any) -> None:
        assert opened["merscope_image"].coords["c"].values.tolist() == ["DAPI", "PolyT"]
        np.testing.assert_array_equal(opened["merscope_image"].values, [picture() + 4, picture() + 3])
        assert opened["merscope_cells"].index.tolist() == ["100", "101", "102"]
        assert opened["merscope_table"].var["blank"].tolist() == [False, False, True]
        assert opened["merscope_table"].obs["volume"].tolist() == [5.0] * 3
        assert opened.attrs["integrate"]["merscope_cells"]["on_cell"] == 1.0
        found, planted = under_points(opened, "merscope_image", "merscope_transcripts", "merscope", "cell_id")
        np.testing.assert_array_equal(found - 4, planted)


class TestVisiumHD(ReaderTests):
    def reader(self, folder: Path) -> VisiumHD:
        return VisiumHD(url=write_visium_hd(folder / "outs"))

    def victim(self, source: Path) -> Path:
        return source / "binned_outputs" / "square_008um" / "filtered_feature_bc_matrix.h5"

    def check(self, opened: Any) -> None:
        assert opened["visium_hd_table"].shape == (28, 2)
        assert opened["visium_hd_table"].X[0].toarray().tolist() == [[4, 5]]
        assert opened["visium_hd_bins"].geometry.area.to_numpy() == pytest.approx(16.0**2)
        assert opened.attrs["integrate"]["visium_hd_bins"]["pixel_size_um"] == [0.5, 0.5]
        assert opened["visium_hd_hires_image"].shape == (3, 40, 50)


def test_xenium_upside_down_is_refused(tmp_path: Path) -> None:
    folder = Path(write_xenium(tmp_path / "run"))
    file = folder / "transcripts.parquet"
    held = pd.read_parquet(file)
    held.assign(y_location=picture().shape[0] * PIXEL_UM - held["y_location"]).to_parquet(file)
    with pytest.raises(AlignmentError, match=r"% of 180 transcripts of run lie in the outline of their cell"):
        Xenium(url=str(folder)).read()


def test_xenium_cells_of_another_run_are_named(tmp_path: Path) -> None:
    folder = Path(write_xenium(tmp_path / "run"))
    cells = pd.read_parquet(folder / "cells.parquet")
    cells.iloc[1:].to_parquet(folder / "cells.parquet")
    with pytest.raises(DataError, match=r"1 of 3 cells of cell_feature_matrix.h5 have no row .*'aaaa-1'"):
        Xenium(url=str(folder)).read()
    (folder / "cells.parquet").unlink()
    with pytest.raises(SourceNotFoundError, match=r"no cells.parquet in 'run'"):
        Xenium(url=str(folder)).read()


def test_xenium_masks_lie_under_transcripts_and_name_their_cells(tmp_path: Path) -> None:
    folder = Path(write_xenium(tmp_path / "run"))
    _rename_cells(folder)
    write_xenium_masks(folder)
    data = Xenium(url=str(folder)).read()
    assert data.attrs["integrate"]["xenium_cells_labels"]["on_label"] == 1.0
    labels, table = data["xenium_cells_labels"], data["xenium_table"]
    assert table.obs["cell_label"].tolist() == [3, 2, 1]
    np.testing.assert_array_equal(labels.values > 0, picture() > 0)
    to_space = get_transformation(labels, "xenium").to_affine_matrix(("x", "y"), ("x", "y"))
    middle = data["xenium_cells"].geometry.centroid
    column, row, _ = np.linalg.inv(to_space) @ np.stack([middle.x, middle.y, np.ones(len(middle))])
    assert labels.values[row.astype(int), column.astype(int)].tolist() == [3, 2, 1]
    assert (data["xenium_nuclei_labels"].values > 0).sum() < (labels.values > 0).sum()
    assert "xenium_cells_labels" not in Xenium(url=str(folder), masks=False).read()


def test_xenium_masks_of_another_run_or_cut_off_are_refused(tmp_path: Path) -> None:
    folder = Path(write_xenium(tmp_path / "run"))
    _rename_cells(folder)
    write_xenium_masks(folder, shift=25)
    with pytest.raises(AlignmentError, match=r"transcripts lie on the label of their cell in cells.zarr.zip"):
        Xenium(url=str(folder)).read()
    write_xenium_masks(folder)
    store = folder / "cells.zarr.zip"
    store.write_bytes(store.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"of cells.zarr.zip cannot be read .*; it is truncated or damaged"):
        Xenium(url=str(folder)).read()


def _rename_cells(folder: Path) -> None:
    """Give cells names of the length that the vendor's have."""
    long = {cell: cell.rjust(10, "a") for cell in CELLS}
    for name in ("cell_boundaries", "nucleus_boundaries", "cells", "transcripts"):
        held = pd.read_parquet(folder / f"{name}.parquet")
        held.assign(cell_id=held["cell_id"].replace(long)).to_parquet(folder / f"{name}.parquet")
    with h5py.File(folder / "cell_feature_matrix.h5", "r+") as store:
        barcodes = [long[one] for one in store["matrix/barcodes"].asstr()[:]]
        del store["matrix/barcodes"]
        store["matrix"].create_dataset("barcodes", data=barcodes, dtype=h5py.string_dtype())


def test_one_cell_may_have_several_nuclei(tmp_path: Path) -> None:
    folder = Path(write_xenium(tmp_path / "run"))
    nuclei = pd.read_parquet(folder / "nucleus_boundaries.parquet")
    second = nuclei[nuclei["label_id"] == 1].assign(label_id=9)
    pd.concat([nuclei, second]).to_parquet(folder / "nucleus_boundaries.parquet")
    shapes = Xenium(url=str(folder)).read()["xenium_nuclei"]
    assert shapes.index.tolist() == [1, 2, 3, 9]
    assert shapes["cell_id"].tolist() == [*CELLS, "aaaa-1"]


def test_xenium_is_lazy_in_what_is_large(tmp_path: Path) -> None:
    import dask
    import dask.dataframe as dd

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed")

    with dask.config.set(scheduler=refuse):
        data = Xenium(url=write_xenium(tmp_path / "run")).read()
    assert isinstance(data["xenium_transcripts"], dd.DataFrame)
    assert data["xenium_morphology_image"].chunks is not None


def test_merscope_planes_and_missing_cells(tmp_path: Path) -> None:
    folder = write_merscope(tmp_path / "a", with_cells=False)
    assert Merscope(url=folder).read().attrs["integrate"]["merscope_cells"]["on_cell"] is None
    with pytest.raises(ParameterError, match=r"outlines of planes \[0, 1, 2, 3, 4, 5, 6\]; there is no plane 7"):
        Merscope(url=folder, z=7).read()
    with pytest.warns(IntegrateWarning, match="no mosaic of plane 5"):
        assert not list(Merscope(url=folder, z=5).read().images)


def test_merscope_outlines_of_another_place_are_refused(tmp_path: Path) -> None:
    import geopandas as gpd

    folder = Path(write_merscope(tmp_path / "a"))
    held = gpd.read_parquet(folder / "cell_boundaries.parquet")
    held["Geometry"] = held["Geometry"].translate(0, 3)
    held.set_geometry("Geometry").to_parquet(folder / "cell_boundaries.parquet")
    with pytest.raises(AlignmentError, match=r"lie in the outline of their cell; expected at least 90%"):
        Merscope(url=str(folder)).read()


def test_bins_of_visium_hd_touch_without_overlap_though_the_slide_is_turned(tmp_path: Path) -> None:
    data = VisiumHD(url=write_visium_hd(tmp_path / "outs", angle=0.3)).read()
    squares = data["visium_hd_bins"].geometry
    assert shapely.union_all(squares.to_numpy()).area == pytest.approx(squares.area.sum())
    centre = data["visium_hd_table"].obsm["spatial"]
    assert np.column_stack([squares.centroid.x, squares.centroid.y]) == pytest.approx(centre)


def test_bins_of_visium_hd_that_are_not_there_or_off_the_grid(tmp_path: Path) -> None:
    folder = Path(write_visium_hd(tmp_path / "outs"))
    with pytest.raises(ParameterError, match=r"no bins of 2 µm; it has 'square_008um'"):
        VisiumHD(url=str(folder), bin_um=2).read()
    file = folder / "binned_outputs" / "square_008um" / "spatial" / "tissue_positions.parquet"
    held = pd.read_parquet(file)
    held.loc[10, "pxl_col_in_fullres"] += 9
    held.to_parquet(file)
    with pytest.raises(DataError, match="pixels off a regular grid"):
        VisiumHD(url=str(folder)).read()
