"""A subject's images come into named spaces: micrometres when known, pixels when not, never invented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from spatialdata.transformations import get_transformation

import integrate as ig
from integrate.align.place import load_subject, place_image
from integrate.errors import ParameterError
from integrate.model.image import make_image


def lazy_image(pixel_size_um: tuple[float, float] | None) -> object:
    def refuse(block: np.ndarray) -> np.ndarray:
        raise AssertionError("a pixel was read")

    pixels = da.zeros((2, 8, 6), dtype="uint16").map_blocks(refuse, dtype="uint16", meta=np.empty((0, 0, 0), "uint16"))
    return make_image(pixels, channels=["DNA", "CD3"], pixel_size_um=pixel_size_um)


def test_known_pixel_size_becomes_a_scale_per_axis_without_reading() -> None:
    placed = place_image(lazy_image((0.5, 0.25)), space="slide")
    matrix = get_transformation(placed, "slide").to_affine_matrix(("x", "y"), ("x", "y"))
    np.testing.assert_allclose(matrix, np.diag([0.25, 0.5, 1.0]))


def test_unknown_pixel_size_stays_in_pixels() -> None:
    placed = place_image(lazy_image(None), space="slide")
    assert list(get_transformation(placed, get_all=True)) == ["slide_px"]


def test_subject_of_the_real_study_has_both_fields(test_data: Callable[[str], Path]) -> None:
    study = ig.open_study(ig.open_catalog("dcis", data_root=str(test_data("dcis-mibi").parent)))
    space = load_subject(study, "1027")
    assert sorted(space.images) == ["mibi_4133", "mibi_6201"]
    assert sorted(space.coordinate_systems) == ["mibi_4133_px", "mibi_6201_px"]
    assert space.attrs["integrate"]["mibi_6201"]["ids"]["specimen_id"] == "20597"
    with pytest.raises(ParameterError, match="no subject_id '1028'; closest: '1082'"):
        load_subject(study, "1028")


def test_notes_survive_writing(test_data: Callable[[str], Path], tmp_path: Path) -> None:
    import spatialdata as sd

    study = ig.open_study(ig.open_catalog("dcis", data_root=str(test_data("dcis-mibi").parent)))
    load_subject(study, "1116").write(tmp_path / "subject.zarr")
    again = sd.read_zarr(tmp_path / "subject.zarr")
    assert again.attrs["integrate"]["mibi_2206"]["pixel_size_um"] is None
    assert again.attrs["integrate"]["mibi_2206"]["ids"]["subject_id"] == "1116"
