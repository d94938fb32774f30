"""ND2 in the published layout of chunks, written here: no library writes them, and `nd2` reads what we wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from integrate.errors import DataError, IntegrateWarning, ParameterError
from integrate.readers.nd2 import Nd2
from integrate.testing import ReaderTests

from .microscope_files import nd2_loops, write_nd2

nd2 = pytest.importorskip("nd2")

#: Times, positions, planes, rows, columns, channels.
PIXELS = np.random.default_rng(0).integers(0, 4000, (3, 2, 4, 20, 30, 2), dtype=np.uint16)
PLACES = [("well_A1", 100.0, -30.0), ("well_B3", 900.0, 40.0)]
TIMES_MS = [7.0 + 5100.0 * t + 100 * p + 10 * z for t, p, z in np.ndindex(PIXELS.shape[:3])]


def write(file: Path, **changed: Any) -> str:
    loops = nd2_loops(PIXELS.shape[0], PLACES, PIXELS.shape[2], z_step_um=1.5)
    told = {"names": ["DAPI", "CD3"], "loops": loops, "times_ms": TIMES_MS, **changed}
    return write_nd2(file, list(PIXELS.reshape(-1, *PIXELS.shape[3:])), **told)


class TestContract(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> Nd2:
        return Nd2(url=write(folder / "a.nd2"), position="well_B3")

    def check(self, opened: Any) -> None:
        assert opened.dims == ("t", "c", "z", "y", "x")
        assert opened.coords["c"].values.tolist() == ["DAPI", "CD3"]
        notes = opened.attrs["integrate"]
        assert notes["pixel_size_um"] == [0.25, 0.25]
        assert (notes["position"], notes["stage_um"]) == ("well_B3", [900.0, 40.0])
        assert opened.coords["z"].values == pytest.approx([0.75, 2.25, 3.75, 5.25])
        assert opened.coords["t"].values == pytest.approx([0, 5.1, 10.2])
        np.testing.assert_array_equal(opened.values, PIXELS[:, 1].transpose(0, 4, 1, 2, 3))


def test_the_library_reads_the_same_of_the_file_we_wrote(tmp_path: Path) -> None:
    file = write(tmp_path / "a.nd2")
    theirs = nd2.imread(file)
    assert theirs.shape == (3, 2, 4, 2, 20, 30)
    for number in range(2):
        ours = Nd2(url=file, position=number).read()
        np.testing.assert_array_equal(ours.transpose("t", "z", "c", "y", "x").values, theirs[:, number])


def test_positions_are_named_never_guessed(tmp_path: Path) -> None:
    file = write(tmp_path / "a.nd2")
    with pytest.raises(ParameterError, match=r"has positions 'well_A1', 'well_B3'; name one with position="):
        Nd2(url=file).read()
    for wrong in (2, -1, "well_C1"):
        with pytest.raises(ParameterError, match=f"no position {wrong!r}; it has 'well_A1', 'well_B3'"):
            Nd2(url=file, position=wrong).read()


def test_a_single_frame_is_a_plane_and_its_camera_colours_are_named(tmp_path: Path) -> None:
    frame = np.random.default_rng(1).integers(0, 255, (10, 12, 3), dtype=np.uint8)
    image = Nd2(url=write_nd2(tmp_path / "a.nd2", [frame], names=["camera"], colour=True)).read()
    assert image.dims == ("c", "y", "x")
    assert image.coords["c"].values.tolist() == ["red", "green", "blue"]
    np.testing.assert_array_equal(image.values, frame.transpose(2, 0, 1))


def test_what_is_not_calibrated_is_in_pixels(tmp_path: Path) -> None:
    frame = np.zeros((10, 12, 1), np.uint16)
    image = Nd2(url=write_nd2(tmp_path / "a.nd2", [frame], names=["DAPI"], pixel_um=None)).read()
    assert image.attrs["integrate"]["pixel_size_um"] is None
    assert image.coords["x"].attrs["units"] == "px"


def test_times_that_were_not_kept_are_numbers(tmp_path: Path) -> None:
    image = Nd2(url=write(tmp_path / "a.nd2", times_ms=None), position=0).read()
    assert image.coords["t"].attrs["units"] == "1"
    assert image.coords["t"].values.tolist() == [0, 1, 2]


def test_frames_never_recorded_are_counted(tmp_path: Path) -> None:
    loops = nd2_loops(3, PLACES, 4, z_step_um=1.5)
    kept = list(PIXELS.reshape(-1, *PIXELS.shape[3:]))[:20]
    file = write_nd2(tmp_path / "a.nd2", kept, names=["DAPI", "CD3"], loops=loops, times_ms=TIMES_MS[:20])
    with pytest.warns(IntegrateWarning, match=r"4 of 24 frames of a.nd2 were never recorded; they are 0"):
        image = Nd2(url=file, position=1).read()
    assert (image.isel(t=2).values == 0).all()


def test_the_form_before_2008_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nd2").write_bytes(b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(500))
    with pytest.raises(DataError, match=r"a\.nd2"):
        Nd2(url=str(tmp_path / "a.nd2")).read()
