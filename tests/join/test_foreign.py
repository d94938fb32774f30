"""Study folders of other tools open as a study that links."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import integrate as ig
from integrate.errors import ParameterError
from integrate.join.cbioportal import study_from_cbioportal
from integrate.join.isatab import study_from_isatab
from integrate.join.link import link
from integrate.join.reopen import read_study
from integrate.model.study import Study

INVESTIGATION = """\
ONTOLOGY SOURCE REFERENCE
Term Source Name\tOBI
INVESTIGATION
Investigation Identifier\tI1
STUDY
Study Identifier\tS1
Study File Name\ts_one.txt
STUDY ASSAYS
Study Assay File Name\ta_runs.txt
Study Assay Technology Type\tmass spectrometry
STUDY PROTOCOLS
Study Protocol Name\textraction
STUDY CONTACTS
Study Person Last Name\tDoe
"""
SOURCES = [
    ["Source Name", "Characteristics[age]", "Unit", "Sample Name", "Factor Value[dose]"],
    ["m1", "8", "week", "m1-a", "0"],
    ["m1", "8", "week", "m1-b", "5"],
    ["m2", "", "", "m2-a", "5"],
]
RUNS = [
    ["Sample Name", "Label", "MS Assay Name", "Parameter Value[volume]", "Unit"],
    ["m1-a", "117", "run1", "20", "ul"],
    ["m1-b", "116", "run1", "20", "ul"],
    ["m2-a", "117", "run2", "4", "ul"],
]


@pytest.fixture
def isatab(tmp_path: Path) -> Study:
    """A small ISA-Tab folder: two sources, three samples, one multiplexed run and one plain one."""
    folder = tmp_path / "isa"
    folder.mkdir()
    (folder / "i_one.txt").write_text(INVESTIGATION)
    for name, table in (("s_one.txt", SOURCES), ("a_runs.txt", RUNS)):
        (folder / name).write_text("".join("\t".join(row) + "\n" for row in table))
    (tmp_path / "c.yaml").write_text(
        "version: 2\nmetadata: {name: c, description: c, licence: CC0-1.0}\nentries:\n"
        "  isa: {reader: IsaTab, kwargs: {url: '{CATALOG_DIR}/isa'}, metadata: {description: isa, level: study}}\n"
    )
    return study_from_isatab(ig.open_catalog(tmp_path / "c.yaml").load("isa"))


def test_the_graph_of_an_isatab_folder_becomes_entities(isatab: Study) -> None:
    assert isatab.audit.ok
    assert isatab.subjects["Characteristics[age]"].tolist()[0] == 8
    assert isatab.subjects.index.tolist() == ["m1", "m2"]
    assert isatab.specimens["subject_id"].to_dict() == {"m1-a": "m1", "m1-b": "m1", "m2-a": "m2"}
    assert isatab.acquisitions["specimen_id"].to_dict() == {"run1/m1-a": "m1-a", "run1/m1-b": "m1-b", "run2": "m2-a"}
    assert isatab.dataset("runs").metadata["Study Assay Technology Type"] == "mass spectrometry"


def test_values_of_an_isatab_folder_are_linked_with_their_units(isatab: Study, tmp_path: Path) -> None:
    cohort = link(isatab, unit="subject", runs="runs", reduce={"runs": "mean"}, clinical="samples")
    assert cohort.values("Parameter Value[volume]").tolist() == [20, 4]
    assert cohort.features.loc["runs/Parameter Value[volume]", "unit"] == "ul"
    assert cohort.report["clinical"].varying["Factor Value[dose]"] == ("m1",)
    isatab.write(tmp_path / "study")
    pd.testing.assert_frame_equal(read_study(tmp_path / "study").specimens, isatab.specimens)


@pytest.mark.parametrize(
    ("folder", "file", "assays"),
    [
        ("BII-S-3", "s_BII-S-3.txt", {"gilbert-assay-Gx", "gilbert-assay-Tx"}),
        ("BII-I-1", "s_BII-S-1.txt", {"proteome", "metabolome", "transcriptome"}),
        ("BII-I-1", "s_BII-S-2.txt", {"microarray"}),
    ],
)
def test_published_isatab_studies_have_the_entities_their_files_list(
    test_data: Callable[[str], Path], folder: str, file: str, assays: set[str]
) -> None:
    root = test_data("isatab")
    catalog = ig.open_catalog("examples", data_root=str(root.parent))
    study = study_from_isatab(catalog.load("isatab", study=folder), study=file)
    with (root / folder / file).open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text, delimiter="\t"))
    assert set(study.subjects.index) == {row["Source Name"] for row in rows}
    assert set(study.specimens.index) == {row["Sample Name"] for row in rows}
    pairs = {row["Sample Name"]: row["Source Name"] for row in rows}
    assert study.specimens["subject_id"].to_dict() == pairs
    assert set(study.tables) == {"samples", *assays}
    assert study.audit.ok
    shown = study.sample_map[study.sample_map["assay"].isin(assays)]
    assert shown["subject_id"].notna().all()
    assert shown["acquisition_id"].notna().all()


def test_a_folder_of_several_studies_asks_for_one(test_data: Callable[[str], Path]) -> None:
    catalog = ig.open_catalog("examples", data_root=str(test_data("isatab").parent))
    folder = catalog.load("isatab", study="BII-I-1")
    with pytest.raises(ParameterError, match=r"has 2 studies; name one, study='s_BII-S-1\.txt', 's_BII-S-2\.txt'"):
        study_from_isatab(folder)
    with pytest.raises(ParameterError, match=r"no study 's_BII-S-3\.txt'"):
        study_from_isatab(folder, study="s_BII-S-3.txt")


def test_a_cbioportal_folder_opens_as_a_study_that_links(test_data: Callable[[str], Path], tmp_path: Path) -> None:
    root = test_data("cbioportal-study-es0")
    folder = ig.open_catalog("examples", data_root=str(root.parent)).load("cbioportal")
    study = study_from_cbioportal(folder)

    def listed(file: str) -> list[list[str]]:
        lines = (root / file).read_text(encoding="utf-8").splitlines()
        return [line.split("\t") for line in lines if line and not line.startswith("#")]

    patients, samples = listed("data_clinical_patients.txt"), listed("data_clinical_samples.txt")
    place = patients[0].index("PATIENT_ID")
    assert study.subjects.index.tolist() == [row[place] for row in patients[1:]]
    sample, patient = samples[0].index("SAMPLE_ID"), samples[0].index("PATIENT_ID")
    assert study.specimens["subject_id"].to_dict() == {row[sample]: row[patient] for row in samples[1:]}
    expression = listed("data_expression_median.txt")
    columns = [i for i, name in enumerate(expression[0]) if name.startswith("T")]
    cohort = link(study, unit="specimen", clinical="samples", rna="expression_median")
    own = cohort.assays["rna"]
    assert own.n_obs == len(columns)
    for row in expression[1:]:
        name = row[0] or row[1]
        values = pd.Series([float(row[i]) if row[i] not in ("", "NA") else np.nan for i in columns])
        found = own[[expression[0][i] for i in columns], name].X.ravel()
        np.testing.assert_allclose(found, values, rtol=1e-12)
    patient_level = link(study, unit="subject", clinical="patients", rna="expression_median", reduce={"rna": "mean"})
    assert patient_level.obs["OS_MONTHS"].notna().sum() == sum(
        bool(row[patients[0].index("OS_MONTHS")].replace("[Not Available]", "").strip()) for row in patients[1:]
    )
    study.write(tmp_path / "study")
    assert read_study(tmp_path / "study").audit == study.audit
