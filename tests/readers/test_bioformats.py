"""Bio-Formats in a real Java machine, where there is one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from integrate.errors import MissingDependencyError
from integrate.readers.bioformats import JAR, BioFormats
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
