"""imzML: the spectra the reference reader gives, summed by m/z, missing pixels missing."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from integrate.errors import DataError, ParameterError, SourceNotFoundError
from integrate.readers.imzml import ImzML, open_spectra
from integrate.testing import ReaderTests

PLACES = [(1, 1), (2, 1), (2, 2)]  # the pixel at x 1, y 2 was not measured
IDENTITY = uuid.UUID(int=7)


def spectra() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [(np.sort(rng.uniform(100, 110, 50 + k)), rng.uniform(0, 9, 50 + k).astype("f4")) for k in range(3)]


def cv(accession: str, value: str = "", unit: str = "") -> str:
    return f'<cvParam accession="{accession}" value="{value}" unitName="{unit}" name="x"/>'


def write(folder: Path, *, places: list[tuple[int, int]] = PLACES, unit: str = "micrometer") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    raw, listed = IDENTITY.bytes, []
    for (x, y), (mz, intensity) in zip(places, spectra(), strict=True):
        arrays = ""
        for group, values in (("mz", mz), ("int", intensity)):
            where = cv("IMS:1000103", str(len(values))) + cv("IMS:1000102", str(len(raw)))
            arrays += f'<binaryDataArray><referenceableParamGroupRef ref="{group}"/>{where}</binaryDataArray>'
            raw += values.tobytes()
        scan = f"<scan>{cv('IMS:1000050', str(x))}{cv('IMS:1000051', str(y))}</scan>"
        listed.append(f"<spectrum>{scan}{arrays}</spectrum>")
    groups = f'<referenceableParamGroup id="mz">{cv("MS:1000514")}{cv("MS:1000523")}</referenceableParamGroup>'
    groups += f'<referenceableParamGroup id="int">{cv("MS:1000515")}{cv("MS:1000521")}</referenceableParamGroup>'
    content = f"<fileContent>{cv('IMS:1000080', str(IDENTITY))}{cv('IMS:1000031')}{cv('MS:1000127')}</fileContent>"
    size = cv("IMS:1000046", "20", unit) + cv("IMS:1000047", "30", unit)
    text = f'<mzML xmlns="http://psi.hupo.org/ms/mzml">{content}{groups}<scanSettings>{size}</scanSettings>'
    (folder / "a.imzML").write_text(text + "\n".join(listed) + "</mzML>", encoding="utf-8")
    (folder / "a.ibd").write_bytes(raw)
    return folder / "a.imzML"


def read(file: Path, **options: Any) -> Any:
    return ImzML(url=str(file), **options).read()


class TestContract(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> ImzML:
        return ImzML(url=str(write(folder)), bins=[100, 110, 0.5])

    def check(self, opened: Any) -> None:
        assert opened.dims == ("mz", "y", "x")
        assert opened.shape == (20, 2, 2)
        np.testing.assert_allclose(opened.mz[:2], [100.25, 100.75])
        np.testing.assert_allclose(opened.y, [15, 45])
        np.testing.assert_allclose(opened.x, [10, 30])
        assert np.isnan(opened.values[:, 1, 0]).all()
        for (x, y), (mz, intensity) in zip(PLACES, spectra(), strict=True):
            expected = np.histogram(mz, np.arange(100, 110.1, 0.5), weights=intensity.astype(float))[0]
            np.testing.assert_allclose(opened.values[:, y - 1, x - 1], expected, rtol=1e-9)
        assert opened.attrs["integrate"]["pixels_without_spectrum"] == 1


def test_a_target_sums_its_window_and_nothing_is_zero(tmp_path: Path) -> None:
    mz, intensity = spectra()[0]
    image = read(write(tmp_path), targets=[mz[10], 500.0], tolerance_ppm=2000)
    near = np.abs(mz - mz[10]) <= mz[10] * 2e-3
    assert image.values[0, 0, 0] == pytest.approx(intensity[near].sum(dtype=float), rel=1e-9)
    assert image.values[1, 0, 0] == 0
    assert np.isnan(image.values[1, 1, 0])


def test_a_size_without_unit_is_unknown(tmp_path: Path) -> None:
    image = read(write(tmp_path, unit=""), targets=[105])
    assert image.attrs["integrate"]["pixel_size_um"] is None
    assert image.x.attrs["units"] == "px"


def test_the_two_files_must_be_a_pair(tmp_path: Path) -> None:
    file = write(tmp_path)
    content = (tmp_path / "a.ibd").read_bytes()
    (tmp_path / "a.ibd").write_bytes(b"\1" * 16 + content[16:])
    with pytest.raises(DataError, match=r"a.ibd has identifier 01010101…, a.imzML says 00000000…; not a pair"):
        read(file, targets=[105])
    (tmp_path / "a.ibd").write_bytes(content[:-8])
    with pytest.raises(DataError, match=r"a.ibd is truncated"):
        read(file, targets=[105])
    (tmp_path / "a.ibd").unlink()
    with pytest.raises(SourceNotFoundError, match=r"no a.ibd beside a.imzML"):
        read(file, targets=[105])


def test_two_spectra_of_one_pixel_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 pixels with two spectra"):
        read(write(tmp_path, places=[(1, 1), (1, 1), (2, 1)]), targets=[105])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "every spectrum of a processed file has its own m/z axis"),
        ({"targets": [1], "bins": [1, 2, 1]}, "give one"),
        ({"targets": [-1.0]}, "expected positive m/z"),
        ({"bins": [5, 1, 1]}, r"give \[first, last, width\]"),
    ],
)
def test_windows_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        read(write(tmp_path), **options)


@pytest.mark.parametrize("name", ["Continuous", "Processed"])
def test_real_spectra_equal_the_reference_reader(test_data: Any, name: str) -> None:
    reference = pytest.importorskip("pyimzml.ImzMLParser")
    file = test_data("imzml-example") / f"Example_{name}.imzML"
    ours, theirs = open_spectra(file), reference.ImzMLParser(str(file))
    assert [(x + 1, y + 1) for x, y in zip(ours.x, ours.y, strict=True)] == [c[:2] for c in theirs.coordinates]
    for index in range(len(ours)):
        for one, other in zip(ours.spectrum(index), theirs.getspectrum(index), strict=True):
            np.testing.assert_array_equal(one, other)


def test_both_real_storages_hold_the_same_image(test_data: Any) -> None:
    folder = test_data("imzml-example")
    continuous, processed = (
        read(folder / f"Example_{name}.imzML", bins=[100, 800, 1]) for name in ("Continuous", "Processed")
    )
    np.testing.assert_array_equal(continuous.values, processed.values)
    assert continuous.attrs["integrate"]["pixel_size_um"] == [100.0, 100.0]
    whole = read(folder / "Example_Continuous.imzML")
    assert whole.shape == (8399, 3, 3)
