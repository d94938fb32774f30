"""Label images: integers that name instances, exactly as stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from integrate.errors import DataError
from integrate.readers.labels import Labels
from integrate.testing import ReaderTests


def labels() -> np.ndarray:
    return np.repeat(np.arange(40, dtype=np.int32), 25).reshape(20, 50) * 70_000


class TestContract(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> Labels:
        tifffile.imwrite(folder / "mask.tif", labels(), compression="zlib")
        return Labels(url=str(folder / "mask.tif"), pixel_size_um=[1, 1])

    def check(self, opened: Any) -> None:
        assert opened.dims == ("y", "x")
        assert opened.dtype == np.int32
        np.testing.assert_array_equal(opened.values, labels())
        assert opened.attrs["integrate"]["pixel_size_um"] == [1.0, 1.0]


@pytest.mark.parametrize(
    "content", [np.ones((8, 9), np.complex64), np.ones((3, 8, 9), np.uint8)], ids=["not integer", "not one plane"]
)
def test_what_is_no_label_image_is_refused(tmp_path: Path, content: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "mask.tif", content, photometric="minisblack")
    with pytest.raises(DataError, match=r"mask.tif holds .*; a label image is one 2-D plane of integers"):
        Labels(url=str(tmp_path / "mask.tif")).read()


def test_a_second_image_in_the_file_is_not_overlooked(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "mask.tif") as writer:
        writer.write(labels())
        writer.write(labels()[:4, :4])
    with pytest.raises(DataError, match=r"of shape \(20, 50\) and int32 of shape \(4, 4\)"):
        Labels(url=str(tmp_path / "mask.tif")).read()


def test_real_masks_hold_the_published_cells(test_data: Any) -> None:
    import pandas as pd

    root = test_data("cytomapper-pancreas")
    cells = pd.read_csv(root / "pancreasSCE_cells.csv")
    found = 0
    for file in sorted(root.glob("*_mask.tiff")):
        mask = Labels(url=str(file)).read()
        assert mask.shape == (100, 100)
        found += len(np.unique(mask.values[mask.values > 0]))
    assert found == len(cells) == 362


def test_whole_numbers_stored_as_floating_point_are_labels(tmp_path: Path) -> None:
    stored = np.array([[0, 1], [7, 0]], np.float32)
    tifffile.imwrite(tmp_path / "mask.tif", stored)
    labels = Labels(url=str(tmp_path / "mask.tif")).read()
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels.values, stored)
    tifffile.imwrite(tmp_path / "image.tif", stored + np.float32(0.5))
    with pytest.raises(DataError, match=r"image.tif holds values that are no whole numbers"):
        Labels(url=str(tmp_path / "image.tif")).read().compute()
