"""Channel folders: one lazy image, and no channel lost or mixed up without a word."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from integrate.errors import DataError, ParameterError, SourceNotFoundError
from integrate.readers.channel_folder import ChannelFolder
from integrate.testing import ReaderTests

NAMES = ["CD3", "DNA", "PanCK"]


def plane(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 255, (20, 30)).astype(np.uint8)


def write_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for index, name in enumerate(NAMES):
        tifffile.imwrite(folder / f"{name}.tif", plane(index))
    return folder


def read(folder: Path, **options: Any) -> Any:
    return ChannelFolder(url=str(folder), **options).read()


class TestContract(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> ChannelFolder:
        return ChannelFolder(url=str(write_folder(folder / "source")), pixel_size_um=[0.5, 0.25])

    def check(self, opened: Any) -> None:
        assert opened.dims == ("c", "y", "x")
        assert opened.c.values.tolist() == NAMES
        np.testing.assert_array_equal(opened.values, [plane(i) for i in range(3)])
        np.testing.assert_allclose(opened.y.values[:2], [0.25, 0.75])
        np.testing.assert_allclose(opened.x.values[:2], [0.125, 0.375])


def test_pixel_size_is_unknown_unless_the_catalog_says(tmp_path: Path) -> None:
    image = read(write_folder(tmp_path / "s"))
    assert image.attrs["integrate"]["pixel_size_um"] is None
    assert image.x.attrs["units"] == "px"
    with pytest.raises(ParameterError, match=r"pixel_size_um is \[0.5\]"):
        read(tmp_path / "s", pixel_size_um=[0.5])


def test_channels_come_in_the_catalogs_order_and_the_rest_is_listed(tmp_path: Path) -> None:
    image = read(write_folder(tmp_path / "s"), metadata={"channels": [{"name": "PanCK"}, {"name": "CD3"}]})
    assert image.c.values.tolist() == ["PanCK", "CD3"]
    np.testing.assert_array_equal(image.values, [plane(2), plane(0)])
    assert image.attrs["integrate"]["left_out"] == ["DNA"]


def test_missing_channel_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="1 of 2 channels are not in folder 's': 'CD8'; 3 files found"):
        read(write_folder(tmp_path / "s"), channels=["CD3", "CD8"])


def test_different_shapes_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "s")
    tifffile.imwrite(folder / "DNA.tif", plane(0)[:10])
    with pytest.raises(DataError, match=r"differ in shape or type: .*\(10, 30\) uint8: 'DNA'"):
        read(folder)


def test_two_files_of_one_channel_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "s")
    shutil.copy(folder / "DNA.tif", folder / "DNA.tiff")
    with pytest.raises(DataError, match=r"'DNA.tif' and 'DNA.tiff' are the same channel"):
        read(folder)


def test_shadow_files_of_a_mac_are_no_channels(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "s")
    (folder / "._CD3.tif").write_bytes(b"\0\5\x16\7")
    assert read(folder).c.values.tolist() == NAMES


def test_real_field_opens_lazily_and_a_damaged_one_is_refused(test_data: Any, tmp_path: Path) -> None:
    source = test_data("dcis-mibi") / "images" / "Point2206_pt1116_31620"
    image = read(source)
    assert image.shape == (41, 1024, 1024)
    assert image.dtype == np.uint8
    assert image.attrs["integrate"]["pixel_size_um"] is None
    np.testing.assert_array_equal(image.sel(c="HH3").values, tifffile.imread(source / "HH3.tif"))
    copy = tmp_path / "field"
    copy.mkdir()
    for name in ("HH3", "Nuc", "ER"):
        shutil.copyfile(source / f"{name}.tif", copy / f"{name}.tif")
    content = (copy / "Nuc.tif").read_bytes()
    (copy / "Nuc.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"Nuc.tif is (truncated|not a readable TIFF|a TIFF without images)"):
        read(copy)
    (copy / "Nuc.tif").unlink()
    with pytest.raises(SourceNotFoundError, match="1 of 3 channels are not in folder 'field': 'Nuc'"):
        read(copy, channels=["HH3", "Nuc", "ER"])
