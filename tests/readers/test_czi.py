"""CZI written by the vendor's own library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from integrate.errors import DataError, IntegrateWarning, ParameterError
from integrate.readers.czi import Czi
from integrate.testing import ReaderTests

czi = pytest.importorskip("pylibCZIrw.czi")

PIXELS = np.random.default_rng(0).integers(0, 4000, (2, 2, 3, 40, 60), dtype=np.uint16)


def write(file: Path, **metadata: Any) -> str:
    """Write two times, two channels, three planes, at a place of the stage that is not 0."""
    told = {"channel_names": {0: "DAPI", 1: "CD3"}, "scale_x": 0.25e-6, "scale_y": 0.5e-6, "scale_z": 2e-6, **metadata}
    with czi.create_czi(str(file)) as writer:
        for t, c, z in np.ndindex(PIXELS.shape[:3]):
            plane = {"T": t, "C": c, "Z": z}
            writer.write(data=PIXELS[t, c, z][..., None], plane=plane, location=(100, -30))
        writer.write_metadata(document_name="made", **{name: value for name, value in told.items() if value})
    return str(file)


class TestContract(ReaderTests):
    lazy = True
    cut = 0.3  # the library recovers what it can of the planes, but not without its directory

    def reader(self, folder: Path) -> Czi:
        return Czi(url=write(folder / "a.czi"))

    def check(self, opened: Any) -> None:
        assert opened.dims == ("t", "c", "z", "y", "x")
        assert opened.coords["c"].values.tolist() == ["DAPI", "CD3"]
        assert opened.attrs["integrate"]["pixel_size_um"] == pytest.approx([0.5, 0.25])
        assert opened.coords["z"].values == pytest.approx([1.0, 3.0, 5.0])
        np.testing.assert_array_equal(opened.values, PIXELS)


def test_scenes_are_named_never_guessed(tmp_path: Path) -> None:
    file = tmp_path / "a.czi"
    with czi.create_czi(str(file)) as writer:
        for scene in (0, 1):
            data = np.full((30 + scene, 40, 1), 7 + scene, np.uint8)
            writer.write(data=data, location=(scene * 500, 0), scene=scene)
        writer.write_metadata(document_name="two", channel_names={0: "A"}, scale_x=1e-6, scale_y=1e-6)
    with pytest.raises(ParameterError, match=r"has scenes '0', '1'; name one with scene="):
        Czi(url=str(file)).read()
    image = Czi(url=str(file), scene=1).read()
    assert image.shape == (1, 31, 40)
    assert (image.values == 8).all()
    with pytest.raises(ParameterError, match="no scene 2"):
        Czi(url=str(file), scene=2).read()


def test_a_mosaic_larger_than_a_block_is_put_together(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (2500, 3000), dtype=np.uint8)
    with czi.create_czi(str(tmp_path / "a.czi")) as writer:
        for top in (0, 1250):
            for left in (0, 1500):
                tile = np.ascontiguousarray(pixels[top : top + 1250, left : left + 1500, None])
                writer.write(data=tile, location=(left, top))
        writer.write_metadata(document_name="x", channel_names={0: "A"})
    image = Czi(url=str(tmp_path / "a.czi")).read()
    assert image.attrs["integrate"]["pixel_size_um"] is None
    np.testing.assert_array_equal(image.values[0], pixels)


def test_colours_of_a_camera_are_red_green_blue(tmp_path: Path) -> None:
    blue_green_red = np.zeros((10, 12, 3), np.uint8)
    blue_green_red[..., 0], blue_green_red[..., 2] = 1, 3
    with czi.create_czi(str(tmp_path / "a.czi")) as writer:
        writer.write(data=blue_green_red)
        writer.write_metadata(document_name="x", scale_x=1e-6, scale_y=1e-6)
    image = Czi(url=str(tmp_path / "a.czi")).read()
    assert image.coords["c"].values.tolist() == ["red", "green", "blue"]
    assert image.values[:, 0, 0].tolist() == [3, 0, 1]


def test_channels_without_names_are_told(tmp_path: Path) -> None:
    with pytest.warns(IntegrateWarning, match=r"2 channels of a.czi have no usable names"):
        image = Czi(url=write(tmp_path / "a.czi", channel_names=None)).read()
    assert image.coords["c"].values.tolist() == ["channel_0", "channel_1"]


def test_channels_of_the_catalog_are_checked(tmp_path: Path) -> None:
    reader = Czi(url=write(tmp_path / "a.czi"), metadata={"channels": [{"name": "CD8"}]})
    with pytest.raises(DataError, match="1 of 1 channels the catalog names are not in the file: 'CD8'"):
        reader.read()
