"""DICOMweb against a real archive: Orthanc with its DICOMweb plugin, on a free port of this machine."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import integrate as ig
from integrate.catalog.storage import Cache
from integrate.errors import DataError, ParameterError, SourceNotFoundError
from integrate.readers.dicom import DicomSeries
from integrate.readers.dicomweb import DicomWebSeries
from integrate.testing import ReaderTests

from .dicom_parts import add_pixels, dataset

pytest.importorskip("dicomweb_client")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
PIXELS = np.random.default_rng(0).integers(0, 100, (4, 5, 6), dtype=np.int16)


def write_series(folder: Path) -> None:
    folder.mkdir()
    for k, plane in enumerate(PIXELS):
        made = dataset("CT", "1.2.840.10008.5.1.4.1.1.2", k + 1)
        made.ImagePositionPatient, made.ImageOrientationPatient = [0, 0, 2.0 * k], [1, 0, 0, 0, 1, 0]
        made.PixelSpacing, made.SeriesDescription, made.InstanceNumber = [0.8, 1.1], "thorax", k + 1
        made.RescaleSlope, made.RescaleIntercept = 1, 0
        add_pixels(made, plane)
        made.save_as(folder / f"{k}.dcm", enforce_file_format=True)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None or not PLUGIN.exists():
        pytest.skip("Orthanc with DICOMweb is not installed")
    folder = tmp_path_factory.mktemp("orthanc")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    settings = {
        "Name": "test", "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"), "HttpPort": port,
        "DicomServerEnabled": False, "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    try:
        _wait_for(base, process, folder / "log")
        write_series(folder / "ct")
        for file in sorted((folder / "ct").iterdir()):
            urllib.request.urlopen(urllib.request.Request(f"{base}/instances", data=file.read_bytes(), method="POST"))
        yield f"{base}/dicom-web"
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(base: str, process: Any, log: Path) -> None:
    for _ in range(60):
        if process.poll() is not None:
            pytest.skip(f"Orthanc does not start here: {log.read_text()[-300:]}")
        try:
            urllib.request.urlopen(f"{base}/system", timeout=2)
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-500:])


class TestContract(ReaderTests):
    """What was fetched is a folder, and is held to what any reader is held to."""

    lazy = True

    def reader(self, folder: Path) -> DicomWebSeries:
        write_series(folder / "fetched")
        return DicomWebSeries(url=str(folder / "fetched"), ids={"dicom_patient": "0007"})

    def check(self, opened: Any) -> None:
        assert opened.attrs["integrate"]["spacing_mm"] == [2.0, 0.8, 1.1]
        np.testing.assert_array_equal(opened.values, PIXELS)


def test_a_series_is_found_and_is_the_one_that_was_stored(archive: str, tmp_path: Path) -> None:
    found = ig.search_dicomweb(archive, modality="CT", patient_id="0007")
    assert found[["modality", "description", "instances"]].values.tolist() == [["CT", "thorax", 4]]
    assert ig.search_dicomweb(archive, patient_id="0008").empty
    reader = DicomWebSeries(url=found["url"][0], ids={"dicom_patient": "0007"})
    reader.cache = Cache(tmp_path / "cache")
    volume = reader.read()
    write_series(tmp_path / "ct")
    local = DicomSeries(url=str(tmp_path / "ct")).read()
    np.testing.assert_array_equal(volume.values, local.values)
    assert volume.attrs["integrate"]["affine_lps"] == local.attrs["integrate"]["affine_lps"]
    origin = volume.attrs["integrate"]["origin"]
    assert origin["served"].startswith("http://127.0.0.1")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*.dcm")}
    reader.read()
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*.dcm")} == before


def test_the_wrong_patient_and_series_that_are_not_there(archive: str, tmp_path: Path) -> None:
    url = str(ig.search_dicomweb(archive)["url"][0])
    for wrong, error in ((url + "9", SourceNotFoundError), (archive + "/studies/1.2.3", ParameterError)):
        reader = DicomWebSeries(url=wrong)
        reader.cache = Cache(tmp_path / "cache")
        with pytest.raises(error, match=r"has no series|is no series"):
            reader.read()
    reader = DicomWebSeries(url=url, ids={"dicom_patient": "0008"})
    reader.cache = Cache(tmp_path / "cache")
    with pytest.raises(DataError, match="0008"):
        reader.read()
    assert not list((tmp_path / "cache").glob(".unfinished*"))


def test_an_archive_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(DataError, match="cannot be reached or understood"):
        ig.search_dicomweb("http://127.0.0.1:9/dicom-web")
