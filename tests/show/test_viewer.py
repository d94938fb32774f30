"""The viewer's Python side: masks for the right rows, regions as shapes, refusals in words."""

from __future__ import annotations

import base64
from typing import Any

import anndata
import cv2
import geopandas as gpd
import nbformat
import numpy as np
import pandas as pd
import pytest
import shapely
from nbconvert import HTMLExporter

import integrate as ig
from integrate.errors import AlignmentError, DataError, DatasetNotFoundError, IntegrateWarning, ParameterError

from .scenes import cells_of_discs, discs


def test_a_selection_is_a_mask_over_the_whole_table() -> None:
    both = anndata.concat([cells_of_discs(), cells_of_discs()], index_unique="-", keys=["a", "b"])
    both.obs["acquisition_id"] = ["f2"] * 48 + ["f1"] * 48
    both.uns["integrate"] = {"unit": "um"}
    viewer = ig.view(discs()[0], cells=both)
    viewer._selection = np.packbits(np.arange(48) == 3, bitorder="little").tobytes()
    assert np.flatnonzero(viewer.selected).tolist() == [51]
    mask = np.zeros(96, dtype=bool)
    mask[[0, 60, 95]] = True
    viewer.select(mask)
    assert np.flatnonzero(viewer.selected).tolist() == [60, 95]  # the first is of another image
    assert both[viewer.selected].n_obs == 2
    with pytest.raises(AlignmentError, match=r"a mask of shape \(3,\) for 96 cells"):
        viewer.select([True, False, True])


def test_micrometres_become_pixels_and_other_units_are_not_guessed_silently() -> None:
    image, cells = discs(pixel_size_um=(1.0, 0.5))[0], cells_of_discs()
    viewer = ig.view(image, cells=cells)
    shown = np.frombuffer(viewer._places, "<f4").reshape(-1, 2)
    np.testing.assert_allclose(shown[9], [75, 75])  # 37.5 µm: 75 columns of 0.5 µm, 37.5 rows of twice the height
    with pytest.raises(AlignmentError, match="pixel size is unknown; give pixel_size_um="):
        ig.view(discs(pixel_size_um=None)[0], cells=cells)
    del cells.uns["integrate"]
    with pytest.warns(IntegrateWarning, match="taken as pixels of the image"):
        ig.view(image, cells=cells)


def test_cells_of_another_image_are_refused() -> None:
    cells = cells_of_discs()
    cells.obs["acquisition_id"] = "f9"
    with pytest.raises(AlignmentError, match="none of the 48 cells is of acquisition_id 'f1'"):
        ig.view(discs()[0], cells=cells)


def test_cells_are_coloured_by_any_column_or_variable_and_missing_values_are_counted() -> None:
    cells = cells_of_discs()
    cells.obs["age"] = [np.nan, *range(47)]
    cells.obs["many"] = [f"k{i % 12}" for i in range(48)]
    viewer = ig.view(discs()[0], cells=cells, colour="kind")
    assert viewer._colouring["categories"] == ["CD8", "other"]
    viewer.colour_by("number")
    np.testing.assert_array_equal(np.frombuffer(viewer._values, "<f4"), np.arange(48))
    viewer.colour_by("age")
    assert viewer._colouring["missing"] == 1
    viewer.colour_by("many")
    assert viewer._colouring["categories"][-1] == "5 others"
    assert len(set(viewer._colouring["colours"])) == 8
    with pytest.raises(DatasetNotFoundError, match="no variable 'nubmer' of the cells; closest: 'number'"):
        viewer.colour_by("nubmer")


def test_outlines_come_back_as_they_were_given_with_their_holes() -> None:
    ring = shapely.Polygon([(10, 10), (60, 10), (60, 60), (10, 60)], [[(20, 20), (30, 20), (30, 30), (20, 30)]])
    two = shapely.MultiPolygon([shapely.box(100, 5, 110, 9), shapely.box(120, 5, 130, 9)])
    shapes = gpd.GeoDataFrame(
        {"id": ["a", "b"], "classification": ["Tumor", None], "annotator": ["AB", None]}, geometry=[ring, two]
    )
    viewer = ig.view(discs(pixel_size_um=(1.0, 0.5))[0], regions=shapes)
    back = viewer.regions
    assert [one.equals(other) for one, other in zip(back.geometry, shapes.geometry, strict=True)] == [True, True]
    assert back[["id", "classification", "annotator"]].to_dict("list") == {
        "id": ["a", "b"], "classification": ["Tumor", None], "annotator": ["AB", None]
    }  # fmt: skip
    assert back.attrs["integrate"]["ids"] == {"acquisition_id": "f1"}
    with pytest.raises(DataError, match="1 regions are there already: 'a'"):
        viewer.add_regions(shapes.iloc[:1])
    with pytest.raises(DataError, match="regions are polygons, found \\['Point'\\]"):
        viewer.add_regions(gpd.GeoDataFrame(geometry=[shapely.Point(1, 2)]))


def test_a_page_without_a_kernel_shows_a_still_picture() -> None:
    image, labels = discs()
    viewer = ig.view(image, labels=labels, channels={"DNA": "#ff0000"}, cells=cells_of_discs(), embedding="X_umap")
    data, notes = viewer._repr_mimebundle_()
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(data["image/png"]), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert picture.shape == (480, 640 + 480, 3)
    assert picture[40, 46].tolist() == [255, 0, 0]  # in the first disc, beside its cell
    assert picture[2, 2].tolist() == [0, 0, 0]
    assert "48 cells" in notes["image/png"]["alt"] == data["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in data


def test_an_exported_page_has_the_still_picture_in_place_of_the_viewer() -> None:
    data, notes = ig.view(discs()[0])._repr_mimebundle_()
    output = nbformat.v4.new_output("execute_result", data=data, metadata=notes, execution_count=1)
    cell = nbformat.v4.new_code_cell("ig.view(image)", outputs=[output], execution_count=1)
    page, _ = HTMLExporter(template_name="basic").from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    assert f"data:image/png;base64,{data['image/png']}" in page
    assert "<script" not in page


def test_a_picture_is_asked_of_the_browser_and_its_absence_is_said(tmp_path: Any) -> None:
    viewer = ig.view(discs()[0])
    with pytest.warns(IntegrateWarning, match="no browser answered within 0.05 s"):
        picture = viewer.screenshot(tmp_path / "a.png", timeout_s=0.05)
    assert (tmp_path / "a.png").read_bytes() == picture
    assert picture[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"mode": "flicker"}, ParameterError, "no mode 'flicker'"),
        ({"channels": ["CD3"]}, DatasetNotFoundError, "no channel named 'CD3'; closest: 'CD8'"),
        ({"labels": np.zeros((4, 4), int)}, AlignmentError, "labels have 4 x 4 pixels, the image 300 x 400"),
        ({"compare": np.zeros((9, 9))}, AlignmentError, "pixels of unknown size; give compare_affine="),
        ({"compare": np.zeros((9, 9)), "compare_affine": np.eye(4)}, AlignmentError, r"found \(4, 4\)"),
        ({"embedding": "X_umap"}, ParameterError, "needs the cells it is of"),
        ({"colour": "kind"}, DatasetNotFoundError, "there are no cells to colour by 'kind'"),
        ({"cells": np.zeros((3, 1))}, DataError, r"rows of two numbers, found an array of shape \(3, 1\)"),
        ({"cells": anndata.AnnData(np.zeros((2, 1)))}, DataError, "no obsm\\['spatial'\\]"),
    ],
)
def test_what_does_not_lie_on_the_image_is_refused(settings: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        ig.view(discs()[0], **settings)


def test_images_of_different_pixel_sizes_are_laid_over_each_other() -> None:
    coarse = discs(pixel_size_um=(2.0, 1.0))[0]
    viewer = ig.view(discs()[0], compare=coarse)
    assert viewer._spec["images"][1]["place"] == [2.0, 0.0, 0.0, 0.0, 4.0, 0.0]


def test_dense_sparse_and_boolean_values_are_read_alike() -> None:
    import scipy.sparse

    cells = cells_of_discs()
    cells.X = scipy.sparse.csr_matrix(cells.X)
    cells.obs["is_first"] = pd.array([True, None, *[False] * 46], dtype="boolean")
    viewer = ig.view(discs()[0], cells=cells, colour="number")
    np.testing.assert_array_equal(np.frombuffer(viewer._values, "<f4"), np.arange(48))
    viewer.colour_by("is_first")
    assert (viewer._colouring["categories"], viewer._colouring["missing"]) == (["False", "True"], 1)
