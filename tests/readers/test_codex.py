"""CODEX and PhenoCycler: channels have the names of their pages and cycles, tiles and cells lie on each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from spatialdata.transformations import get_transformation

from integrate.catalog.scan import scan_folder
from integrate.errors import DataError, IntegrateWarning, ParameterError, SourceNotFoundError
from integrate.readers.codex import Codex
from integrate.readers.qptiff import QpTiff
from integrate.testing import ReaderTests

MARKERS = ["DAPI", "CD3e", "CD20"]
SCAN = np.random.default_rng(0).integers(0, 60000, (len(MARKERS), 128, 256), dtype=np.uint16)


def description(kind: str, **fields: Any) -> bytes:
    held = "".join(f"<{tag}>{value}</{tag}>" for tag, value in fields.items())
    text = (
        '<?xml version="1.0" encoding="utf-16"?><PerkinElmer-QPI-ImageDescription>'
        "<DescriptionVersion>2</DescriptionVersion><AcquisitionSoftware>PhenoImager 2.0</AcquisitionSoftware>"
        f"<ImageType>{kind}</ImageType>{held}</PerkinElmer-QPI-ImageDescription>"
    )
    return text.encode()


def write_scan(file: Path, *, names: list[str] = MARKERS, resolution: bool = True) -> str:
    """Write a scan with a thumbnail behind its first level, two more levels, and a label, as scanners do."""
    tiles: dict[str, Any] = {"tile": (32, 32), "compression": "lzw", "photometric": "minisblack", "metadata": None}
    tiles["software"] = "PerkinElmer-QPI"
    with tifffile.TiffWriter(file) as tiff:
        for level in range(3):
            size: dict[str, Any] = {"resolution": (20_000 / 2**level,) * 2, "resolutionunit": "CENTIMETER"}
            for name, plane in zip(names, SCAN[:, :: 2**level, :: 2**level], strict=True):
                told = {"Biomarker": name, "Name": f"{name} (Opal 520)", "ExposureTime": 1500}
                kind = "FullResolution" if level == 0 else "ReducedResolution"
                tiff.write(plane, description=description(kind, **told), **tiles, **(size if resolution else {}))
            if level == 0:
                thumbnail = np.zeros((40, 60, 3), np.uint8)
                tiff.write(
                    thumbnail,
                    photometric="rgb",
                    metadata=None,
                    description=description("Thumbnail"),
                    software="PerkinElmer-QPI",
                )
    return str(file)


class TestQpTiff(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> QpTiff:
        return QpTiff(url=write_scan(folder / "scan.qptiff"))

    def check(self, opened: Any) -> None:
        assert opened.coords["c"].values.tolist() == MARKERS
        notes = opened.attrs["integrate"]
        assert notes["pixel_size_um"] == pytest.approx([0.5, 0.5])
        assert (notes["software"], notes["exposures_us"]) == ("PhenoImager 2.0", [1500.0] * 3)
        np.testing.assert_array_equal(opened.values, SCAN)


def test_levels_of_a_scan_have_their_true_step(tmp_path: Path) -> None:
    image = QpTiff(url=write_scan(tmp_path / "scan.qptiff"), level=2).read()
    np.testing.assert_array_equal(image.values, SCAN[:, ::4, ::4])
    assert image.attrs["integrate"]["pixel_size_um"] == pytest.approx([2.0, 2.0])
    with pytest.raises(DataError, match=r"series 0 of scan.qptiff has 3 levels, from 0; there is no level 3"):
        QpTiff(url=str(tmp_path / "scan.qptiff"), level=3).read()


def test_a_scan_without_resolution_or_names_says_so(tmp_path: Path) -> None:
    with pytest.warns(IntegrateWarning, match="3 channels of scan.qptiff have no usable names"):
        image = QpTiff(url=write_scan(tmp_path / "scan.qptiff", names=["A", "A", "B"], resolution=False)).read()
    assert image.attrs["integrate"]["pixel_size_um"] is None
    assert image.coords["x"].attrs["units"] == "px"


def test_a_brightfield_scan_has_colours(tmp_path: Path) -> None:
    colour = np.random.default_rng(1).integers(0, 255, (256, 128, 3), dtype=np.uint8)
    with tifffile.TiffWriter(tmp_path / "he.qptiff") as tiff:
        told = {"description": description("FullResolution"), "software": "PerkinElmer-QPI", "metadata": None}
        tiff.write(colour, tile=(128, 128), photometric="rgb", resolution=(20_000, 20_000), resolutionunit=3, **told)
    image = QpTiff(url=str(tmp_path / "he.qptiff")).read()
    assert image.coords["c"].values.tolist() == ["red", "green", "blue"]
    np.testing.assert_array_equal(image.values, colour.transpose(2, 0, 1))


def test_a_scan_is_found_in_a_folder_under_any_ending(tmp_path: Path) -> None:
    for name in ("a.qptiff", "b.tif"):
        write_scan(tmp_path / name)
    assert [(row["reader"], row["modality"]) for row in scan_folder(tmp_path).rows] == [("QpTiff", "IF")] * 2


def test_a_plain_tiff_is_no_scan(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.qptiff", SCAN[0])
    with pytest.raises(DataError, match=r"a.qptiff is no QPTIFF"):
        QpTiff(url=str(tmp_path / "a.qptiff")).read()


CYCLES, CHANNELS, HEIGHT, WIDTH = 3, 2, 40, 60
NAMES = ["DAPI", "CD3", "DAPI", "blank", "DAPI", "CD20"]
#: Centres of cells in pixels of the region, two tiles wide.
CELLS = [(10, 5), (50, 30), (70, 20), (110, 35)]


def tile(column: int) -> np.ndarray:
    """Return cycles, channels, rows, columns; a cell is one bright pixel, as bright as its number."""
    made = np.full((CYCLES, CHANNELS, HEIGHT, WIDTH), column, np.uint16)
    made += np.arange(CYCLES * CHANNELS, dtype=np.uint16).reshape(CYCLES, CHANNELS, 1, 1) * 10
    for number, (x, y) in enumerate(CELLS):
        if x // WIDTH + 1 == column:
            made[:, :, y, x % WIDTH] = 1000 + number
    return made


def write_run(folder: Path, *, names: list[str] = NAMES, regions: tuple[int, ...] = (1,), grouped: bool = True) -> str:
    (folder / "bestFocus").mkdir(parents=True)
    (folder / "segm").mkdir()
    (folder / "experiment.json").write_text(json.dumps({"per_pixel_XY_resolution": 377.4, "region_width": 2}))
    (folder / "channelNames.txt").write_text("\n".join(names) + "\n")
    for region in regions:
        for column in (1, 2):
            file = folder / "bestFocus" / f"reg{region:03d}_X{column:02d}_Y01_Z01.tif"
            tifffile.imwrite(file, tile(column)[:, None], imagej=True, metadata={"axes": "TZCYX"})
        held = pd.DataFrame(CELLS, columns=["x", "y"]).assign(cell_id=range(len(CELLS)), size=80, z=1)
        held = held[["cell_id", "x", "y", "z", "size"]]
        if grouped:
            held.columns = [f"{one}:{one}" for one in held.columns]
        for number, name in enumerate(names):
            held[f"cyc{number // 2 + 1:03d}_ch{number % 2 + 1:03d}:{name}"] = np.arange(len(CELLS)) + number * 10.0
        held.to_csv(folder / "segm" / f"reg{region:03d}_compensated.csv", index=False)
        held.to_csv(folder / "segm" / f"reg{region:03d}_uncompensated.csv", index=False)
    return str(folder)


class TestCodex(ReaderTests):
    def reader(self, folder: Path) -> Codex:
        return Codex(url=write_run(folder / "processed"))

    def check(self, opened: Any) -> None:
        image = opened["codex_X02_Y01_image"]
        names = ["DAPI_cyc001", "CD3", "DAPI_cyc002", "blank", "DAPI_cyc003", "CD20"]
        assert image.coords["c"].values.tolist() == names
        np.testing.assert_array_equal(image.values, tile(2).reshape(-1, HEIGHT, WIDTH))
        assert opened["codex_table"].X[:, 1].tolist() == [10, 11, 12, 13]
        assert opened["codex_table"].var_names.tolist()[1] == "CD3"
        cells = opened["codex_cells"]
        assert np.column_stack([cells.geometry.x, cells.geometry.y]) == pytest.approx((np.array(CELLS) + 0.5) * 0.3774)
        assert cells["radius"].iloc[0] == pytest.approx(np.sqrt(80 / np.pi) * 0.3774)
        notes = opened.attrs["integrate"]["codex_cells"]
        assert (notes["unit"], notes["on_image"], notes["region"]) == ("um", 1.0, 1)


def test_cells_lie_on_their_pixel_of_their_tile(tmp_path: Path) -> None:
    data = Codex(url=write_run(tmp_path / "processed")).read()
    for number, (x, _) in enumerate(CELLS):
        image = data[f"codex_X{x // WIDTH + 1:02d}_Y01_image"]
        to_space = get_transformation(image, "codex").to_affine_matrix(("x", "y"), ("x", "y"))
        centre = data["codex_cells"].geometry.iloc[number]
        column, row, _ = np.linalg.inv(to_space) @ [centre.x, centre.y, 1]
        assert image.values[0, int(row), int(column)] == 1000 + number


def test_regions_are_named_and_columns_without_groups_are_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "processed", regions=(1, 4), grouped=False)
    with pytest.raises(ParameterError, match="processed has regions '1', '4'; name one with region="):
        Codex(url=folder).read()
    assert Codex(url=folder, region=4).read().attrs["integrate"]["codex_table"]["region"] == 4
    with pytest.raises(ParameterError, match="has no region 2"):
        Codex(url=folder, region=2).read()


def test_names_and_cells_of_another_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has 3 cycles of 2 channels, channelNames.txt 5 names"):
        Codex(url=write_run(tmp_path / "a", names=NAMES[:5])).read()
    folder = Path(write_run(tmp_path / "b"))
    file = folder / "segm" / "reg001_compensated.csv"
    held = pd.read_csv(file)
    held.assign(**{"x:x": held["x:x"] + 100}).to_csv(file, index=False)
    with pytest.raises(DataError, match=r"25.0% of 4 cells of b lie on a tile; is the table of another region"):
        Codex(url=str(folder)).read()


def test_a_run_without_resolution_or_names_is_refused(tmp_path: Path) -> None:
    folder = Path(write_run(tmp_path / "a"))
    (folder / "experiment.json").write_text(json.dumps({"xyResolution": 0.3774}))
    with pytest.raises(DataError, match=r"states pixels of 0.0003774 µm; expected nanometres"):
        Codex(url=str(folder)).read()
    (folder / "experiment.json").write_text("{}")
    with pytest.raises(DataError, match=r"states no 'per_pixel_XY_resolution', 'xyResolution' in nanometres"):
        Codex(url=str(folder)).read()
    (folder / "experiment.json").unlink()
    with pytest.raises(SourceNotFoundError, match=r"no experiment.json below 'a'"):
        Codex(url=str(folder)).read()
