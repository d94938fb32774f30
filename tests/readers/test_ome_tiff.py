"""OME-TIFF: names and micrometres from the XML, of the series and the level that is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from integrate.errors import DataError, IntegrateWarning
from integrate.readers.ome_tiff import OmeTiff
from integrate.testing import ReaderTests

NAMES = ["DAPI", "CD3"]


def pixels(shape: tuple[int, ...] = (2, 101, 203), dtype: str = "u2") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def write_image(file: Path, data: np.ndarray | None = None, **metadata: Any) -> Path:
    """Write a two-level OME-TIFF whose second level is not an exact half."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data = pixels() if data is None else data
    described = {
        "axes": "CYX",
        "Channel": {"Name": NAMES},
        "PhysicalSizeX": 0.5,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 325.0,
        "PhysicalSizeYUnit": "nm",
        **metadata,
    }
    with tifffile.TiffWriter(file, ome=True) as writer:
        writer.write(data, subifds=1, tile=(32, 32), metadata={k: v for k, v in described.items() if v is not None})
        writer.write(data[:, ::2, ::2], subfiletype=1, tile=(32, 32))
    return file


def read(file: Path, **options: Any) -> Any:
    return OmeTiff(url=str(file), **options).read()


class TestContract(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> OmeTiff:
        file = write_image(folder / "a.ome.tif")
        return OmeTiff(url=str(file), metadata={"channels": [{"name": "DAPI"}, {"name": "CD3"}]})

    def check(self, opened: Any) -> None:
        assert opened.dims == ("c", "y", "x")
        assert opened.c.values.tolist() == NAMES
        np.testing.assert_array_equal(opened.values, pixels())
        assert opened.attrs["integrate"]["pixel_size_um"] == pytest.approx([0.325, 0.5])
        np.testing.assert_allclose(opened.y.values[:2], [0.1625, 0.4875])


def test_pixel_size_of_a_level_is_the_true_ratio_of_shapes(tmp_path: Path) -> None:
    image = read(write_image(tmp_path / "a.ome.tif"), level=1)
    assert image.shape == (2, 51, 102)
    assert image.attrs["integrate"]["pixel_size_um"] == pytest.approx([0.325 * 101 / 51, 0.5 * 203 / 102])
    assert image.attrs["integrate"]["levels"] == [[2, 101, 203], [2, 51, 102]]


@pytest.mark.parametrize(
    "metadata",
    [
        {"PhysicalSizeX": None, "PhysicalSizeXUnit": None},
        {"PhysicalSizeXUnit": "pixel"},
        {"PhysicalSizeX": 0.0},
        {"PhysicalSizeY": float("nan")},
    ],
    ids=["absent", "pixel", "zero", "nan"],
)
def test_a_size_that_is_no_length_is_unknown(tmp_path: Path, metadata: dict[str, Any]) -> None:
    image = read(write_image(tmp_path / "a.ome.tif", **metadata))
    assert image.attrs["integrate"]["pixel_size_um"] is None
    assert image.x.attrs["units"] == "px"


def test_channels_must_be_those_the_catalog_names(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.ome.tif")
    with pytest.raises(DataError, match=r"1 of 1 channels the catalog names are not in the file: 'CD8'.*'DAPI', 'CD3'"):
        read(file, metadata={"channels": [{"name": "CD8"}]})


def test_channels_without_names_are_numbered_with_a_warning(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.ome.tif", Channel=None)
    with pytest.warns(IntegrateWarning, match="2 channels without usable names"):
        assert read(file).c.values.tolist() == ["channel_0", "channel_1"]


def test_each_series_has_its_own_names_and_size(tmp_path: Path) -> None:
    file = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(file, ome=True) as writer:
        for size, names in ((0.5, ["a", "b"]), (2.0, ["c", "d"])):
            described = {"axes": "CYX", "Channel": {"Name": names}, "PhysicalSizeX": size, "PhysicalSizeY": size}
            writer.write(pixels((2, 8, 9)) + int(size), metadata=described)
    second = read(file, series=1)
    assert second.c.values.tolist() == ["c", "d"]
    assert second.attrs["integrate"]["pixel_size_um"] == [2.0, 2.0]
    np.testing.assert_array_equal(second.values, pixels((2, 8, 9)) + 2)
    with pytest.raises(DataError, match="has 2 series, numbered from 0; there is no series 2"):
        read(file, series=2)


def test_colour_samples_are_channels(tmp_path: Path) -> None:
    rgb = pixels((40, 30, 3), "u1")
    tifffile.imwrite(tmp_path / "a.ome.tif", rgb, photometric="rgb", metadata={"axes": "YXS"})
    image = read(tmp_path / "a.ome.tif")
    assert image.c.values.tolist() == ["red", "green", "blue"]
    np.testing.assert_array_equal(image.values, rgb.transpose(2, 0, 1))


def test_a_stack_is_refused_and_a_single_plane_of_it_is_not(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "z.ome.tif", pixels((4, 8, 9)), metadata={"axes": "ZYX"})
    with pytest.raises(DataError, match="has 4 planes along 'Z'; expected one 2-D image"):
        read(tmp_path / "z.ome.tif")
    tifffile.imwrite(
        tmp_path / "one.ome.tif", pixels((1, 1, 8, 9)), metadata={"axes": "TCYX", "Channel": {"Name": ["DNA"]}}
    )
    assert read(tmp_path / "one.ome.tif").shape == (1, 8, 9)


def test_a_tiff_without_ome_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels((8, 9)))
    with pytest.raises(DataError, match=r"a.tif is a TIFF without OME-XML"):
        read(tmp_path / "a.tif")


def test_real_slide_tile_without_ome_is_refused(test_data: Any) -> None:
    with pytest.raises(DataError, match="is a TIFF without OME-XML"):
        read(test_data("monuseg-he") / "TCGA-AR-A1AK-01Z-00-DX1.tif")
