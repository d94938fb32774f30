"""Records of acquisitions: device, steps, channels and day, as the files say."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import integrate as ig
from integrate.readers.dicom import DicomSeries
from integrate.readers.harvest import harvest_reader
from integrate.readers.lif import Lif
from integrate.readers.nd2 import Nd2
from integrate.readers.ome_tiff import OmeTiff
from integrate.readers.qptiff import QpTiff
from integrate.readers.slide import Slide
from integrate.readers.stereoseq import StereoSeq
from integrate.readers.vendor_headers import made_by_vendor
from integrate.readers.xenium import Xenium

from .dicom_parts import add_pixels, dataset
from .microscope_files import write_lif, write_nd2
from .stereo_files import write_stereoseq
from .vendor_bundles import write_xenium


def write_series(folder: Path, day: str, *, patient: str = "A") -> None:
    folder.mkdir(parents=True)
    for k in range(2):
        made = dataset("MR", "1.2.840.10008.5.1.4.1.1.4", k + 1)
        made.PatientID, made.StudyDate, made.BodyPartExamined = patient, day, "BRAIN"
        made.Manufacturer, made.ManufacturerModelName, made.SoftwareVersions = "MAKER", "M1", ["a", "b"]
        made.ImagePositionPatient, made.ImageOrientationPatient = [0, 0, 3.0 * k], [1, 0, 0, 0, 1, 0]
        made.PixelSpacing = [0.8, 1.1]
        add_pixels(made, np.full((4, 5), k, np.int16))
        made.save_as(folder / f"{k}.dcm", enforce_file_format=True)


def test_dicom_says_device_and_steps(tmp_path: Path) -> None:
    write_series(tmp_path / "s", "20200101")
    record = harvest_reader(DicomSeries(url=str(tmp_path / "s")))
    assert (record.modality, record.manufacturer, record.model, record.software) == ("MR", "MAKER", "M1", "a; b")
    assert (record.axes, record.shape, record.unit, record.body_part) == ("zyx", (2, 4, 5), "mm", "BRAIN")
    assert record.spacing == pytest.approx({"z": 3.0, "y": 0.8, "x": 1.1})


def test_ome_and_aperio_say_theirs(tmp_path: Path) -> None:
    told = {"axes": "CYX", "Channel": {"Name": ["A", "B"]}, "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}
    pixels = np.zeros((2, 8, 9), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata={**told, "Creator": "maker 1"}, ome=True)
    record = harvest_reader(OmeTiff(url=str(tmp_path / "a.ome.tif")))
    assert record.channels == ("A", "B")
    assert record.spacing == pytest.approx({"y": 0.5, "x": 0.25})
    assert record.software
    described = "Aperio Image Library v10\r\n9x8|AppMag = 20|MPP = 0.5|ScanScope ID = SS1|Date = 12/29/09"
    tifffile.imwrite(tmp_path / "a.svs", np.zeros((64, 64, 3), np.uint8), description=described, metadata=None)
    slide = harvest_reader(Slide(url=str(tmp_path / "a.svs")))
    assert (slide.manufacturer, slide.model, slide.magnification) == ("Aperio", "ScanScope SS1", 20.0)
    assert slide.software == "Aperio Image Library v10"


def test_days_count_from_the_first_of_each_person_and_dates_are_gone(tmp_path: Path) -> None:
    for name, day, patient in (
        ("a1", "20200101", "A"),
        ("a2", "20200131", "A"),
        ("b1", "20210505", "B"),
        ("c1", "", "C"),
    ):
        write_series(tmp_path / name, day, patient=patient)
    options = "{cls: 'intake.readers.user_parameters:OptionsUserParameter', dtype: str, default: a1, "
    options += "options: [a1, a2, b1, c1]}"
    (tmp_path / "c.yaml").write_text(
        "version: 2\nmetadata: {name: c, description: d, licence: CC0-1.0}\nentries:\n  mr:\n    reader: DicomSeries\n"
        f"    user_parameters:\n      series: {options}\n"
        "    kwargs: {url: '{CATALOG_DIR}/{series}'}\n    metadata: {level: acquisition}\n"
    )
    records = ig.harvest(ig.open_catalog(tmp_path / "c.yaml")).set_index("item")
    assert records["day"].tolist()[:3] == [0, 30, 0]
    assert records["day"].isna().tolist() == [False, False, False, True]
    assert not records.astype(str).apply(lambda column: column.str.contains("2020")).to_numpy().any()
    (tmp_path / "b1" / "0.dcm").write_bytes(b"")
    broken = ig.harvest(ig.open_catalog(tmp_path / "c.yaml")).set_index("item")
    assert broken.loc["series=b1", "fault"] == "DataError"


def test_microscopes_say_theirs(tmp_path: Path) -> None:
    plane = np.zeros((8, 9, 1), np.uint16)
    write_nd2(tmp_path / "a.nd2", [plane], names=["DAPI"], times_ms=[0.0])
    assert made_by_vendor("Nd2", tmp_path / "a.nd2", {})[1] == date(2000, 1, 1)
    assert harvest_reader(Nd2(url=str(tmp_path / "a.nd2"))).manufacturer == "Nikon"
    setting = '<Attachment Name="HardwareSetting" Software="LAS X" SystemTypeName="STELLARIS 5" '
    setting += 'ObjectiveName="HC PL APO 20x/0.75"/>'
    stamp = int((datetime(2024, 3, 2, tzinfo=UTC).timestamp() + 11_644_473_600) * 1e7)  # since 1601, as Windows counts
    setting += f'<TimeStampList NumberOfTimeStamps="1">{stamp:x}</TimeStampList>'
    images = [("One", plane[..., 0], "yx", {"y": 1e-6, "x": 1e-6}, ["DAPI"])]
    record = harvest_reader(Lif(url=write_lif(tmp_path / "a.lif", images, further=setting)))
    assert (record.manufacturer, record.model, record.software) == ("Leica", "STELLARIS 5", "LAS X")
    assert (record.magnification, record.channels) == (20.0, ("DAPI",))
    assert made_by_vendor("Lif", tmp_path / "a.lif", {"image": "One"})[1] == date(2024, 3, 2)
    description = "<PerkinElmer-QPI-ImageDescription><AcquisitionSoftware>PhenoImager 2.0</AcquisitionSoftware>"
    description += "<Objective>20x</Objective><InstrumentType>Fusion</InstrumentType><Biomarker>DAPI</Biomarker>"
    description += "<ImageType>FullResolution</ImageType></PerkinElmer-QPI-ImageDescription>"
    told = {"software": "PerkinElmer-QPI", "datetime": "2024:03:02 10:00:00", "metadata": None}
    tifffile.imwrite(tmp_path / "a.qptiff", plane[..., 0], description=description, **told)
    record = harvest_reader(QpTiff(url=str(tmp_path / "a.qptiff")))
    assert (record.manufacturer, record.model, record.software) == ("Akoya", "Fusion", "PhenoImager 2.0")
    assert (record.magnification, record.channels) == (20.0, ("DAPI",))
    assert made_by_vendor("QpTiff", tmp_path / "a.qptiff", {})[1] == date(2024, 3, 2)


def test_spatial_vendors_say_theirs(tmp_path: Path) -> None:
    folder = Path(write_xenium(tmp_path / "x"))
    told = json.loads((folder / "experiment.xenium").read_text())
    told |= {"instrument_sn": "XETG00001", "run_start_time": "2024-03-02T10:00:00Z"}
    (folder / "experiment.xenium").write_text(json.dumps(told))
    record = harvest_reader(Xenium(url=str(folder)))
    assert (record.modality, record.manufacturer, record.model) == ("xenium", "10x Genomics", "Xenium XETG00001")
    assert (record.software, record.spacing) == ("xenium-3.0.0.15", {"y": 0.2125, "x": 0.2125})
    assert record.channels == ("morphology_focus_0000", "morphology_focus_0001")
    assert made_by_vendor("Xenium", folder, {})[1] == date(2024, 3, 2)
    codex = {"microscope": "Keyence BZ-X710", "magnification": 20, "version": "1.7.0.6", "runDate": "2020-02-01"}
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "experiment.json").write_text(json.dumps(codex))
    facts, day = made_by_vendor("Codex", tmp_path / "c", {})
    assert (facts["manufacturer"], facts["model"]) == ("Akoya", "Keyence BZ-X710")
    assert (facts["software"], facts["magnification"]) == ("CODEX 1.7.0.6", 20.0)
    assert day == date(2020, 2, 1)
    record = harvest_reader(StereoSeq(url=write_stereoseq(tmp_path / "s"), bin_size=50))
    assert (record.modality, record.manufacturer, record.channels) == ("stereoseq", "STOmics", ("ssDNA",))


@pytest.mark.filterwarnings("ignore::integrate.errors.IntegrateWarning")
def test_the_example_data_give_records(test_data: Any, repository: Path) -> None:
    root = test_data("dicom-small").parent
    catalog = ig.open_catalog(repository / "catalogs" / "examples.yaml")(data_root=str(root))
    names = ["slide", "epi_dicom", "brain", "imc", "ct_phantom", "acc_samples", "visium"]
    records = ig.harvest(catalog, datasets=names).drop_duplicates("dataset").set_index("dataset")
    assert records.loc["slide", "manufacturer"] == "Aperio"
    assert records.loc["ct_phantom", "modality"] == "CT"
    assert records.loc["ct_phantom", "unit"] == "mm"
    assert "acc_samples" not in records.index
    assert (records["fault"] == "").all()
