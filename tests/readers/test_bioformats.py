"""Bio-Formats in a real Java machine, also as an independent reader of the files that these tests write."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from integrate.errors import MissingDependencyError, ParameterError
from integrate.readers.bioformats import JAR, BioFormats
from integrate.testing import ReaderTests

from .microscope_files import nd2_loops, write_lif, write_nd2

PIXELS = np.random.default_rng(0).integers(0, 4000, (3, 2, 4, 60, 90), dtype=np.uint16)
STEPS = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 500, "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 2.0}
needs_java = pytest.mark.skipif(
    not (os.environ.get(JAR) and shutil.which("java")), reason=f"needs Java, and Bio-Formats at ${JAR}"
)


def write(file: Path, **told: Any) -> str:
    metadata = {"axes": "TCZYX", "Channel": {"Name": ["DAPI", "CD3"]}, "TimeIncrement": 1.5, "TimeIncrementUnit": "s"}
    tifffile.imwrite(file, PIXELS, metadata={**metadata, **STEPS, **told}, photometric="minisblack")
    return str(file)


@needs_java
class TestContract(ReaderTests):
    lazy = True
    cut = 0.0001  # Bio-Formats reads what there is of a file cut off later, and gives 0 for the rest

    def reader(self, folder: Path) -> BioFormats:
        pytest.importorskip("jpype")
        return BioFormats(url=write(folder / "a.ome.tif"))

    def check(self, opened: Any) -> None:
        assert opened.dims == ("t", "c", "z", "y", "x")
        assert opened.coords["c"].values.tolist() == ["DAPI", "CD3"]
        assert opened.attrs["integrate"]["pixel_size_um"] == pytest.approx([0.5, 0.25])
        assert opened.coords["z"].values == pytest.approx([1, 3, 5, 7])
        assert opened.coords["t"].values == pytest.approx([0, 1.5, 3.0])
        assert opened.attrs["integrate"]["format"] == "OME-TIFF"
        np.testing.assert_array_equal(opened.values, PIXELS)


@needs_java
def test_our_nd2_is_one_to_bio_formats_too(tmp_path: Path) -> None:
    pytest.importorskip("jpype")
    loops = nd2_loops(3, [("A", 1.0, 2.0)], 4, z_step_um=1.5)
    frames = list(PIXELS.transpose(0, 2, 3, 4, 1).reshape(-1, 60, 90, 2))
    file = write_nd2(
        tmp_path / "a.nd2", frames, names=["DAPI", "CD3"], loops=loops, times_ms=[float(i) for i in range(12)]
    )
    image = BioFormats(url=file).read()
    assert image.attrs["integrate"]["pixel_size_um"] == pytest.approx([0.25, 0.25])
    np.testing.assert_array_equal(
        np.sort(image.values.reshape(-1, 60, 90), axis=0), np.sort(PIXELS.reshape(-1, 60, 90), 0)
    )


@needs_java
def test_our_lif_is_one_to_bio_formats_too(tmp_path: Path) -> None:
    pytest.importorskip("jpype")
    steps = {"x": 0.25e-6, "y": 0.5e-6, "z": 2e-6, "t": 3.5}
    held = np.ascontiguousarray(PIXELS.transpose(0, 2, 1, 3, 4))
    file = write_lif(
        tmp_path / "a.lif", [("S", held, "tzcyx", steps, ["DAPI", "Cy5"]), ("T", held, "tzcyx", steps, [None] * 2)]
    )
    with pytest.raises(ParameterError, match=r"a.lif has 2 images: .*; name one with series=0"):
        BioFormats(url=file).read()
    image = BioFormats(url=file, series=1).read()
    assert image.attrs["integrate"]["pixel_size_um"] == pytest.approx([0.5, 0.25])
    np.testing.assert_array_equal(image.values, PIXELS)


@needs_java
def test_a_colour_picture_and_levels_that_are_not_there(tmp_path: Path) -> None:
    pytest.importorskip("jpype")
    colour = np.random.default_rng(1).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", colour, photometric="rgb")
    image = BioFormats(url=str(tmp_path / "a.tif")).read()
    assert image.coords["c"].values.tolist() == ["red", "green", "blue"]
    np.testing.assert_array_equal(image.values, colour.transpose(2, 0, 1))
    with pytest.raises(ParameterError, match=r"a.tif has 1 levels, from 0; there is no 1"):
        BioFormats(url=str(tmp_path / "a.tif"), level=1).read()


def test_without_java_what_is_needed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        import jpype

        if jpype.isJVMStarted():
            pytest.skip("Java runs in this process")
    except ImportError:
        pass
    monkeypatch.delenv(JAR, raising=False)
    (tmp_path / "a.lsm").write_bytes(b"x")
    with pytest.raises(MissingDependencyError, match=r"needs Java 8 or later, JPype .*INTEGRATE_BIOFORMATS_JAR"):
        BioFormats(url=str(tmp_path / "a.lsm")).read()
