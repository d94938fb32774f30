"""Bio-Formats in a real Java machine, where there is one."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from integrate.errors import IntegrateWarning, MissingDependencyError, ParameterError
from integrate.readers.bioformats import JAR, BioFormats
from integrate.readers.harvest import harvest_reader
from integrate.testing import ReaderTests

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
def test_colours_are_red_green_blue_and_images_are_named_never_guessed(tmp_path: Path) -> None:
    pytest.importorskip("jpype")
    colours = PIXELS[0, 0, :3].transpose(1, 2, 0).astype(np.uint8)
    names = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        tiff.write(colours, photometric="rgb", metadata={"axes": "YXS", "Name": "overview", **names})
        told = {"axes": "CYX", "Name": "cells", "Channel": {"Name": ["DAPI", "CD3"]}}
        tiff.write(PIXELS[0, :, 0, :20], photometric="minisblack", metadata=told)
    url = str(tmp_path / "a.ome.tif")
    with pytest.raises(ParameterError, match=r"a\.ome\.tif has 2 images: 'overview', 'cells'; name one with series=0"):
        BioFormats(url=url).read()
    with pytest.raises(ParameterError, match="has 2 images, from 0; there is no image 2"):
        BioFormats(url=url, series=2).read()
    first, second = (BioFormats(url=url, series=number).read() for number in (0, 1))
    assert first.coords["c"].values.tolist() == ["red", "green", "blue"]
    np.testing.assert_array_equal(first.values, colours.transpose(2, 0, 1))
    assert second.coords["c"].values.tolist() == ["DAPI", "CD3"]
    assert second.coords["x"].attrs["units"] == "px"
    np.testing.assert_array_equal(second.values, PIXELS[0, :, 0, :20])
    assert harvest_reader(BioFormats(url=url, series=1)).channels == ("DAPI", "CD3")


@needs_java
def test_a_file_too_small_for_its_pixels_is_told_unless_its_size_is_promised(tmp_path: Path) -> None:
    pytest.importorskip("jpype")
    planes = PIXELS[0, 0]
    header = np.zeros(256, "<i4")
    header[:4], header[7:10], header[52] = (90, 60, 4, 6), (90, 60, 4), 0x2050414D  # size, 16 bits, steps, "MAP "
    file = tmp_path / "a.mrc"
    file.write_bytes(header.tobytes() + planes.tobytes())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="1 channels of a.mrc have no usable names")
        whole = BioFormats(url=str(file)).read()
        np.testing.assert_array_equal(np.sort(whole.values.ravel()), np.sort(planes.ravel()))
        size = file.stat().st_size
        file.write_bytes(file.read_bytes()[: size // 2])
        with pytest.warns(IntegrateWarning, match=r"a\.mrc has .* bytes of pixels: it is compressed, or cut off"):
            BioFormats(url=str(file)).read()
        BioFormats(url=str(file), verify={"bytes": size // 2}).read()


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
