"""Contours to voxels: exactly those whose centre lies inside, and the published mask of the IBSI phantom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from integrate.errors import AlignmentError, DataError, DatasetNotFoundError
from integrate.readers.deidentify import KEY_VARIABLE, deidentify_dicom
from integrate.readers.dicom import DicomSeries
from integrate.readers.grid import Grid, make_volume
from integrate.readers.rtstruct import RtStruct, label_structures
from integrate.readers.volume import Volume
from integrate.testing import ReaderTests

from .dicom_parts import write_structures

SQUARE = np.array([[2.0, 1.5], [6.2, 1.5], [6.2, 4.4], [2.0, 4.4]])


def volume(axes: np.ndarray | None = None) -> Any:
    """Return an empty 4 × 6 × 9 image with oblong voxels, turned as asked."""
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if axes is None else axes) * np.array([1.1, 0.8, 3.0])
    affine[:3, 3] = [-50, -30, 100]
    grid = Grid.from_affine(affine, where="test")
    return make_volume(np.zeros((4, 6, 9)), grid, name="CT", notes={**grid.notes(), "frame_of_reference_uid": "1.2.4"})


def contour(image: Any, k: float, points: np.ndarray) -> np.ndarray:
    """Return points of a plane (x, y in voxels) in patient mm."""
    index = np.c_[points, np.full(len(points), k), np.ones(len(points))]
    return (index @ np.array(image.attrs["integrate"]["affine_lps"]).T)[:, :3]


def read(file: Path, **options: Any) -> Any:
    return RtStruct(url=str(file), **options).read()


class TestContract(ReaderTests):
    def reader(self, folder: Path) -> RtStruct:
        folder.mkdir(exist_ok=True)
        image = volume()
        contours = {"GTV": [contour(image, 1, SQUARE), contour(image, 2, SQUARE)], "empty": []}
        return RtStruct(url=str(write_structures(folder / "a.dcm", contours)), ids={"dicom_patient": "0007"})

    def check(self, opened: Any) -> None:
        assert opened["roi_name"].tolist() == ["GTV", "GTV"]
        assert opened.attrs["integrate"]["empty"] == ["empty"]
        assert opened.attrs["integrate"]["unit"] == "mm"
        assert shapely.get_coordinates(opened.geometry, include_z=True)[0].tolist() == pytest.approx(
            [-47.8, -28.8, 103]
        )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(seed=7069, turned=False)
@given(seed=st.integers(0, 10_000), turned=st.booleans())
def test_voxels_inside_are_those_a_slow_test_finds(
    tmp_path_factory: pytest.TempPathFactory, seed: int, *, turned: bool
) -> None:
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 12))
    star = np.c_[4.2 + np.cos(angle) * rng.uniform(0.5, 4, 12), 2.6 + np.sin(angle) * rng.uniform(0.5, 2.4, 12)]
    image = volume(np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]]) if turned else None)
    file = write_structures(tmp_path_factory.mktemp("r") / "a.dcm", {"star": [contour(image, 2, star)]})
    labels = label_structures(read(file), image)
    polygon = shapely.Polygon(star)
    centres = [[shapely.Point(i, j) for i in range(9)] for j in range(6)]
    expected = np.array([[polygon.contains(centre) for centre in row] for row in centres])
    told = np.array([[polygon.exterior.distance(centre) > 1e-4 for centre in row] for row in centres])  # files round
    np.testing.assert_array_equal((labels.values[2] > 0)[told], expected[told])
    assert not labels.values[[0, 1, 3]].any()


def test_an_inner_contour_is_a_hole(tmp_path: Path) -> None:
    image, inner = volume(), np.array([[3.5, 2.5], [4.5, 2.5], [4.5, 3.5], [3.5, 3.5]])
    file = write_structures(tmp_path / "a.dcm", {"ring": [contour(image, 0, SQUARE), contour(image, 0, inner)]})
    plane = label_structures(read(file), image).values[0]
    assert plane[3, 4] == 0
    assert plane.sum() == 5 * 3 - 1


def test_structures_that_share_voxels_are_drawn_one_by_one(tmp_path: Path) -> None:
    image = volume()
    both = {"a": [contour(image, 0, SQUARE)], "b": [contour(image, 0, SQUARE + np.array([2, 0]))]}
    structures = read(write_structures(tmp_path / "a.dcm", both))
    with pytest.raises(DataError, match=r"9 voxels of 'b' are in another structure too"):
        label_structures(structures, image)
    assert label_structures(structures, image, names="b").attrs["integrate"]["labels"] == {"1": "b"}
    with pytest.raises(DatasetNotFoundError, match="no structure named 'c'"):
        label_structures(structures, image, names="c")


def test_contours_elsewhere_are_refused(tmp_path: Path) -> None:
    image = volume()
    between = read(write_structures(tmp_path / "a.dcm", {"a": [contour(image, 1.5, SQUARE)]}))
    with pytest.raises(AlignmentError, match=r"1 contours of 'a' lie between slices, at '1.50'"):
        label_structures(between, image)
    outside = read(write_structures(tmp_path / "b.dcm", {"a": [contour(image, 9, SQUARE)]}))
    with pytest.raises(AlignmentError, match="outside the volume, at slice 9 of 4"):
        label_structures(outside, image)
    image.attrs["integrate"]["frame_of_reference_uid"] = "9"
    with pytest.raises(AlignmentError, match="different frames of reference"):
        label_structures(between, image)


def test_each_structure_is_checked_by_its_own_frame_of_reference(tmp_path: Path) -> None:
    image = volume()
    file = write_structures(tmp_path / "a.dcm", {"CT": [contour(image, 1, SQUARE)], "MR": [contour(image, 2, SQUARE)]})
    plan = dcmread(file)
    plan.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "1.2.5"
    plan.save_as(file)
    structures = read(file)
    assert structures["frame_of_reference_uid"].tolist() == ["1.2.4", "1.2.5"]
    with pytest.raises(
        AlignmentError, match=r"the structures 'MR' and the volume have different .*draw only 'CT' with"
    ):
        label_structures(structures, image)
    assert label_structures(structures, image, names="CT").values.any()
    del image.attrs["integrate"]["frame_of_reference_uid"]
    with pytest.raises(AlignmentError, match="lie in 2 frames of reference and the volume states none"):
        label_structures(structures, image)


def test_structures_read_deidentified_are_those_of_the_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    file = write_structures(tmp_path / "in" / "a.dcm", {"Mr Smith's GTV": [contour(volume(), 1, SQUARE)], "none": []})
    monkeypatch.setenv(KEY_VARIABLE, "a key for tests only")
    copied = read(Path(deidentify_dicom(tmp_path / "in", tmp_path / "out")["path"][0]))
    found = read(file, deidentify=True)
    assert found.drop(columns="geometry").equals(copied.drop(columns="geometry"))
    assert found.geometry.geom_equals_exact(copied.geometry, 0).all()
    for name in ("frame_of_reference_uid", "study_uid", "empty"):
        assert found.attrs["integrate"][name] == copied.attrs["integrate"][name]
        assert found.attrs["integrate"][name] != read(file).attrs["integrate"][name]
    assert "Smith" not in found.to_csv()


def test_an_image_is_no_structure(test_data: Any) -> None:
    with pytest.raises(DataError, match="holds 'CT'; expected RTSTRUCT"):
        read(test_data("dicom-small") / "ct_image.dcm")


def test_ibsi_phantom_gives_the_published_mask_voxel_for_voxel(test_data: Any) -> None:
    folder = test_data("ibsi1-phantoms") / "ibsi_1_ct_radiomics_phantom"
    image = DicomSeries(url=str(folder / "dicom/image")).read()
    labels = label_structures(read(folder / "dicom/mask/DCM_RS_00060.dcm"), image, names="GTV-1")
    published = Volume(url=str(folder / "nifti/mask/mask.nii.gz"), labels=True).read()
    assert int(labels.sum()) == 125_256
    np.testing.assert_array_equal(labels.values, published.values)
