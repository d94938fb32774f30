"""Whole slides: every level in the same coordinates, from TIFF and from DICOM made by the standard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

import integrate as ig
from integrate.errors import DataError
from integrate.model.image import make_image
from integrate.readers.open_slide import OpenSlide
from integrate.readers.whole_slide import WSI_CLASS, DicomSlide, WholeSlide
from integrate.testing import ReaderTests

from .dicom_parts import dataset, item

TILE = 256
#: Smooth, so that JPEG keeps it; not symmetric.
Y, X = np.mgrid[0:1100, 0:900]
SLIDE = np.stack([Y / 5, X / 4, (Y + X) / 9], axis=-1).astype(np.uint8)


def write_svs(file: Path) -> str:
    with tifffile.TiffWriter(file, bigtiff=True) as tiff:
        told = "Aperio Image Library v1\r\n900x1100 |AppMag = 20|MPP = 0.5"
        options: dict[str, Any] = {"tile": (TILE, TILE), "photometric": "rgb", "compression": "zlib", "metadata": None}
        tiff.write(SLIDE, description=told, **options)
        tiff.write(SLIDE[::8, ::8], photometric="rgb", metadata=None, description=told)  # the thumbnail comes second
        tiff.write(SLIDE[::4, ::4], description=told, **options)
    return str(file)


def write_level(file: Path, pixels: np.ndarray, *, kind: str = "VOLUME", sparse: bool = False, skip: int = -1) -> None:
    """Write one instance of a DICOM slide: JPEG tiles, all in order, or placed one by one and one left out."""
    made = dataset("SM", WSI_CLASS, len(list(file.parent.iterdir())) + 1)
    made.ImageType = ["ORIGINAL", "PRIMARY", kind, "NONE"]
    down, across = -(-pixels.shape[0] // TILE), -(-pixels.shape[1] // TILE)
    padded = np.pad(pixels, ((0, down * TILE - pixels.shape[0]), (0, across * TILE - pixels.shape[1]), (0, 0)), "edge")
    places = [(r, c) for r in range(down) for c in range(across)]
    places = [place for number, place in enumerate(places) if number != skip]
    if sparse:
        places = places[::-1]
    frames = [
        imagecodecs.jpeg8_encode(
            padded[r * TILE : (r + 1) * TILE, c * TILE : (c + 1) * TILE], level=95, subsampling="444"
        )
        for r, c in places
    ]
    made.Rows = made.Columns = TILE
    made.TotalPixelMatrixRows, made.TotalPixelMatrixColumns = pixels.shape[:2]
    made.NumberOfFrames, made.SamplesPerPixel, made.PhotometricInterpretation = len(frames), 3, "YBR_FULL"
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation, made.PlanarConfiguration = 7, 0, 0
    made.DimensionOrganizationType = "TILED_SPARSE" if sparse else "TILED_FULL"
    edge = 0.0005 * SLIDE.shape[1] / pixels.shape[1]
    made.SharedFunctionalGroupsSequence = [item(PixelMeasuresSequence=[item(PixelSpacing=[edge, edge])])]
    if sparse:
        made.PerFrameFunctionalGroupsSequence = [
            item(
                PlanePositionSlideSequence=[
                    item(
                        RowPositionInTotalImagePixelMatrix=r * TILE + 1,
                        ColumnPositionInTotalImagePixelMatrix=c * TILE + 1,
                    )
                ]
            )
            for r, c in places
        ]
    made.OpticalPathSequence = [item(OpticalPathIdentifier="1", ICCProfile=b"profile!")]
    made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    made.PixelData = encapsulate(frames)
    made["PixelData"].VR = "OB"
    made.save_as(file, enforce_file_format=True)


def write_dicom(folder: Path, **options: Any) -> str:
    folder.mkdir(parents=True)
    write_level(folder / "b.dcm", SLIDE, **options)
    write_level(folder / "a.dcm", SLIDE[::4, ::4])
    write_level(folder / "c.dcm", SLIDE[:200, :250], kind="LABEL")
    return str(folder)


class SlideTests(ReaderTests):
    lazy = True
    tolerance = 0

    def check(self, opened: Any) -> None:
        fine, coarse = opened["scale0"]["image"], opened["scale1"]["image"]
        assert fine.shape == (3, 1100, 900)
        assert coarse.shape == (3, 275, 225)
        assert fine["x"].attrs["units"] == "um"
        assert fine["x"].values[[0, -1]] == pytest.approx([0.25, 449.75])
        assert coarse["x"].values[[0, -1]] == pytest.approx([1, 449])
        notes = opened.attrs["integrate"]
        assert notes["pixel_size_um"] == pytest.approx([0.5, 0.5])
        assert notes["pixel_size_from"] == "scanner"
        difference = np.abs(fine.values.astype(int) - SLIDE.transpose(2, 0, 1))
        assert difference.max() <= self.tolerance


class TestSvs(SlideTests):
    def reader(self, folder: Path) -> WholeSlide:
        return WholeSlide(url=write_svs(folder / "a.svs"))


class TestOpenSlide(SlideTests):
    def reader(self, folder: Path) -> OpenSlide:
        pytest.importorskip("openslide")
        return OpenSlide(url=write_svs(folder / "a.svs"))


class TestDicom(SlideTests):
    tolerance = 6  # JPEG

    def reader(self, folder: Path) -> DicomSlide:
        return DicomSlide(url=write_dicom(folder / "slide"))

    def check(self, opened: Any) -> None:
        super().check(opened)
        notes = opened.attrs["integrate"]
        assert (notes["associated"], notes["has_label"], notes["icc_profile"]) == (["label"], True, True)
        assert notes["missing_tiles"] == [0, 0]
        assert opened["associated/label/image"].shape == (3, 200, 250)


def test_sparse_tiles_lie_where_they_say_and_absent_ones_are_counted(tmp_path: Path) -> None:
    slide = DicomSlide(url=write_dicom(tmp_path / "slide", sparse=True, skip=5)).read()
    assert slide.attrs["integrate"]["missing_tiles"] == [1, 0]
    found = slide["scale0"]["image"].values
    expected = SLIDE.transpose(2, 0, 1).copy()
    expected[:, TILE : 2 * TILE, TILE : 2 * TILE] = 255  # the sixth tile of four columns
    assert np.abs(found.astype(int) - expected).max() <= 6


def test_two_slides_in_one_folder_are_refused(tmp_path: Path) -> None:
    folder = Path(write_dicom(tmp_path / "slide"))
    import pydicom

    other = pydicom.dcmread(folder / "a.dcm")
    other.SeriesInstanceUID = "1.2.9"
    other.save_as(folder / "d.dcm")
    with pytest.raises(DataError, match="holds 2 DICOM slides; expected the instances of one"):
        DicomSlide(url=str(folder)).read()


def test_the_wrong_patient_is_refused(tmp_path: Path) -> None:
    reader = DicomSlide(url=write_dicom(tmp_path / "slide"), ids={"dicom_patient": "0008"})
    with pytest.raises(DataError, match="0008"):
        reader.read()


def test_an_ome_tiff_is_a_slide_too(tmp_path: Path) -> None:
    image = make_image(SLIDE.transpose(2, 0, 1), channels=["red", "green", "blue"], pixel_size_um=(0.5, 0.5))
    slide = WholeSlide(url=str(ig.write_image(image, tmp_path / "a.ome.tif"))).read()
    assert [slide[f"scale{k}"]["image"].shape for k in (0, 1, 2)] == [(3, 1100, 900), (3, 550, 450), (3, 275, 225)]
    assert slide["scale2"]["image"]["x"].values[-1] == pytest.approx(449)


def test_a_real_slide_has_its_level_and_its_size(test_data: Any) -> None:
    file = next(test_data("wsi-svs").glob("*.svs"))
    slide = WholeSlide(url=str(file)).read()
    assert slide["scale0"]["image"].shape == (3, 2967, 2220)
    assert slide.attrs["integrate"]["pixel_size_um"] == pytest.approx([0.499, 0.499])


def test_a_real_dicom_slide_is_what_highdicom_reads(test_data: Any) -> None:
    """Every pixel was the same as those of highdicom's total pixel matrix; its means are kept here."""
    slide = DicomSlide(url=str(test_data("dicom-small"))).read()
    assert slide["scale0"]["image"].shape == (3, 50, 50)
    assert slide["scale0"]["image"].values.mean(axis=(1, 2)) == pytest.approx([243.9092, 243.888, 243.8864])
    assert slide.attrs["integrate"]["pixel_size_um"] == pytest.approx([0.499, 0.499])


def test_openslide_and_our_own_decoder_give_the_same_slide(test_data: Any) -> None:
    pytest.importorskip("openslide")
    file = str(test_data("wsi-svs") / "cmu-1-small-region.svs")
    theirs, ours = OpenSlide(url=file).read(), WholeSlide(url=file).read()
    for name in ("scale0", "associated/macro"):
        np.testing.assert_array_equal(theirs[name]["image"].values, ours[name]["image"].values)
    notes = theirs.attrs["integrate"]
    assert (notes["vendor"], notes["objective_power"], notes["pixel_size_um"]) == ("aperio", 20.0, [0.499, 0.499])
    assert notes["associated"] == sorted(ours.attrs["integrate"]["associated"])
