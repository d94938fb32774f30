"""A scan lists what lies in a folder as a slow reading of every file finds it, and leaves decisions to a person."""

from __future__ import annotations

import csv
import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from integrate.catalog import scan as scan_module
from integrate.catalog.check import check_catalog
from integrate.catalog.headers import dicom_header, look_into
from integrate.catalog.made import slice_step
from integrate.catalog.open import open_catalog
from integrate.catalog.registry import qualified_reader
from integrate.catalog.scan import NOTES, scan_folder
from integrate.cli import app
from integrate.datasets.simulate import simulate_study
from integrate.errors import CatalogError, SourceNotFoundError
from integrate.model.acquisition import SPACING

APERIO = "Aperio Image Library v11.2.1"
FIELDS = {
    "sop_class": "SOPClassUID",
    "modality": "Modality",
    "patient_id": "PatientID",
    "study_uid": "StudyInstanceUID",
    "series_uid": "SeriesInstanceUID",
    "position": "ImagePositionPatient",
    "orientation": "ImageOrientationPatient",
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scan") / "study"
    simulate_study(folder, subjects=3)
    (folder / "assets.csv").unlink()
    return folder


def as_text(value: object) -> str:
    several = isinstance(value, pydicom.multival.MultiValue)
    return "\\".join(map(str, value)) if several else str(value or "").strip()  # type: ignore[call-overload]


def test_headers_are_what_pydicom_reads(test_data: Callable[[str], Path]) -> None:
    root = test_data("dicom-small").parent
    files = sorted(root.rglob("*.dcm"))
    assert len(files) > 50
    for path in files:
        slow = pydicom.dcmread(path, stop_before_pixels=True)
        assert dicom_header(path) == {name: as_text(slow.get(word)) for name, word in FIELDS.items()}, path


@pytest.mark.parametrize("syntax", ["ImplicitVRLittleEndian", "ExplicitVRLittleEndian", "ExplicitVRBigEndian"])
@pytest.mark.parametrize("long", [False, True], ids=["short", "with a long sequence first"])
def test_headers_are_read_in_every_encoding(tmp_path: Path, syntax: str, *, long: bool) -> None:
    data = pydicom.Dataset()
    data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.CTImageStorage, "1.2.3.9"
    data.Modality, data.PatientID, data.StudyInstanceUID, data.SeriesInstanceUID = "CT", "Å-07", "1.2.3", "1.2.3.4"
    data.SpecificCharacterSet = "ISO_IR 192"
    if long:
        data.ReferencedStudySequence = [pydicom.Dataset() for _ in range(3000)]
        for item in data.ReferencedStudySequence:
            item.ReferencedSOPInstanceUID = "1.2.3.4.5.6.7.8"
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax)
    pydicom.dcmwrite(tmp_path / "a.dcm", data, enforce_file_format=True)
    found = dicom_header(tmp_path / "a.dcm")
    assert found is not None
    assert (found["modality"], found["patient_id"], found["series_uid"]) == ("CT", "Å-07", "1.2.3.4")


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from(["a.dcm", "a.tif", "a.ome.tif", "a.nii", "a.h5ad", "a.geojson", "a.csv"])
)
def test_no_bytes_stop_a_scan(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str) -> None:
    path = tmp_path_factory.mktemp("noise") / name
    path.write_bytes((b"\0" * 128 + b"DICM" if name.endswith("dcm") else b"") + content)
    facts = look_into(path)
    assert facts is None or facts["kind"]


def test_series_are_what_pydicom_groups(study: Path) -> None:
    expected: dict[str, set[str]] = defaultdict(set)
    for path in (study / "ct").rglob("*"):
        if path.is_file():
            slow = pydicom.dcmread(path, stop_before_pixels=True)
            expected[str(slow.SeriesInstanceUID)].add(str(slow.PatientID))
    found = scan_folder(study, overwrite=True)
    rows = [row for row in found.rows if row["modality"] == "CT"]
    assert {row["series_uid"]: {row["patient_id"]} for row in rows} == expected


def test_scanned_study_opens_and_check_repeats_what_is_undecided(study: Path) -> None:
    found = scan_folder(study, overwrite=True)
    catalog = open_catalog(study / "catalog.yaml")
    assert {"ct", "sm", "visium", "annotation", "metadata", "clinical"} <= set(catalog)
    assert {row["item"] for row in found.rows if row["modality"] == "CT"} == set(catalog["ct"].items()["item"])
    first = catalog["ct"].items()["item"][0]
    assert catalog.load("ct", item=first).dims == ("z", "y", "x")
    asked = [finding for finding in check_catalog(catalog).findings if finding.check == "undecided"]
    assert any("IF, IMC or MIBI?" in finding.message for finding in asked)
    assert any(finding.source == "clinical" and "which column" in finding.message for finding in asked)


def test_wrong_patient_of_a_scanned_series_does_not_load(study: Path) -> None:
    scan_folder(study, overwrite=True)
    with (study / "assets.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    patients = [row for row in rows if row["modality"] == "CT"]
    patients[0]["patient_id"], patients[1]["patient_id"] = patients[1]["patient_id"], patients[0]["patient_id"]
    with (study / "assets.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(ValueError, match="wrong patient"):
        open_catalog(study / "catalog.yaml").load("ct", item=patients[0]["item"])


def test_a_scan_says_how_series_and_slides_were_made(test_data: Callable[[str], Path], tmp_path: Path) -> None:
    phantom = Path("ibsi1-phantoms/ibsi_1_ct_radiomics_phantom/dicom")
    shutil.copytree(test_data("ibsi1-phantoms").parent / phantom, tmp_path / "ct", copy_function=shutil.copyfile)
    for name in ("wsi-svs/cmu-1-small-region.svs", "dicom-small/sm_image.dcm"):
        shutil.copyfile(test_data(name.partition("/")[0]).parent / name, tmp_path / name.partition("/")[2])
    found = {row["modality"] + row["reader"]: row for row in scan_folder(tmp_path).rows}
    told = [found["CTDicomSeries"][name] for name in ("device", *SPACING, "spacing_unit")]
    assert told == ["CMS, Inc. CERR", 3.0, pytest.approx(0.977), pytest.approx(0.977), "mm"]
    volume = open_catalog(tmp_path / "catalog.yaml").load("ct", item=found["CTDicomSeries"]["item"])
    assert list(volume.attrs["integrate"]["spacing_mm"]) == pytest.approx(told[1:4])
    slide = found["SMSlide"]
    assert [slide[name] for name in ("device", "software")] == ["Aperio ScanScope CPAPERIOCS", APERIO]
    assert (slide["spacing_x"], slide["spacing_unit"]) == (0.499, "um")
    stained = next(row for row in found.values() if row["path"] == "sm_image.dcm")
    assert stained["stain"] == "Hematoxylin stain; Water soluble eosin stain"


def test_days_count_from_the_first_series_of_each_patient(tmp_path: Path) -> None:
    for number, (patient, day) in enumerate(
        [("A", "20200301"), ("A", "20200131"), ("B", "20210505"), ("", "20200101")]
    ):
        data = pydicom.Dataset()
        data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.MRImageStorage, f"1.2.{number}.1"
        data.Modality, data.PatientID, data.SeriesInstanceUID = "MR", patient, f"1.2.{number}"
        data.StudyDate = day
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        pydicom.dcmwrite(tmp_path / f"{number}.dcm", data, enforce_file_format=True)
    rows = scan_folder(tmp_path).rows
    assert {row["series_uid"]: row["day"] for row in rows} == {"1.2.0": 30, "1.2.1": 0, "1.2.2": 0, "1.2.3": ""}
    assert "2020" not in (tmp_path / "assets.csv").read_text()


def test_a_step_between_slices_is_said_only_when_it_is_one() -> None:
    def places(*heights: float, tilt: str = "1\\0\\0\\0\\1\\0") -> list[tuple[str, str]]:
        return [(f"0\\0\\{height}", tilt) for height in heights]

    assert slice_step(places(9, 3, 6)) == 3.0
    assert slice_step(places(0, 0, 5, 5)) == 5.0  # two phases of each
    assert slice_step([(f"{height}\\7\\2", "0\\1\\0\\0\\0\\1") for height in (0, 1.5)]) == 1.5  # sagittal
    assert slice_step(places(0, 3, 9)) is None  # a gap
    assert slice_step(places(0)) is None
    assert slice_step([*places(0, 3), ("", "1\\0\\0\\0\\1\\0")]) is None
    assert slice_step([*places(0, 3), *places(6, tilt="0\\1\\0\\1\\0\\0")]) is None


def test_folder_of_channels_is_one_image(tmp_path: Path) -> None:
    (tmp_path / "fov1").mkdir()
    for name in ("DNA", "CD3"):
        tifffile.imwrite(tmp_path / "fov1" / f"{name}.tif", np.zeros((8, 9), "uint16"))
    tifffile.imwrite(tmp_path / "cells_mask.tif", np.zeros((8, 9), "uint16"))
    rows = {row["path"]: row for row in scan_folder(tmp_path).rows}
    assert (rows["fov1"]["reader"], rows["fov1"]["channels"], rows["fov1"]["files"]) == ("ChannelFolder", "CD3;DNA", 2)
    assert rows["cells_mask.tif"]["reader"] == "Labels"
    assert "labels or an image?" in rows["cells_mask.tif"]["undecided"]


def test_interrupted_scan_goes_on_where_it_stopped(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "again"
    shutil.copytree(study, folder)
    whole = scan_folder(folder, overwrite=True).rows
    looked: list[Path] = []

    def stops(path: Path) -> object:
        if len(looked) == 20:
            raise KeyboardInterrupt("pulled")
        looked.append(path)
        return look_into(path)

    monkeypatch.setattr(scan_module, "look_into", stops)
    with pytest.raises(KeyboardInterrupt, match="pulled"):
        scan_folder(folder, overwrite=True)
    with (folder / NOTES).open("a") as notes:
        notes.write('["torn')  # what a pulled plug leaves
    looked_before = list(looked)
    again: list[Path] = []
    monkeypatch.setattr(scan_module, "look_into", lambda path: again.append(path) or look_into(path))
    assert scan_folder(folder, overwrite=True).rows == whole
    assert not set(again) & set(looked_before)
    assert not (folder / NOTES).exists()


def test_scan_stays_inside_and_keeps_what_is_there(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.csv"
    secret.write_text("a\n1\n")
    (tmp_path / "link.csv").symlink_to(secret)
    (tmp_path / "mine_x.csv").write_text("a\n1\n")
    (tmp_path / "{x}.csv").write_text("a\n1\n")
    rows = scan_folder(tmp_path).rows
    assert [(row["path"], row["reader"]) for row in rows] == [("{x}.csv", ""), ("mine_x.csv", "Table")]
    assert "rename it" in rows[0]["undecided"]
    assert open_catalog(tmp_path / "catalog.yaml").load("mine_x")["a"].tolist() == [1]
    with pytest.raises(CatalogError, match=r"catalog\.yaml and assets\.csv exist"):
        scan_folder(tmp_path)
    with pytest.raises(SourceNotFoundError, match="no folder at"):
        scan_folder(tmp_path / "gone")


def test_real_folders_are_listed(test_data: Callable[[str], Path], tmp_path: Path) -> None:
    for name in ("visium-cytassist-mouse", "isatab", "imzml-example", "dicom-mr-to-nifti"):
        shutil.copytree(test_data(name), tmp_path / name, copy_function=shutil.copyfile)
    found = scan_folder(tmp_path)
    kinds = {(row["dataset"], row["path"]) for row in found.rows}
    assert {
        ("visium", "visium-cytassist-mouse"),
        ("metadata", "isatab/BII-I-1"),
        ("metadata", "isatab/BII-S-3"),
    } <= kinds
    assert not found.faults
    series = next(row for row in found.rows if row["path"] == "dicom-mr-to-nifti/In/mr_0003")
    told = [series[name] for name in ("modality", "device", "software", "body_part", "day", "spacing_unit")]
    assert told == ["MR", "SIEMENS Skyra", "syngo MR E11", "BRAIN", 0, "mm"]
    assert [series[name] for name in SPACING] == ["", 3.0, 3.0]  # a mosaic: one file says no step between slices
    visits = "".join((tmp_path / "assets.csv").read_text().split("dicom-mr-to-nifti")[1:])
    assert "2015" not in visits  # the year of the scans


STORE_WORDS = (
    *("ome", "multiscales", "omero", "channels", "label", "axes", "datasets", "name", "unit", "scale", "type", "plate"),
    *("coordinateTransformations", "encoding-type", "attributes", "bioformats2raw.layout"),
)
VENDORS = {
    "xenium": ("Xenium", ["experiment.xenium", "transcripts.parquet"]),
    "visium_hd": ("VisiumHD", ["binned_outputs/square_008um/filtered_feature_bc_matrix.h5"]),
    "visium": ("Visium", ["spatial/tissue_positions.csv", "filtered_feature_bc_matrix.h5"]),
    "merscope": ("Merscope", ["cell_by_gene.csv", "detected_transcripts.csv"]),
    "cosmx": ("CosMx", ["a_fov_positions_file.csv.gz", "a_tx_file.csv.gz"]),
    "steinbock": ("Steinbock", ["panel.csv", "img/a.tiff", "masks/a.tiff"]),
    "isatab": ("IsaTab", ["i_x.txt", "s_x.txt"]),
    "mcd": ("Imc", ["run.mcd"]),
    "czi": ("Czi", ["a.czi"]),
    "nd2": ("Nd2", ["a.nd2"]),
    "lif": ("Lif", ["a.lif"]),
    "stereoseq": ("StereoSeq", ["feature_expression/SS1.tissue.gef", "image/SS1_ssDNA_regist.tif"]),
    "codex": ("Codex", ["experiment.json", "channelNames.txt", "bestFocus/reg001_X01_Y01_Z01.tif"]),
    "slideseq": ("SlideSeq", ["Puck_1_bead_locations.csv", "Puck_1.digital_expression.txt.gz"]),
    "spatial_transcriptomics": ("SpatialTranscriptomics", ["A1_stdata.tsv.gz", "A1_selection.tsv"]),
    "h5mu": ("H5MU", ["a.h5mu"]),
    "gct": ("Gct", ["a.gct"]),
}
#: Kinds whose modality nobody knows but a person, or that have another name than their kind.
MICROSCOPE = ("nd2", "lif", "codex", "spatial_transcriptomics")


@pytest.mark.parametrize("kind", VENDORS)
def test_a_vendors_folder_is_one_item_marked_when_no_reader_is_there(tmp_path: Path, kind: str) -> None:
    reader, files = VENDORS[kind]
    for name in files:
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text("x")
    (row,) = scan_folder(tmp_path).rows
    if qualified_reader(reader) is None:
        assert (row["reader"], f"no reader for {kind} is installed" in row["undecided"]) == ("", True)
    else:
        assert row["reader"] == reader
        assert kind in (row["dataset"], "mcd", "steinbock", "isatab", "visium_hd", "gct", "h5mu", "czi", *MICROSCOPE)
        open_catalog(tmp_path / "catalog.yaml")
    assert row["files"] == len(files)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_ome_zarr_says_its_channels_and_pixel_size(tmp_path: Path, version: str) -> None:
    import zarr
    from ome_zarr.format import FormatV04, FormatV05
    from ome_zarr.writer import write_multiscale

    form = FormatV04() if version == "0.4" else FormatV05()
    group = zarr.open_group(str(tmp_path / "image.zarr"), mode="w", zarr_format=2 if version == "0.4" else 3)
    write_multiscale(
        [np.zeros((2, 40, 50), "uint16")],
        group,
        fmt=form,
        axes=[{"name": "c", "type": "channel"}, *({"name": a, "type": "space", "unit": "nanometer"} for a in "yx")],
        coordinate_transformations=[[{"type": "scale", "scale": [1, 500, 250]}]],
    )
    shown = {"channels": [{"label": "DNA"}, {"label": "CD3"}]}
    if version == "0.4":
        group.attrs["omero"] = shown
    else:
        group.attrs["ome"] = {**group.attrs["ome"], "omero": shown}  # type: ignore[dict-item]
    (row,) = scan_folder(tmp_path).rows
    assert (row["channels"], row["pixel_size_um"]) == ("DNA;CD3", "0.5;0.25")
    assert "IF, IMC or MIBI? 2 channels named" in row["undecided"]
    if qualified_reader("OmeZarr"):
        entry = open_catalog(tmp_path / "catalog.yaml")["ome_zarr"]
        image = entry.load_item(row["item"])
        assert list(image.attrs["integrate"]["pixel_size_um"]) == [0.5, 0.25]
        assert not check_catalog(open_catalog(tmp_path / "catalog.yaml"), deep=True).errors


def test_zarr_stores_are_told_apart(tmp_path: Path) -> None:
    def store(name: str, said: dict[str, object]) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "zarr.json").write_text(json.dumps({"zarr_format": 3, "attributes": said}))

    store("a", {"spatialdata_attrs": {"version": "0.2"}})
    store("b", {"encoding-type": "anndata"})
    store("c", {"encoding-type": "MuData"})
    store("d", {"ome": {"plate": {"wells": []}}})
    store("e", {})
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / ".zattrs").write_text("{not json")
    found = scan_folder(tmp_path)
    assert [row["dataset"] for row in sorted(found.rows, key=lambda row: str(row["item"]))] == [
        *("spatialdata", "anndata_zarr", "mudata_zarr", "ome_zarr_plate", "zarr"),
    ]
    assert list(found.faults) == ["f"]
    assert "no reader for zarr is installed" in found.rows[-1]["undecided"]


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers(-2, 2) | st.sampled_from(["y", "x", "scale", "micrometer", "", "anndata"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(STORE_WORDS),
                inner,
                max_size=5,
            )
        ),
        max_leaves=20,
    )
)
def test_no_attributes_of_a_store_stop_a_scan(tmp_path_factory: pytest.TempPathFactory, said: object) -> None:
    folder = tmp_path_factory.mktemp("zarr")
    (folder / "s").mkdir()
    (folder / "s" / ".zattrs").write_text(json.dumps(said))
    found = scan_folder(folder)
    assert len(found.rows) + len(found.faults) == 1


def test_text_files_are_tables_only_when_their_lines_agree(tmp_path: Path) -> None:
    (tmp_path / "commas.txt").write_text("id,age\np1,61\np2,4\n")
    (tmp_path / "tabs.txt").write_text("id\tage\np1\t61\n")
    (tmp_path / "bars.txt").write_text("id|age\np1|61\n")
    (tmp_path / "README.txt").write_text("A study, of two people.\nNothing more to say.\n")
    (tmp_path / "imc.txt").write_text(
        "Start_push\tEnd_push\tPushes_duration\tX\tY\tZ\tIr191(DNA1)\tSm152(CD3)\n1\t2\t1\t0\t0\t0\t1\t2\n"
    )
    found = scan_folder(tmp_path)
    assert found.unknown == ["README.txt"]
    catalog = open_catalog(tmp_path / "catalog.yaml")
    for name in ("commas", "tabs", "bars"):
        assert list(catalog.load(name).columns) == ["id", "age"]
    assert [row["channels"] for row in found.rows if row["modality"] == "IMC"] == ["DNA1;CD3"]


def test_a_scan_shows_how_far_it_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        (tmp_path / f"{number}.csv").write_text("id\n1\n")
    scan_folder(tmp_path, show_progress=True)
    assert "scan: 100%" in capfd.readouterr().err
    scan_folder(tmp_path, overwrite=True)
    assert capfd.readouterr().err == ""


def test_command_line_scans(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    (tmp_path / "bad.h5ad").write_bytes(b"x")
    out = CliRunner().invoke(app, ["catalog", "scan", str(tmp_path)])
    assert out.exit_code == 0
    assert "decide: a.csv: keys: which column holds which ids?" in out.stdout
    assert "unreadable: bad.h5ad" in out.stdout
    assert json.loads(CliRunner().invoke(app, ["catalog", "check", str(tmp_path / "catalog.yaml"), "--json"]).stdout)
