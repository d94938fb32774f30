"""Plain TIFF and ImageJ: no plane without a meaning, no micrometre from a print setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from integrate.errors import DataError, ParameterError
from integrate.readers.plain_tiff import Tiff
from integrate.testing import ReaderTests


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, shape).astype("u2")


def read(file: Path, **options: Any) -> Any:
    return Tiff(url=str(file), **options).read()


def imagej(file: Path, data: np.ndarray, axes: str, **metadata: Any) -> Path:
    described = {"axes": axes, "unit": "um", "spacing": 2.5, "finterval": 30.0, **metadata}
    tifffile.imwrite(file, data, imagej=True, resolution=(4.0, 2.0), metadata=described)
    return file


class TestContract(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> Tiff:
        folder.mkdir(exist_ok=True)
        tifffile.imwrite(folder / "a.tif", pixels(3, 30, 40), photometric="minisblack", tile=(16, 16))
        return Tiff(url=str(folder / "a.tif"), metadata={"channels": [{"name": n} for n in ("H3", "CD8", "CDH")]})

    def check(self, opened: Any) -> None:
        assert opened.dims == ("c", "y", "x")
        assert opened.c.values.tolist() == ["H3", "CD8", "CDH"]
        np.testing.assert_array_equal(opened.values, pixels(3, 30, 40))
        assert opened.attrs["integrate"]["pixel_size_um"] is None


def test_an_imagej_hyperstack_keeps_axes_and_units(tmp_path: Path) -> None:
    data = pixels(4, 3, 2, 20, 30)
    image = read(imagej(tmp_path / "a.tif", data, "TZCYX", Labels=["DNA", "actin"] * 12))
    assert image.dims == ("t", "z", "c", "y", "x")
    np.testing.assert_array_equal(image.values, data)
    assert image.attrs["integrate"]["pixel_size_um"] == [0.5, 0.25]
    np.testing.assert_allclose(image.t, [0, 30, 60, 90])
    np.testing.assert_allclose(image.z, [1.25, 3.75, 6.25])
    assert (image.t.attrs["units"], image.z.attrs["units"]) == ("s", "um")
    assert image.c.values.tolist() == ["DNA", "actin"]


def test_a_unit_that_is_no_length_gives_no_micrometres(tmp_path: Path) -> None:
    assert read(imagej(tmp_path / "a.tif", pixels(20, 30), "YX", unit="pixel")).x.attrs["units"] == "px"


def test_print_resolution_is_not_a_pixel_size(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels(20, 30), resolution=(72, 72), resolutionunit="inch")
    assert read(tmp_path / "a.tif").attrs["integrate"]["pixel_size_um"] is None
    assert read(tmp_path / "a.tif", pixel_size_um=[0.5, 0.4]).attrs["integrate"]["pixel_size_um"] == [0.5, 0.4]


def test_planes_without_a_meaning_are_refused_until_it_is_given(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels(3, 20, 30), photometric="minisblack")
    with pytest.raises(DataError, match=r"a.tif has 3 planes and does not say of what .*axes=, e.g. 'CYX'"):
        read(tmp_path / "a.tif")
    film = read(tmp_path / "a.tif", axes="TYX")
    assert film.dims == ("t", "c", "y", "x")
    np.testing.assert_array_equal(film.values[:, 0], pixels(3, 20, 30))
    with pytest.raises(ParameterError, match=r"axes='YX' .*give one letter each"):
        read(tmp_path / "a.tif", axes="YX")
    with pytest.raises(ParameterError, match=r"axes='CQX'; use letters of TZCYXS"):
        read(tmp_path / "a.tif", axes="CQX")
    with pytest.raises(DataError, match=r"has 3 channels, the catalog names 2"):
        read(tmp_path / "a.tif", axes="CYX", channels=["a", "b"])


def test_several_images_in_one_file_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(pixels(20, 30), metadata=None)
        writer.write(pixels(10, 30), metadata=None)
    with pytest.raises(DataError, match=r"holds \(20, 30\) and \(10, 30\); expected one image"):
        read(tmp_path / "a.tif")


def test_real_imaging_mass_cytometry_agrees_with_its_published_cells(test_data: Any) -> None:
    import pandas as pd

    from integrate.readers.labels import Labels

    folder = test_data("cytomapper-pancreas")
    panel = pd.read_csv(folder / "pancreasSCE_panel.csv")["clean_Target"].tolist()
    cells = pd.read_csv(folder / "pancreasSCE_cells.csv")
    cells = cells[cells["ImageName"] == "E34_imc.tiff"]
    channels = {"channels": [{"name": name} for name in panel]}
    image = read(folder / "E34_imc.tiff", metadata=channels).values
    labels = Labels(url=str(folder / "E34_mask.tiff")).read().values
    edge = set(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]).tolist())
    inner = cells[~cells["CellNb"].isin(edge)]
    assert len(inner) > 50
    for cell in inner.itertuples():
        means = [image[c][labels == cell.CellNb].mean() for c in range(len(panel))]
        np.testing.assert_allclose(means, [getattr(cell, f"counts_{name}") for name in panel], rtol=1e-5)


def test_real_colour_tile(test_data: Any) -> None:
    tile = read(test_data("monuseg-he") / "TCGA-AR-A1AK-01Z-00-DX1.tif")
    assert tile.shape == (3, 1000, 1000)
    assert tile.c.values.tolist() == ["red", "green", "blue"]
