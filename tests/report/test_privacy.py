"""Reports of a hospital's study: real runs, and then a look for every raw identifier in every file they left."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from integrate.errors import ParameterError
from integrate.model.mask import Mask
from integrate.report.batch import run_batch
from integrate.report.folder import read_manifest
from integrate.report.inputs import as_entries, changed_inputs, run_inputs
from integrate.report.keep import KEPT
from integrate.report.privacy import mask_files, mask_inputs, mask_notebook
from integrate.report.run import run_report
from integrate.report.verify import diff_reports, verify_report

NotebookWriter = Callable[..., Path]

#: Hospital number to name, birth date and accession number.
PEOPLE = {
    "44120938": ("DOE^Jane", "19500131", "AC771203"),
    "44120777": ("MUELLER^Otto", "19611224", "AC771204"),
    "0815": ("KIM^Sunhee", "19700202", "AC771205"),
}
UNREAD = "GONE-4711"
RAW = (
    *PEOPLE,
    *(part for name, _, _ in PEOPLE.values() for part in name.split("^")),
    *("1950-01-31", "AC771203", UNREAD, "ins-5501"),
)
#: A number of cells that happens to be somebody's hospital number.
AREA = 44120777

CATALOG = r"""
version: 2
metadata:
  name: hospital
  study:
    spine: {entry: clinical, key: mrn}
    identifiers:
      hospital: {pattern: '4?4?1?2?(\d{4})', ids: {subject_id: 'P-\1x'}}
    crosscheck: [{entry: clinical, column: insurance}]
entries:
  clinical:
    reader: Table
    kwargs: {url: "{CATALOG_DIR}/clinical.csv", keys: {mrn: hospital}}
    metadata: {level: subject, modality: clinical}
  ct:
    reader: AssetTable
    kwargs:
      url: "{CATALOG_DIR}/assets.csv"
      key: path
      item: {reader: DicomSeries, url: "<path>", patient_namespace: hospital, ids: {hospital: "<patient>"}}
    metadata: {level: acquisition, modality: CT}
"""


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clinical table by hospital number, and CT folders named after people."""
    folder = tmp_path_factory.mktemp("hospital")
    rows = [f"{number},ins-550{place},{60 + place}" for place, number in enumerate(PEOPLE)]
    (folder / "clinical.csv").write_text("\n".join(["mrn,insurance,age", *rows, f"{UNREAD},ins-5509,44", ""]))
    assets = []
    for number, (name, birth, accession) in PEOPLE.items():
        place = folder / f"{name.replace('^', '_')}_{number}"
        place.mkdir()
        for slice_ in range(2):
            write_slice(place / f"{slice_}.dcm", slice_, number, name, birth, accession)
        assets.append(f"{place.name},{number}")
    (folder / "assets.csv").write_text("\n".join(["path,patient", *assets, ""]))
    (folder / "catalog.yaml").write_text(CATALOG)
    return folder


def write_slice(path: Path, place: int, number: str, name: str, birth: str, accession: str) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[number, str(place)])
    held = Dataset()
    held.file_meta = meta
    held.SOPClassUID, held.SOPInstanceUID, held.Modality = CTImageStorage, meta.MediaStorageSOPInstanceUID, "CT"
    held.PatientID, held.PatientName, held.PatientBirthDate, held.AccessionNumber = number, name, birth, accession
    held.StudyInstanceUID = held.SeriesInstanceUID = held.FrameOfReferenceUID = generate_uid(entropy_srcs=[number])
    held.ImagePositionPatient, held.ImageOrientationPatient = [0, 0, place], [1, 0, 0, 0, 1, 0]
    held.PixelSpacing, held.Rows, held.Columns, held.InstanceNumber = [1, 1], 4, 4, place + 1
    held.BitsAllocated, held.BitsStored, held.HighBit, held.PixelRepresentation = 16, 16, 15, 0
    held.SamplesPerPixel, held.PhotometricInterpretation = 1, "MONOCHROME2"
    held.RescaleSlope, held.RescaleIntercept = 1, -1024
    held.PixelData = np.arange(16, dtype="u2").tobytes()
    held.save_as(path, enforce_file_format=True)


CELLS = (
    "# People of DOE\n\nWith a note on 44120938.",
    '"""Parameters"""\ncatalog_path = ""',
    "import integrate as ig\nimport pandas as pd\ncatalog = ig.open_catalog(catalog_path)\ncatalog['ct'].items()",
    "study = ig.open_study(catalog)\nstudy.identifiers",
    "study.audit",
    "ct = study.load('ct', subject_id='P-0938x')\nct",
    f"pd.DataFrame({{'who': [44120938, 44120777], 'area': [123456, {AREA}]}})",
    "import warnings\nwarnings.warn('44120938 is odd')\nprint('Jane Doe', 123456, '1950-01-31')",
    "study.identifiers.to_csv('ids.csv')\nstudy.table('clinical').to_parquet('of_44120938.parquet')",
    "import matplotlib.pyplot as plt\nfig, ax = plt.subplots(figsize=(3, 2))\n"
    "ax.bar(study.identifiers['source_id'], range(len(study.identifiers)))\nax.set_title('Jane Doe')\nplt.show()",
)


@pytest.fixture(scope="module")
def made(
    hospital: Path, write_notebook: NotebookWriter, fixed_versions: dict[str, str], tmp_path_factory: Any
) -> tuple[Path, Path]:
    """The notebook and the folder of its report."""
    folder = tmp_path_factory.mktemp("reports")
    notebook = write_notebook(folder / "people.ipynb", *CELLS)
    parameters = {"catalog_path": str(hospital / "catalog.yaml")}
    run_report(notebook, folder / "report", parameters=parameters, progress=False)
    return notebook, folder / "report"


def leaks(folder: Path) -> list[str]:
    """Return every raw identifier in names and contents of files: Parquet read, SVG decoded, PNG left out."""
    found = []
    for path in sorted(folder.rglob("*")):
        text = path.name
        if path.suffix == ".parquet":
            text += pd.read_parquet(path).drop(columns="area", errors="ignore").to_csv()
        elif path.is_file() and path.suffix != ".png":
            content = path.read_bytes().decode("utf-8")
            for coded in re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", content):
                content += base64.b64decode(coded).decode()
            text += re.sub(r"(?:base64,|image/png\": \")[A-Za-z0-9+/=\s\\]+", "", content)
        text = re.sub(rf"(<td>|,|  ){AREA}\b", "", text)  # the number of the table
        found += [
            f"{path.name}: {raw}" for raw in RAW if re.search(rf"(?<![^\W_]){raw}(?![^\W_])", text, re.IGNORECASE)
        ]
    return found


def test_no_raw_identifier_is_in_any_file_of_a_report(made: tuple[Path, Path]) -> None:
    assert leaks(made[1]) == []
    assert (made[1] / "files" / "of_[hospital of P-0938x].parquet").is_file()


def test_the_page_names_people_as_the_study_does_and_tells_what_was_masked(made: tuple[Path, Path]) -> None:
    page, told = (made[1] / "report.html").read_text(), read_manifest(made[1])["reproducible"]["privacy"]
    for shown in ("[hospital of P-0938x]", "[unread hospital 1]", "[item of P-0777x]", "[PatientBirthDate of P-0938x]"):
        assert shown in page, shown
    assert "People of [PatientName of P-0938x]</h1>" in page
    assert told["told"] in page
    assert re.match(r"\d+ raw identifiers of people met; \d+ places masked, in cells 1, ", told["told"])
    assert (told["known"], told["withheld"], told["parameters"], told["private_ids"]) == (14, 0, [], False)
    assert told["paths"] == 1, "the folder of the CT was named after somebody"


def test_numbers_that_are_no_ids_are_unchanged(made: tuple[Path, Path]) -> None:
    (table,) = (
        pd.read_parquet(path) for path in made[1].glob("tables/*.parquet") if "area" in path.read_text("latin1")
    )
    assert table["area"].tolist() == [123456, AREA]
    assert table["who"].tolist() == ["[hospital of P-0938x]", "[hospital of P-0777x]"]
    assert "123456" in (made[1] / "report.html").read_text()


def test_the_texts_of_a_figure_are_drawn_masked(made: tuple[Path, Path]) -> None:
    drawing = next((made[1] / "figures").glob("*.svg")).read_text()
    assert "<!-- [PatientName of P-0938x] -->" in drawing
    assert "<!-- [hospital of P-0777x] -->" in drawing


def test_a_masked_report_stands_while_its_files_do(made: tuple[Path, Path], hospital: Path) -> None:
    parameters = {"catalog_path": str(hospital / "catalog.yaml")}
    assert run_report(*made, parameters=parameters, progress=False).reused


@pytest.mark.slow
def test_a_masked_report_is_the_same_when_made_again(made: tuple[Path, Path], hospital: Path, tmp_path: Path) -> None:
    notebook, report = made
    parameters = {"catalog_path": str(hospital / "catalog.yaml")}
    run_report(notebook, tmp_path / "again", parameters=parameters, progress=False)
    for name in ("report.html", "notebook.ipynb"):
        assert (tmp_path / "again" / name).read_bytes() == (report / name).read_bytes()
    assert diff_reports(report, tmp_path / "again").verdict == "the same"


def test_a_change_is_seen_in_a_file_whose_name_was_masked(tmp_path: Path) -> None:
    for name in ("DOE_1.txt", "KIM_1.txt"):
        (tmp_path / name).write_text(name)
    raw = [{"kind": "raw", "namespace": "n", "raw": name, "own": None, "subject": None} for name in ("DOE_1", "KIM_1")]
    inputs = run_inputs([{"kind": "file", "path": str(tmp_path / name)} for name in ("DOE_1.txt", "KIM_1.txt")])
    entries = as_entries(mask_inputs(inputs, Mask(raw)))
    assert [Path(entry["path"]).name for entry in entries] == ["[unread n 1].txt", "[unread n 2].txt"]
    assert changed_inputs(entries) == []
    (tmp_path / "KIM_1.txt").write_text("other")
    assert [Path(path).name for path in changed_inputs(entries)] == ["[unread n 2].txt"]


def test_a_batch_by_hospital_number_names_its_folders_and_faults_without_it(
    hospital: Path, write_notebook: NotebookWriter, tmp_path: Path
) -> None:
    notebook = write_notebook(
        tmp_path / "one.ipynb",
        f'"""Parameters"""\nnumber = "44120938"\ncatalog_path = "{hospital / "catalog.yaml"}"',
        "import integrate as ig\nstudy = ig.open_study(ig.open_catalog(catalog_path))",
        "print(number)\nopen(f'/data/{number}.txt') if number == '44120777' else None",
    )
    table = [{"number": number} for number in ("44120938", "44120777")]
    batch = run_batch(notebook, tmp_path / "all", table, progress=False)
    assert leaks(tmp_path / "all") == []
    index = batch.index.read_text()
    assert "[hospital of P-0938x]" in index
    assert "No such file or directory: &#x27;/data/[hospital of P-0777x].txt" in index
    good, bad = batch.rows
    assert good.report is not None
    assert good.report.page.is_file()
    assert (good.parameters, bad.parameters) == (
        {"number": "[hospital of P-0938x]"},
        {"number": "[hospital of P-0777x]"},
    )
    assert (tmp_path / "all" / bad.name / "failed.html").is_file()
    assert f'href="{good.name}/report.html"' in index
    folder = good.report.page.parent
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["reproducible"]["parameters_changed"] = ["number"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ParameterError, match="does not hold the value of 'number', a raw identifier; give it"):
        verify_report(folder, progress=False)


def test_a_figure_whose_text_cannot_be_masked_is_withheld(tmp_path: Path) -> None:
    (tmp_path / "1.svg").write_text("<svg/>")
    mark = {"kind": "figure", "files": ["1.svg"], "texts": ["Jane Doe", "days"]}
    output = new_output("display_data", data={"image/png": "AAAA", KEPT: mark})
    notebook = new_notebook(cells=[new_code_cell("draw()", outputs=[output])])
    mask = Mask([{"kind": "header", "patient": "1", "told": [["PatientName", ["Jane Doe"]]]}])
    told = mask_notebook(notebook, mask, shown=tmp_path)
    assert told.withheld == 1
    assert "1 figure withheld" in str(told)
    assert list(notebook.cells[0].outputs[0].data) == ["text/plain"]
    assert not (tmp_path / "1.svg").exists()


def test_files_of_the_notebook_are_masked_where_they_are_text_and_counted_where_not(tmp_path: Path) -> None:
    mask = Mask([{"kind": "raw", "namespace": "n", "raw": "AB-12345", "own": "P1", "subject": "P1"}])
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "AB-12345.json").write_text('{"AB-12345": ["AB-12345", 5]}')
    (tmp_path / "a.csv").write_text('"who","n"\n"AB-12345",007\n')
    (tmp_path / "b.csv").write_text('"who","n"\n"P1",007\n')
    (tmp_path / "c.h5").write_bytes(b"\x89HDF AB-12345")
    assert mask_files(tmp_path, mask) == 1
    assert json.loads((tmp_path / "sub" / "[n of P1].json").read_text()) == {"[n of P1]": ["[n of P1]", 5]}
    assert (tmp_path / "a.csv").read_text() == "who,n\n[n of P1],007\n"
    assert (tmp_path / "b.csv").read_text() == '"who","n"\n"P1",007\n', "a file without any stays as it is"
