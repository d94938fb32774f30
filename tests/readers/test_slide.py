"""Slides: a level at a time, micrometres only where a scanner stated them, and the pixels OpenSlide gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from integrate.errors import DataError, ParameterError
from integrate.readers.slide import Slide
from integrate.testing import ReaderTests

APERIO = "Aperio Image Library v11\n203x101 |AppMag = 40|MPP = 0.2500|User = someone"


def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, (101, 203, 3)).astype("u1")


def write(file: Path, description: str = APERIO, **resolution: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    tiled = {"tile": (64, 64), "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(file) as writer:
        writer.write(pixels(), description=description, **tiled, **resolution)
        writer.write(pixels()[::4, ::4], photometric="rgb", metadata=None, description="Aperio thumbnail")
        writer.write(pixels()[::2, ::2], description=APERIO, **tiled)
        for name, kind in (("label", 1), ("macro", 9)):
            described = f"Aperio {name} 20x20"
            writer.write(pixels()[:20, :20], photometric="rgb", metadata=None, subfiletype=kind, description=described)
    return file


def read(file: Path, **options: Any) -> Any:
    return Slide(url=str(file), **options).read()


class TestContract(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> Slide:
        return Slide(url=str(write(folder / "a.svs")))

    def check(self, opened: Any) -> None:
        assert opened.c.values.tolist() == ["red", "green", "blue"]
        np.testing.assert_array_equal(opened.values, pixels().transpose(2, 0, 1))
        notes = opened.attrs["integrate"]
        assert (notes["pixel_size_um"], notes["pixel_size_from"]) == ([0.25, 0.25], "scanner")
        assert notes["objective_power"] == 40
        assert notes["has_label"]
        assert "someone" not in str(notes)


def test_a_coarser_level_has_the_size_of_its_true_ratio(tmp_path: Path) -> None:
    level = read(write(tmp_path / "a.svs"), level=1)
    assert level.shape == (3, 51, 102)
    assert level.attrs["integrate"]["pixel_size_um"] == pytest.approx([0.25 * 101 / 51, 0.25 * 203 / 102])
    assert level.attrs["integrate"]["downsamples"][1] == pytest.approx([101 / 51, 203 / 102])
    with pytest.raises(ParameterError, match=r"a.svs has 2 levels, from 0; there is no level 2"):
        read(tmp_path / "a.svs", level=2)


def test_pictures_beside_the_slide_are_read_by_name(tmp_path: Path) -> None:
    macro = read(write(tmp_path / "a.svs"), associated="macro")
    np.testing.assert_array_equal(macro.values, pixels()[:20, :20].transpose(2, 0, 1))
    assert macro.x.attrs["units"] == "px"
    with pytest.raises(ParameterError, match="no picture 'makro'; closest: 'macro'"):
        read(tmp_path / "a.svs", associated="makro")


@pytest.mark.parametrize(
    ("resolution", "expected", "source"),
    [
        ({"resolution": (72, 72), "resolutionunit": "inch"}, None, None),
        ({"resolution": (40_000, 20_000), "resolutionunit": "centimeter"}, [0.5, 0.25], "resolution"),
        ({"resolution": (1, 1), "resolutionunit": "none"}, None, None),
    ],
    ids=["72 dpi", "credible", "no unit"],
)
def test_a_print_resolution_is_no_pixel_size(
    tmp_path: Path, resolution: dict[str, Any], expected: Any, source: Any
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels(), photometric="rgb", metadata=None, **resolution)
    notes = read(tmp_path / "a.tif").attrs["integrate"]
    assert notes["pixel_size_um"] == (None if expected is None else pytest.approx(expected))
    assert notes["pixel_size_from"] == source
    given = read(tmp_path / "a.tif", pixel_size_um=[0.3, 0.3]).attrs["integrate"]
    assert (given["pixel_size_um"], given["pixel_size_from"]) == ([0.3, 0.3], "catalog")


def test_a_stack_is_no_slide(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 30, 40), "u1"), photometric="minisblack")
    with pytest.raises(DataError, match="expected a colour or grey image"):
        read(tmp_path / "a.tif")


def test_real_slide_equals_openslide_pixel_for_pixel(test_data: Any) -> None:
    openslide = pytest.importorskip("openslide")
    file = test_data("wsi-svs") / "cmu-1-small-region.svs"
    ours = read(file)
    with openslide.OpenSlide(file) as theirs:
        assert ours.attrs["integrate"]["pixel_size_um"][1] == float(theirs.properties["openslide.mpp-x"])
        for x, y in [(0, 0), (300, 500), (1901, 2503)]:
            region = np.asarray(theirs.read_region((x, y), 0, (300, 400)))[..., :3]
            np.testing.assert_array_equal(ours[:, y : y + 400, x : x + 300].values.transpose(1, 2, 0), region)
        macro = np.asarray(theirs.associated_images["macro"])[..., :3]
        np.testing.assert_array_equal(read(file, associated="macro").values.transpose(1, 2, 0), macro)


def test_real_slide(test_data: Any) -> None:
    slide = read(test_data("wsi-svs") / "cmu-1-small-region.svs")
    assert slide.shape == (3, 2967, 2220)
    assert slide.attrs["integrate"]["pixel_size_um"] == [0.499, 0.499]
    assert slide.attrs["integrate"]["associated"] == ["thumbnail", "label", "macro"]
