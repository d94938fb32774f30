"""Writers: what was written is read again by us and by others, and a failure leaves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import geopandas as gpd
import numpy as np
import pytest
import shapely
import SimpleITK as sitk
import tifffile

import integrate as ig
from integrate.errors import AlignmentError, DataError, IntegrateWarning, ParameterError, UnitError
from integrate.model.image import make_image, make_labels
from integrate.readers.dicom import DicomSeries
from integrate.readers.dicom_seg import DicomSeg, place_labels
from integrate.readers.geojson import GeoJSON
from integrate.readers.grid import Grid, make_volume
from integrate.readers.labels import Labels
from integrate.readers.ome_tiff import OmeTiff
from integrate.readers.ome_zarr import OmeZarr
from integrate.readers.planes import make_planes
from integrate.readers.volume import Volume

from .dicom_parts import add_pixels, dataset

PIXELS = np.random.default_rng(0).integers(0, 4000, (2, 1301, 700), dtype=np.uint16)


def image() -> Any:
    lazy = da.from_array(PIXELS, chunks=(1, 500, 300))
    return make_image(lazy, channels=["DAPI", "CD3"], pixel_size_um=(0.5, 0.25), ids={"subject_id": "P01"})


def volume(dtype: Any = np.int16, *, t: bool = False) -> Any:
    """A volume turned in space, of three different spacings."""
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * [0.8, 1.1, 3.0], [-100, 50, 7]
    shape = (2, 5, 6, 7) if t else (5, 6, 7)
    pixels = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    grid = Grid.from_affine(affine, where="made")
    return make_volume(pixels, grid, name="MR", notes=grid.notes(), time_s=[0.0, 2.5] if t else None)


def test_ome_tiff_is_what_was_written(tmp_path: Path) -> None:
    file = ig.write_image(image(), tmp_path / "a.ome.tif")
    back = OmeTiff(url=str(file)).read()
    np.testing.assert_array_equal(back.values, PIXELS)
    assert back.coords["c"].values.tolist() == ["DAPI", "CD3"]
    assert back.attrs["integrate"]["pixel_size_um"] == [0.5, 0.25]
    assert back.attrs["integrate"]["levels"] == [[2, 1301, 700], [2, 650, 350], [2, 325, 175]]
    np.testing.assert_array_equal(tifffile.imread(file), PIXELS)
    coarse = OmeTiff(url=str(file), level=1).read().values
    means = PIXELS[:, :1300].reshape(2, 650, 2, 350, 2).mean(axis=(2, 4))
    np.testing.assert_array_equal(coarse, np.round(means).astype(np.uint16))


def test_ome_zarr_is_what_was_written(tmp_path: Path) -> None:
    store = ig.write_image(image(), tmp_path / "a.ome.zarr")
    back = OmeZarr(url=str(store)).read()
    np.testing.assert_array_equal(back.values, PIXELS)
    assert back.coords["c"].values.tolist() == ["DAPI", "CD3"]
    assert back.attrs["integrate"]["pixel_size_um"] == [0.5, 0.25]
    coarse = OmeZarr(url=str(store), level=2).read()
    assert coarse.attrs["integrate"]["pixel_size_um"] == [2.0, 1.0]
    assert coarse["y"].values[0] == pytest.approx(1.0)
    assert "origin_um" not in coarse.attrs["integrate"]


def test_ome_zarr_opens_in_its_own_reader(tmp_path: Path) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    store = ig.write_image(image(), tmp_path / "a.ome.zarr")
    node = next(iter(Reader(parse_url(str(store)))()))
    assert [one.shape for one in node.data] == [(2, 1301, 700), (2, 650, 350), (2, 325, 175)]
    assert node.metadata["channel_names"] == ["DAPI", "CD3"]
    np.testing.assert_array_equal(node.data[0].compute(), PIXELS)


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tif"])
def test_time_and_depth_are_kept(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(2).integers(0, 255, (3, 2, 4, 20, 30), dtype=np.uint8)
    made = make_planes(pixels, "tczyx", channels=["A", "B"], pixel_size_um=(0.5, 0.5), z_step_um=2.0, time_s=60.0)
    path = ig.write_image(made, tmp_path / f"a{suffix}")
    if suffix == ".ome.zarr":
        back = OmeZarr(url=str(path)).read()
        np.testing.assert_array_equal(back.values, pixels)
        assert back["t"].values.tolist() == [0, 60, 120]
        assert back["z"].values.tolist() == [1, 3, 5, 7]
    else:
        with tifffile.TiffFile(path) as tiff:
            np.testing.assert_array_equal(tiff.series[0].asarray(), pixels)
            assert 'PhysicalSizeZ="2.0"' in tiff.ome_metadata
            assert 'TimeIncrement="60.0"' in tiff.ome_metadata
    uneven = made.assign_coords(t=("t", [0.0, 1, 5], {"units": "s"}))
    with pytest.warns(IntegrateWarning, match="time points are not evenly spaced"):
        ig.write_image(uneven, tmp_path / f"b{suffix}")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.uint32])
def test_nifti_lies_where_the_volume_lay(tmp_path: Path, name: str, dtype: Any) -> None:
    made = volume(dtype)
    file = ig.write_image(made, tmp_path / name)
    back = Volume(url=str(file)).read()
    np.testing.assert_array_equal(back.values, made.values)
    assert np.allclose(back.attrs["integrate"]["affine_lps"], made.attrs["integrate"]["affine_lps"], atol=1e-4)
    theirs = sitk.ReadImage(str(file))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(theirs), made.values)
    expected = (np.array(made.attrs["integrate"]["affine_lps"]) @ [3, 2, 4, 1])[:3]
    assert theirs.TransformIndexToPhysicalPoint((3, 2, 4)) == pytest.approx(expected, abs=1e-3)


def test_nifti_keeps_time(tmp_path: Path) -> None:
    made = volume(t=True)
    back = Volume(url=str(ig.write_image(made, tmp_path / "a.nii"))).read()
    assert back.dims == ("t", "z", "y", "x")
    assert back["t"].values.tolist() == [0.0, 2.5]
    np.testing.assert_array_equal(back.values, made.values)


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tif"])
def test_labels_keep_their_numbers_in_every_level(tmp_path: Path, suffix: str) -> None:
    values = np.zeros((1301, 700), np.int32)
    values[100:300, 50:90], values[700:, 400:] = 7, 70_000
    path = ig.write_labels(make_labels(values, pixel_size_um=(0.5, 0.5)), tmp_path / f"a{suffix}")
    if suffix == ".ome.zarr":
        levels = [OmeZarr(url=str(path), level=level).read() for level in (0, 1, 2)]
    else:
        levels = [OmeTiff(url=str(path), level=level).read() for level in (0, 1, 2)]
        np.testing.assert_array_equal(Labels(url=str(path)).read().values, values)
    np.testing.assert_array_equal(levels[0].values[0], values)
    assert all(set(np.unique(level)) == {0, 7, 70_000} for level in levels)


def write_series(folder: Path, count: int = 4) -> np.ndarray:
    folder.mkdir()
    pixels = np.random.default_rng(3).integers(0, 100, (count, 9, 11), dtype=np.int16)
    for k, plane in enumerate(pixels):
        made = dataset("CT", "1.2.840.10008.5.1.4.1.1.2", k + 1)
        made.ImagePositionPatient, made.ImageOrientationPatient = [-10, 5, 3.0 * k], [1, 0, 0, 0, 1, 0]
        made.PixelSpacing, made.SliceThickness, made.PatientName = [0.8, 1.1], 5, "Doe^Jane"
        made.RescaleSlope, made.RescaleIntercept, made.StudyDate = 1, 0, "20200101"
        add_pixels(made, plane)
        made.save_as(folder / f"{k}.dcm", enforce_file_format=True)
    return pixels


def test_dicom_seg_lies_on_its_series(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    ct = DicomSeries(url=str(tmp_path / "ct")).read()
    values = np.zeros(ct.shape, np.uint8)
    values[1:3, 2:5, 3:9], values[2, 6:, 1:4] = 1, 2
    labels = ct.copy(data=values)
    file = ig.write_labels(labels, tmp_path / "seg.dcm", source=tmp_path / "ct", names={1: "tumour", 2: "node"})
    back = DicomSeg(url=str(file)).read()
    assert back.attrs["integrate"]["labels"] == {"1": "tumour", "2": "node"}
    np.testing.assert_array_equal(place_labels(back, ct).values, values)
    again = ig.write_labels(labels, tmp_path / "again.dcm", source=tmp_path / "ct", names={1: "tumour", 2: "node"})
    assert again.read_bytes() == file.read_bytes()


def test_dicom_seg_of_other_images_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    ct = DicomSeries(url=str(tmp_path / "ct")).read()
    labels = ct.copy(data=np.ones(ct.shape, np.uint8))
    with pytest.raises(ParameterError, match="give source=, the folder of their series"):
        ig.write_labels(labels, tmp_path / "seg.dcm")
    with pytest.raises(DataError, match="the labels are '5': renumber them"):
        ig.write_labels(labels * np.uint8(5), tmp_path / "seg.dcm", source=tmp_path / "ct")
    (tmp_path / "ct" / "2.dcm").unlink()
    with pytest.raises(AlignmentError, match=r"plane 2 of the labels .* lies on none of 3 images"):
        ig.write_labels(labels, tmp_path / "seg.dcm", source=tmp_path / "ct")
    assert not list(tmp_path.glob("*seg*"))


def test_outlines_are_what_was_written(tmp_path: Path) -> None:
    shapes = gpd.GeoDataFrame(
        {"classification": ["tumour", None], "annotator": ["A", None], "area": [4.0, np.nan], "n": [1, 2]},
        geometry=[shapely.box(0.5, 1, 2.5, 3), shapely.Point(5, 5).buffer(2).difference(shapely.Point(5, 5).buffer(1))],
        index=["x1", "x2"],
    )
    back = GeoJSON(url=str(ig.write_shapes(shapes, tmp_path / "a.geojson"))).read()
    assert back["id"].tolist() == ["x1", "x2"]
    assert back["classification"].tolist() == ["tumour", None]
    assert back["annotator"].tolist() == ["A", None]
    assert back["n"].tolist() == [1, 2]
    assert np.isnan(back["area"][1])
    assert all(a.equals(b) for a, b in zip(back.geometry, shapes.geometry, strict=True))


def test_nothing_is_replaced_unasked_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    file = ig.write_image(image(), tmp_path / "a.ome.tif")
    before = file.read_bytes()
    with pytest.raises(ParameterError, match=r"'a.ome.tif' is there already; overwrite=True replaces it"):
        ig.write_image(image(), file)

    def fail(block: Any) -> Any:
        raise DataError("a block is damaged")

    broken = image()
    broken = broken.copy(data=broken.data.map_blocks(fail, dtype=np.uint16, meta=np.empty((0, 0, 0), np.uint16)))
    for name in ("a.ome.tif", "b.ome.zarr", "c.ome.tif"):
        with pytest.raises(DataError, match="a block is damaged"):
            ig.write_image(broken, tmp_path / name, overwrite=True)
    assert file.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.ome.tif"]
    store = ig.write_image(image(), tmp_path / "s.ome.zarr")
    ig.write_image(image(), store, overwrite=True)


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"cannot tell the format of 'a.png'; known suffixes: '.ome.zarr'"):
        ig.write_image(image(), tmp_path / "a.png")
    with pytest.raises(UnitError, match=r"volumes in patient coordinates; the array has axes \('c', 'y', 'x'\)"):
        ig.write_image(image(), tmp_path / "a.nii")
    with pytest.raises(DataError, match="labels are float64"):
        ig.write_labels(volume(float), tmp_path / "a.nii")
