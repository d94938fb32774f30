"""A placed image goes to OME-Zarr and comes back to the same place; other readers see its pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from spatialdata.models import Image2DModel
from spatialdata.transformations import Affine as Placed

import integrate as ig
from integrate.align.grid import read_grid, set_space
from integrate.align.space import Space
from integrate.align.transform import Affine, DisplacementField, Transform
from integrate.errors import AlignmentError, DataError, ParameterError, SourceNotFoundError
from integrate.features.radiomics.volume import make_volume
from integrate.model.image import make_image, make_labels

SLIDE, SECTION = Space("slide", "um"), Space("section", "um")
TURN = Affine(((0.8, -0.6, 90), (0.6, 0.8, -20), (0, 0, 1)), SLIDE, SECTION)
BEND = DisplacementField(np.random.default_rng(0).normal(0, 3, (5, 5, 2)), (0, 0), (20, 20), SLIDE, SECTION)


def image() -> Any:
    pixels = np.random.default_rng(1).integers(0, 999, (2, 24, 30), dtype=np.uint16)
    return set_space(make_image(pixels, channels=["DNA", "CD3"], pixel_size_um=(2.0, 4.0)), name="slide")


@pytest.mark.parametrize("transform", [None, TURN, BEND])
def test_a_crop_comes_back_to_where_it_was(transform: Transform | None, tmp_path: Path) -> None:
    part = ig.crop(image(), x=(20, 100), y=(8, 40))
    again, way = ig.read_placed(ig.write_placed(part, tmp_path / "part.ome.zarr", transform=transform))
    np.testing.assert_array_equal(again.values, part.values)
    assert list(again.c.values) == ["DNA", "CD3"]
    own = read_grid(part).affine
    truth = own if transform is None else own.then(transform)
    pixels = np.random.default_rng(2).uniform(0, 16, (50, 2))
    np.testing.assert_allclose(
        read_grid(again).affine.then(way).map_points(pixels), truth.map_points(pixels), atol=1e-9
    )
    assert (way.target.name, way.target.unit) == ("slide" if transform is None else "section", "um")


def test_the_written_numbers_speak_of_pixel_centres_as_ngff_does(tmp_path: Path) -> None:
    """By hand from the JSON: array index (row, column) × scale, then the affine, is where our centre lies."""
    ig.write_placed(image(), tmp_path / "a.ome.zarr", transform=TURN)
    said = json.loads((tmp_path / "a.ome.zarr" / "zarr.json").read_text())["attributes"]["ome"]
    assert said["version"] == "0.5"
    scale = said["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"][-2:]
    (told,) = said["coordinateTransformations"]
    assert (told["type"], told["output"]) == ("affine", "section")
    assert {one["name"] for one in said["coordinateSystems"]} == {told["input"], "section"}
    index = np.array([3, 7])
    row, column = np.array(told["affine"]) @ [*(index * scale), 1]
    np.testing.assert_allclose([column, row], TURN.map_points([[7.5 * 4, 3.5 * 2]])[0])


def test_labels_and_oblique_elements_keep_their_place(tmp_path: Path) -> None:
    named = set_space(make_labels(np.arange(12, dtype=np.int32).reshape(3, 4), pixel_size_um=None), name="cells")
    again, way = ig.read_placed(ig.write_placed(named, tmp_path / "l.ome.zarr"))
    assert again.dims == ("y", "x")
    np.testing.assert_array_equal(again.values, named.values)
    assert (way.target.unit, way.map_points([[1, 1]]).tolist()) == ("px", [[1, 1]])
    matrix = np.array([[0.0, -2, 30], [3, 0, 5], [0, 0, 1]])
    placed = {"slide_px": Placed(matrix, input_axes=("x", "y"), output_axes=("x", "y"))}
    element = Image2DModel.parse(image().values, dims=("c", "y", "x"), transformations=placed)
    again, way = ig.read_placed(ig.write_placed(element, tmp_path / "e.ome.zarr"))
    np.testing.assert_allclose(way.map_points([[7, 3]]), [[-2 * 3 + 30, 3 * 7 + 5]])


def test_what_cannot_be_written_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"does not end in \.ome\.zarr"):
        ig.write_placed(image(), tmp_path / "a.tif")
    with pytest.raises(AlignmentError, match="the image lies in space 'slide'"):
        ig.write_placed(image(), tmp_path / "a.ome.zarr", transform=TURN.inverse())
    volume = set_space(make_volume(np.zeros((2, 4, 4)), spacing_mm=(1, 1, 1)), name="v")
    with pytest.raises(DataError, match="a volume keeps its place in NIfTI"):
        ig.write_placed(volume, tmp_path / "a.ome.zarr")
    ig.write_placed(image(), tmp_path / "a.ome.zarr")
    with pytest.raises(ParameterError, match="pass overwrite=True"):
        ig.write_placed(image(), tmp_path / "a.ome.zarr")
    ig.write_placed(image(), tmp_path / "a.ome.zarr", transform=TURN, overwrite=True)
    assert ig.read_placed(tmp_path / "a.ome.zarr")[1].target.name == "section"
    assert [one.name for one in tmp_path.iterdir()] == ["a.ome.zarr"]
    assert "multiscales" in zarr.open_group(tmp_path / "a.ome.zarr", mode="r").attrs["ome"]  # type: ignore[operator]
    with pytest.raises(SourceNotFoundError, match="no transform at"):
        ig.read_placed(tmp_path / "b.ome.zarr")
