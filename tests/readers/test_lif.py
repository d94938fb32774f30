"""LIF in the published layout of Leica, written here: no library writes them, and `liffile` reads what we wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from integrate.errors import DataError, IntegrateWarning, ParameterError
from integrate.readers.lif import Lif
from integrate.testing import ReaderTests

from .microscope_files import write_lif

liffile = pytest.importorskip("liffile")

PIXELS = np.random.default_rng(0).integers(0, 4000, (3, 4, 2, 20, 30), dtype=np.uint16)
STEPS = {"x": 0.25e-6, "y": 0.5e-6, "z": 2e-6, "t": 3.5}
STACK = ("Series001", PIXELS, "tzcyx", STEPS, ["DAPI", "Cy5"])


def write(file: Path, *more: Any) -> str:
    return write_lif(file, [STACK, *more])


class TestContract(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> Lif:
        return Lif(url=write(folder / "a.lif"))

    def check(self, opened: Any) -> None:
        assert opened.dims == ("t", "c", "z", "y", "x")
        assert opened.coords["c"].values.tolist() == ["DAPI", "Cy5"]
        assert opened.attrs["integrate"]["pixel_size_um"] == pytest.approx([0.5, 0.25])
        assert opened.coords["z"].values == pytest.approx([1, 3, 5, 7])
        assert opened.coords["t"].values == pytest.approx([0, 3.5, 7])
        np.testing.assert_array_equal(opened.values, PIXELS.transpose(0, 2, 1, 3, 4))


def test_the_library_reads_the_same_of_the_file_we_wrote(tmp_path: Path) -> None:
    file = write(tmp_path / "a.lif")
    with liffile.LifFile(file) as opened:
        assert opened.images[0].sizes == {"T": 3, "Z": 4, "C": 2, "Y": 20, "X": 30}
        np.testing.assert_array_equal(opened.images[0].asarray(), PIXELS)


def test_images_are_named_never_guessed(tmp_path: Path) -> None:
    second = ("Series002", PIXELS[0, 0] + 1, "cyx", STEPS, [None, None])
    file = write(tmp_path / "a.lif", second)
    with pytest.raises(ParameterError, match=r"a.lif has images 'Series001', 'Series002'; name one with image="):
        Lif(url=file).read()
    for wanted in ("Series002", 1):
        image = Lif(url=file, image=wanted).read()
        np.testing.assert_array_equal(image.values, second[1])
        assert image.attrs["integrate"]["names_from"] == "look-up table"
        assert image.coords["c"].values.tolist() == ["Blue", "Green"]
    with pytest.raises(ParameterError, match="no image 'Series003'"):
        Lif(url=file, image="Series003").read()


def test_tiles_of_a_mosaic_are_named(tmp_path: Path) -> None:
    tiles = np.random.default_rng(1).integers(0, 255, (5, 8, 9), dtype=np.uint8)
    file = write_lif(tmp_path / "a.lif", [("Tiles", tiles, "myx", STEPS, ["DAPI"])])
    with pytest.raises(ParameterError, match="is a mosaic of 5 tiles; name one with tile="):
        Lif(url=file).read()
    np.testing.assert_array_equal(Lif(url=file, tile=3).read().values[0], tiles[3])
    with pytest.raises(ParameterError, match="has 5 tiles, from 0; there is no tile 5"):
        Lif(url=file, tile=5).read()


def test_colours_of_a_camera_are_red_green_blue(tmp_path: Path) -> None:
    blue_green_red = np.zeros((6, 8, 3), np.uint8)
    blue_green_red[..., 0], blue_green_red[..., 2] = 1, 3
    file = write_lif(tmp_path / "a.lif", [("Photo", blue_green_red, "yxs", STEPS, [None] * 3)])
    image = Lif(url=file).read()
    assert image.coords["c"].values.tolist() == ["red", "green", "blue"]
    assert image.values[:, 2, 3].tolist() == [3, 0, 1]


def test_channels_of_one_name_are_told(tmp_path: Path) -> None:
    two = np.concatenate([PIXELS[0, 0]] * 2)  # four channels, of which the vendor's palette names three
    file = write_lif(tmp_path / "a.lif", [("A", two, "cyx", {}, [None, "Cy5", "Cy5", "DAPI"])])
    with pytest.warns(IntegrateWarning, match="4 channels of a.lif have no usable names"):
        image = Lif(url=file).read()
    assert image.coords["c"].values.tolist() == [f"channel_{number}" for number in range(4)]
    assert image.attrs["integrate"]["pixel_size_um"] is None


def test_a_scan_that_is_no_plane_is_refused(tmp_path: Path) -> None:
    file = write_lif(tmp_path / "a.lif", [("XZ", PIXELS[0, :, 0, 0], "zx", STEPS, ["DAPI"])])
    with pytest.raises(DataError, match=r"image 'XZ' of a.lif has axes .*; expected time, channel, depth, y and x"):
        Lif(url=file).read()
