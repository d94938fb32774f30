"""Stereo-seq: bins, cells and the registered picture lie on each other on the chip, whatever file they are from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from spatialdata.transformations import get_transformation

from integrate.errors import AlignmentError, DataError, IntegrateWarning, ParameterError, SourceNotFoundError
from integrate.readers.stereoseq import StereoSeq
from integrate.testing import ReaderTests

from .stereo_files import (
    CELLS,
    GENES,
    ORIGIN,
    SHAPE,
    cell_of,
    picture,
    spots,
    write_bin_gef,
    write_cell_gef,
    write_gem,
    write_stereoseq,
)


class TestContract(ReaderTests):
    cut = 0.2

    def reader(self, folder: Path) -> StereoSeq:
        return StereoSeq(url=write_stereoseq(folder / "outs"), bin_size=50)

    def victim(self, source: Path) -> Path:
        return source / "feature_expression" / "SS1.tissue.gef"

    def check(self, opened: Any) -> None:
        assert opened["stereoseq_table"].X.sum() == spots()["count"].sum()
        assert opened["stereoseq_table"].var_names.tolist() == [symbol for _, symbol in GENES]
        assert opened["stereoseq_table"].var["gene_id"].tolist() == [gene_id for gene_id, _ in GENES]
        assert opened["stereoseq_bins"].geometry.area.to_numpy() == pytest.approx(25.0**2)
        assert opened["stereoseq_cells"].index.tolist() == [str(cell) for cell in CELLS]
        notes = opened.attrs["integrate"]["stereoseq_cells"]
        assert (notes["unit"], notes["pitch_um"], notes["on_cell"]) == ("um", 0.5, 1.0)
        assert (notes["matrix"], notes["cells"]) == ("SS1.tissue.gef", "SS1.cellbin.gef")


class TestOfText(ReaderTests):
    def reader(self, folder: Path) -> StereoSeq:
        (folder / "gem").mkdir()
        write_gem(folder / "gem" / "SS1.tissue.gem.gz")
        return StereoSeq(url=str(folder / "gem"), bin_size=50)

    def check(self, opened: Any) -> None:
        assert opened["stereoseq_table"].X.sum() == spots()["count"].sum()
        assert opened["stereoseq_table"].var["gene_id"].tolist() == [gene_id for gene_id, _ in GENES]


def in_picture(data: Any, x: Any, y: Any) -> np.ndarray:
    """Return the pixels under places of the space."""
    image = data["stereoseq_ssDNA_image"]
    to_space = get_transformation(image, "stereoseq").to_affine_matrix(("x", "y"), ("x", "y"))
    column, row, _ = np.linalg.inv(to_space) @ np.stack([x, y, np.ones(len(x))])
    return image.values[0][np.floor(row).astype(int), np.floor(column).astype(int)]


def test_bins_of_one_spot_lie_where_they_were_counted(tmp_path: Path) -> None:
    data = StereoSeq(url=write_stereoseq(tmp_path / "outs"), bin_size=1).read()
    table = data["stereoseq_table"]
    held = spots().groupby(["y", "x"], as_index=False)["count"].sum()
    assert table.obs[["array_row", "array_col"]].to_numpy().tolist() == held[["y", "x"]].to_numpy().tolist()
    assert np.ravel(table.X.sum(axis=1)).tolist() == held["count"].tolist()
    centre = table.obsm["spatial"]
    assert centre == pytest.approx((held[["x", "y"]].to_numpy() + ORIGIN + 0.5) * 0.5)
    squares = data["stereoseq_bins"].geometry
    assert np.column_stack([squares.centroid.x, squares.centroid.y]) == pytest.approx(centre)
    np.testing.assert_array_equal(in_picture(data, *centre.T), 20 * (cell_of(held) + 1))


def test_cells_lie_on_the_picture_and_have_the_counts_inside_them(tmp_path: Path) -> None:
    data = StereoSeq(url=write_stereoseq(tmp_path / "outs"), bin_size=1).read()
    cells, counts = data["stereoseq_cells"], data["stereoseq_cells_table"]
    held = spots().assign(cell=lambda one: cell_of(one))
    for number, (cell, (top, left, bottom, right)) in enumerate(CELLS.items()):
        low_x, low_y, high_x, high_y = cells.loc[str(cell)].geometry.bounds
        corners = np.array([left, right - 1, top, bottom - 1]) + np.repeat(ORIGIN, 2) + 0.5
        assert [low_x, high_x, low_y, high_y] == pytest.approx(corners * 0.5)
        planted = held[held["cell"] == number].groupby("gene")["count"].sum().reindex(range(3), fill_value=0)
        assert counts[str(cell)].X.toarray()[0].tolist() == planted.tolist()
    assert counts.obs["cell_id"].tolist() == cells.index.tolist()
    middle = cells.geometry.centroid
    assert in_picture(data, middle.x, middle.y).tolist() == [20, 40, 60]


def test_bins_that_are_not_stored_are_summed_from_spots(tmp_path: Path) -> None:
    stored = StereoSeq(url=write_stereoseq(tmp_path / "a", sizes=(1, 50)), bin_size=50).read()["stereoseq_table"]
    summed = StereoSeq(url=write_stereoseq(tmp_path / "b", sizes=(1,)), bin_size=50).read()["stereoseq_table"]
    assert stored.obs_names.tolist() == summed.obs_names.tolist()
    assert (stored.X != summed.X).nnz == 0
    with pytest.raises(ParameterError, match=r"SS1.tissue.gef has bins '50', and no bin1 to sum; give one of them"):
        StereoSeq(url=write_stereoseq(tmp_path / "c", sizes=(50,)), bin_size=20).read()


def test_text_and_gef_of_all_versions_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "gem").mkdir()
    write_gem(tmp_path / "gem" / "SS1.gem.gz")
    text = StereoSeq(url=str(tmp_path / "gem"), bin_size=20).read()
    for version in (2, 4):
        folder = write_stereoseq(tmp_path / str(version), version=version)
        binary = StereoSeq(url=folder, bin_size=20).read()
        assert (text["stereoseq_table"].X != binary["stereoseq_table"].X).nnz == 0
        assert text["stereoseq_bins"].geometry.geom_equals(binary["stereoseq_bins"].geometry).all()


def test_cells_of_another_place_are_refused(tmp_path: Path) -> None:
    folder = Path(write_stereoseq(tmp_path / "outs"))
    file = folder / "feature_expression" / "SS1.cellbin.gef"
    write_cell_gef(file, shift=40)
    with pytest.raises(AlignmentError, match=r"% of the counts of cells of outs lie in their outlines"):
        StereoSeq(url=str(folder)).read()
    write_cell_gef(file)
    with h5py.File(file, "r+") as store:  # the same cells, upside down
        store["cellBin/cellBorder"][:, :4, 1] = (SHAPE[0] - 2 * store["cellBin/cell"]["y"])[:, None] - store[
            "cellBin/cellBorder"
        ][:, :4, 1]
    with pytest.raises(AlignmentError, match="one is shifted or flipped"):
        StereoSeq(url=str(folder)).read()


def test_files_of_one_chip_with_other_offsets_lie_on_each_other(tmp_path: Path) -> None:
    folder = Path(write_stereoseq(tmp_path / "outs"))
    with h5py.File(folder / "feature_expression" / "SS1.cellbin.gef", "r+") as store:
        store.attrs["offsetX"] = np.array([ORIGIN[0] - 11], "i4")
        cells = store["cellBin/cell"][:]
        cells["x"] += 11
        store["cellBin/cell"][:] = cells
    data = StereoSeq(url=str(folder)).read()
    assert data.attrs["integrate"]["stereoseq_cells"]["on_cell"] == 1.0
    middle = data["stereoseq_cells"].geometry.centroid
    assert in_picture(data, middle.x, middle.y).tolist() == [20, 40, 60]


def test_a_matrix_is_found_and_several_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceNotFoundError, match=r"no matrix like .* below 'empty'"):
        StereoSeq(url=str(tmp_path / "empty")).read()
    folder = Path(write_stereoseq(tmp_path / "outs"))
    write_bin_gef(folder / "feature_expression" / "SS2.tissue.gef")
    with pytest.raises(ParameterError, match=r"has 2 files like \*.tissue.gef: .* name one with matrix="):
        StereoSeq(url=str(folder)).read()
    assert "stereoseq_table" in StereoSeq(url=str(folder), matrix="SS2.tissue.gef").read()
    with pytest.raises(ParameterError, match=r"has 0 files '\.\./SS2.tissue.gef'; give matrix= the name of one"):
        StereoSeq(url=str(folder), matrix="../SS2.tissue.gef").read()


def test_a_picture_of_another_size_and_a_colour_one(tmp_path: Path) -> None:
    folder = Path(write_stereoseq(tmp_path / "outs"))
    colour = np.stack([picture()] * 3, axis=-1)
    tifffile.imwrite(folder / "image" / "SS1_HE_regist.tif", colour, photometric="rgb")
    assert StereoSeq(url=str(folder)).read()["stereoseq_HE_image"].coords["c"].values.tolist() == [
        "red",
        "green",
        "blue",
    ]
    tifffile.imwrite(folder / "image" / "SS1_HE_regist.tif", colour[:-5], photometric="rgb")
    with pytest.warns(
        IntegrateWarning, match=r"SS1_HE_regist.tif has \(115, 200\) pixels, the matrix \(120, 200\) spots"
    ):
        StereoSeq(url=str(folder)).read()


def test_counts_of_genes_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    folder = Path(write_stereoseq(tmp_path / "outs"))
    with h5py.File(folder / "feature_expression" / "SS1.tissue.gef", "r+") as store:
        genes = store["geneExp/bin50/gene"][:]
        genes["count"][0] += 1
        store["geneExp/bin50/gene"][:] = genes
    with pytest.raises(DataError, match=r"offsets and counts of genes of SS1.tissue.gef do not fit each other"):
        StereoSeq(url=str(folder), bin_size=50).read()
