"""The pictures of the simulated study: formats that open, and pixels that agree with the planted truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.typing import NDArray

from integrate.datasets.fluorescence import CHANNELS
from integrate.datasets.warp import Warp

SUBJECT, SPECIMEN, LABEL = "SIM-001", "SIM-001-S1", "sim001_s1"
PIXEL_UM = 0.5


@pytest.fixture(scope="module")
def fluorescence(study: Path) -> NDArray[np.uint16]:
    return tifffile.imread(study / "pathology" / f"{LABEL}_if.ome.tif")


@pytest.fixture(scope="module")
def slide(study: Path) -> NDArray[np.uint8]:
    return tifffile.imread(study / "pathology" / f"{LABEL}_he.ome.tif")


@pytest.fixture(scope="module")
def warp(truth: dict[str, Any]) -> Warp:
    planted = truth["subjects"][SUBJECT]["sections"][SPECIMEN]["slide_um_to_fluorescence_um"]
    return Warp(
        np.array(planted["affine"]),
        *(np.array(planted["elastic"][k]) for k in ("amplitude_um", "wave_per_um", "phase")),
    )


def planted(cells: pd.DataFrame, modality: str, **where: object) -> pd.DataFrame:
    chosen = cells[(cells["specimen_id"] == SPECIMEN) & (cells["modality"] == modality)]
    for column, value in where.items():
        chosen = chosen[chosen[column] == value]
    return chosen


def at(picture: NDArray[Any], cells: pd.DataFrame) -> NDArray[Any]:
    """The pixels that hold the cells' centres, of those inside the picture."""
    rows, columns = (np.floor(cells[axis].to_numpy() / PIXEL_UM).astype(int) for axis in ("y_um", "x_um"))
    inside = (rows >= 0) & (rows < picture.shape[0]) & (columns >= 0) & (columns < picture.shape[1])
    return picture[rows[inside], columns[inside]]


def test_the_fluorescence_file_declares_channels_and_pixel_size(study: Path) -> None:
    import xml.etree.ElementTree as ElementTree

    with tifffile.TiffFile(study / "pathology" / f"{LABEL}_if.ome.tif") as file:
        series, page = file.series[0], file.pages.first
        assert (series.axes, series.shape, str(series.dtype)) == ("CYX", (8, 400, 400), "uint16")
        assert (page.tile, page.compression) == ((256, 256), tifffile.COMPRESSION.ADOBE_DEFLATE)
        pixels = ElementTree.fromstring(file.ome_metadata or "").find(".//{*}Pixels")
    assert pixels is not None
    assert {pixels.get(f"PhysicalSize{axis}") for axis in "XY"} == {"0.5"}
    assert {pixels.get(f"PhysicalSize{axis}Unit") for axis in "XY"} == {"µm"}
    assert [c.get("Name") for c in pixels.findall("{*}Channel")] == [channel.name for channel in CHANNELS]


def test_the_slide_is_a_tiled_jpeg_pyramid(study: Path) -> None:
    with tifffile.TiffFile(study / "pathology" / f"{LABEL}_he.ome.tif") as file:
        assert [level.shape for level in file.series[0].levels] == [(400, 440, 3), (200, 220, 3)]
        page = file.pages.first
        assert (page.tile, page.compression) == ((256, 256), tifffile.COMPRESSION.JPEG)
        assert len(page.subifds or ()) == 1


def test_nuclei_are_bright_where_they_were_planted(fluorescence: NDArray[np.uint16], cells: pd.DataFrame) -> None:
    nuclei = at(fluorescence[0], planted(cells, "IF"))
    assert len(nuclei) > 150
    assert (nuclei > 5 * np.median(fluorescence[0])).mean() > 0.97


@pytest.mark.parametrize(
    ("channel", "kind"), [("PanCK", "tumour"), ("CD8", "cd8_t"), ("CD20", "b_cell"), ("CD68", "macrophage")]
)
def test_markers_surround_the_cells_that_carry_them(
    fluorescence: NDArray[np.uint16], cells: pd.DataFrame, channel: str, kind: str
) -> None:
    from scipy import ndimage

    index = [c.name for c in CHANNELS].index(channel)
    around = ndimage.maximum_filter(fluorescence[index], 13)
    carriers, others = (at(around, planted(cells, "IF", type=name)) for name in (kind, "fibroblast"))
    assert np.median(carriers) > 3 * np.median(others)


def test_a_plain_watershed_counts_the_nuclei(fluorescence: NDArray[np.uint16], cells: pd.DataFrame) -> None:
    from scipy import ndimage
    from skimage import feature, filters, measure, segmentation

    smooth = filters.gaussian(fluorescence[0].astype(float), 2)
    mask = smooth > 0.8 * filters.threshold_otsu(smooth)
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1)
    seeds = np.zeros(mask.shape, int)
    peaks = feature.peak_local_max(depth, min_distance=5, labels=measure.label(mask))
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = segmentation.watershed(-depth, seeds, mask=mask)
    hit = at(labels, planted(cells, "IF"))
    assert abs(labels.max() - len(hit)) / len(hit) < 0.06
    _, members = np.unique(hit[hit > 0], return_counts=True)
    assert (members == 1).sum() / len(hit) > 0.9


def test_slide_nuclei_are_blue_and_dark(slide: NDArray[np.uint8], cells: pd.DataFrame) -> None:
    nuclei = at(slide, planted(cells, "SM")).astype(float)
    assert nuclei[:, 0].mean() < 130 < 225 < slide[:5].mean()
    assert (nuclei[:, 2] > nuclei[:, 0]).mean() > 0.95


def test_the_planted_transform_carries_shared_cells_onto_themselves(cells: pd.DataFrame, warp: Warp) -> None:
    pair = planted(cells, "SM").merge(planted(cells, "IF"), on="cell_id", suffixes=("_h", "_f"))
    assert len(pair) > 0.4 * len(planted(cells, "IF"))
    moved = warp.forward(pair[["x_um_h", "y_um_h"]].to_numpy(float))
    error = np.hypot(*(moved - pair[["x_um_f", "y_um_f"]].to_numpy(float)).T)
    assert np.median(error) < 1.0  # the same cell lies 0.6 um per axis apart in the next section
    affine_only = moved - warp.elastic(pair[["x_um_h", "y_um_h"]].to_numpy(float))
    assert np.median(np.hypot(*(affine_only - pair[["x_um_f", "y_um_f"]].to_numpy(float)).T)) > np.median(error)


def test_the_transform_and_its_inverse_cancel(warp: Warp) -> None:
    points = np.random.default_rng(0).uniform(0, 200, (500, 2))
    np.testing.assert_allclose(warp.forward(warp.inverse(points)), points, atol=1e-6)


def test_the_transform_is_a_moderate_one(truth: dict[str, Any]) -> None:
    for subject in truth["subjects"].values():
        for section in subject["sections"].values():
            linear = np.array(section["slide_um_to_fluorescence_um"]["affine"])[:2, :2]
            turn = abs(np.rad2deg(np.arctan2(linear[1, 0], linear[0, 0])))
            assert turn <= 15.1
            assert 0.95 < np.linalg.det(linear) < 1.06


def test_outlines_open_and_agree_as_planted(study: Path, truth: dict[str, Any]) -> None:
    import geopandas

    outlines = geopandas.read_file(study / "pathology" / f"{LABEL}_tumour.geojson").set_crs(None, allow_override=True)
    regions = outlines.dissolve(by="annotator").geometry
    assert list(regions.index) == ["reader1", "reader2"]
    assert outlines.is_valid.all()
    common = regions["reader1"].intersection(regions["reader2"]).area
    dice = 2 * common / regions.area.sum()
    assert dice == pytest.approx(truth["subjects"][SUBJECT]["sections"][SPECIMEN]["annotator_dice"], abs=1e-4)
    assert 0.75 < dice < 0.99


def test_outlines_are_in_level_0_pixels_around_the_tumour_cells(study: Path, cells: pd.DataFrame) -> None:
    from shapely.geometry import Point, shape

    features = json.loads((study / "pathology" / f"{LABEL}_tumour.geojson").read_text())["features"]
    drawn = [shape(f["geometry"]) for f in features if f["properties"]["annotator"] == "reader1"]

    def inside(kind: str) -> float:
        points = planted(cells, "SM", type=kind)[["x_um", "y_um"]].to_numpy() / PIXEL_UM
        return float(np.mean([any(region.contains(Point(p)) for region in drawn) for p in points]))

    assert inside("tumour") > 0.9
    assert inside("fibroblast") < 0.1
