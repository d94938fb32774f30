"""Films and plates kept as files: order by number, and what is missing or doubled is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from integrate.errors import DataError, ParameterError, SourceNotFoundError
from integrate.readers.file_series import Plate, PlateField, TimeLapse
from integrate.testing import ReaderTests


def plane(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 250, (20, 30)).astype("u1")


def write(folder: Path, names: dict[str, int]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, number in names.items():
        tifffile.imwrite(folder / name, plane(number))
    return folder


class TestTimeLapseContract(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> TimeLapse:
        source = write(folder / "film", {"a_2.tif": 2, "a_10.tif": 10, "a_1.tif": 1})
        return TimeLapse(url=str(source), interval_s=5, pixel_size_um=[0.5, 0.5])

    def check(self, opened: Any) -> None:
        assert opened.dims == ("t", "c", "y", "x")
        np.testing.assert_array_equal(opened.values[:, 0], [plane(1), plane(2), plane(10)])
        assert opened.t.values.tolist() == [0, 5, 45]
        assert opened.t.attrs["units"] == "s"
        assert opened.attrs["integrate"]["missing_frames"] == [3, 4, 5, 6, 7, 8, 9]


class TestPlateContract(ReaderTests):
    def reader(self, folder: Path) -> Plate:
        names = {f"P_{w}f{f}d{c}.TIF": 0 for w in ("B02", "A10") for f in ("00", "01") for c in "01"}
        return Plate(url=str(write(folder / "plate", names)))

    def check(self, opened: Any) -> None:
        assert opened["name"].tolist() == ["A10f00", "A10f01", "B02f00", "B02f01"]
        assert opened["row"].tolist() == ["A", "A", "B", "B"]
        assert opened["column"].tolist() == [10, 10, 2, 2]
        assert set(opened["channels"]) == {"0,1"}


class TestPlateFieldContract(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> PlateField:
        source = write(folder / "plate", {"P_B02f00d1.TIF": 1, "P_B02f00d0.TIF": 0, "P_B03f00d0.TIF": 3})
        return PlateField(url=str(source), well="B02", field="00", channels={"0": "DNA"})

    def victim(self, source: Path) -> Path:
        return source / "P_B02f00d1.TIF"

    def check(self, opened: Any) -> None:
        assert opened.c.values.tolist() == ["DNA", "channel_1"]
        np.testing.assert_array_equal(opened.values, [plane(0), plane(1)])
        assert opened.attrs["integrate"]["well"] == "B02"


def test_a_field_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    write(tmp_path / "p", {"P_B02f00d1.TIF": 1})
    with pytest.raises(ParameterError, match=r"no well 'B03' field '00' in p; it has 'B02 field 00'"):
        PlateField(url=str(tmp_path / "p"), well="B03", field="00").read()


def test_names_that_do_not_fit_are_told(tmp_path: Path) -> None:
    write(tmp_path / "p", {"x.tif": 1})
    with pytest.raises(SourceNotFoundError, match="no TIFF file in folder 'p' has a name like"):
        Plate(url=str(tmp_path / "p")).read()
    write(tmp_path / "q", {"a_1.tif": 1, "b_1.tif": 1})
    with pytest.raises(DataError, match=r"'a_1.tif' and 'b_1.tif' in q have the same \['t'\]"):
        TimeLapse(url=str(tmp_path / "q")).read()
    with pytest.raises(ParameterError, match="expected \\['t'\\]"):
        TimeLapse(url=str(tmp_path / "q"), pattern="(?P<frame>.)").read()


def test_frames_of_another_shape_are_named(tmp_path: Path) -> None:
    tifffile.imwrite(write(tmp_path / "p", {"a_1.tif": 1}) / "a_2.tif", plane(1)[:10])
    with pytest.raises(DataError, match=r"differ in shape or type: .*'a_1.tif'.*'a_2.tif'"):
        TimeLapse(url=str(tmp_path / "p")).read()


def test_real_film_tells_its_doubled_frame(test_data: Any) -> None:
    film = TimeLapse(url=str(test_data("timelapse-drosophila"))).read()
    assert film.shape == (4, 3, 264, 542)
    assert film.attrs["integrate"]["identical_frames"] == [[2, 3]]  # their sha256 in SOURCE.txt is one


def test_real_plate_has_three_wells_of_three_fields(test_data: Any) -> None:
    table = Plate(url=str(test_data("hcs-plate"))).read()
    assert sorted(set(table["well"])) == ["O01", "O02", "O03"]
    assert len(table) == 9
    field = PlateField(url=str(test_data("hcs-plate")), well="O02", field="01").read()
    expected = tifffile.imread(test_data("hcs-plate") / "AS_09047_050428030001_O02f01d2.TIF")
    np.testing.assert_array_equal(field.values[0], expected)
