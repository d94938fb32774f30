"""The shipped catalog ``demo`` against the files it describes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from integrate.catalog.check import check_catalog
from integrate.catalog.open import open_catalog
from integrate.datasets.fluorescence import CHANNELS
from integrate.datasets.isatab import ASSAYS
from integrate.model.identity import parse_rules

NAMESPACE = {"CT": "hospital", "SM": "pathology", "IF": "pathology", "visium": "pathology", "annotation": "pathology"}


@pytest.fixture(scope="module")
def catalog_path(repository: Path) -> Path:
    return repository / "catalogs" / "demo.yaml"


@pytest.fixture(scope="module")
def document(catalog_path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(catalog_path.read_text(encoding="utf-8"))
    return loaded


def test_every_entry_has_the_full_form(document: dict[str, Any]) -> None:
    assert set(document) == {"version", "metadata", "user_parameters", "data", "aliases", "entries"}
    assert document["aliases"] == {name: name for name in document["entries"]}
    for entry in document["entries"].values():
        assert set(entry) == {"reader", "output_instance", "user_parameters", "kwargs", "metadata"}
        assert {"description", "modality", "level"} <= set(entry["metadata"])
        assert entry["kwargs"]["url"].startswith("{data_root}/")


def test_our_door_and_plain_intake_list_the_same_datasets(catalog_path: Path, study: Path) -> None:
    import intake

    ours = open_catalog(catalog_path, data_root=str(study))
    assert list(intake.open_catalog(str(catalog_path))) == list(ours)


def test_every_file_is_what_the_catalog_says(catalog_path: Path, study: Path) -> None:
    found = check_catalog(open_catalog(catalog_path, data_root=str(study)), deep=True)
    assert found.ok, str(found)


def test_each_asset_entry_lists_the_files_of_its_modality(
    catalog_path: Path, study: Path, assets: pd.DataFrame
) -> None:
    catalog = open_catalog(catalog_path, data_root=str(study))
    names = {"ct": "CT", "he": "SM", "fluorescence": "IF", "visium": "visium", "outlines": "annotation"}
    for name, modality in names.items():
        items = catalog[name].items()
        assert list(items["item"]) == list(assets.loc[assets["modality"] == modality, "acquisition_id"])
    slides = set(catalog["he"].items()["id:acquisition_id"])
    assert set(catalog["outlines"].items()["id:acquisition_id"]) == slides


def test_the_rules_turn_every_spelling_into_the_planted_subject(
    document: dict[str, Any], assets: pd.DataFrame, truth: dict[str, Any]
) -> None:
    rules = parse_rules(document["metadata"]["study"]["identifiers"])
    for name, subject in truth["subjects"].items():
        assert rules["hospital"].resolve(subject["hospital_id"]) == {"subject_id": name}
        specimens = [rules["pathology"].resolve(label) for label in subject["pathology_ids"]]
        assert specimens == [{"subject_id": name, "specimen_id": specimen} for specimen in subject["sections"]]
        assert rules["sequencing"].resolve(subject["rna_id"]) == {"subject_id": name, "specimen_id": f"{name}-S1"}
    for row in assets.itertuples():
        ids = rules[NAMESPACE[str(row.modality)]].resolve(str(row.source_id))
        assert ids is not None
        assert str(row.acquisition_id).startswith(ids.get("specimen_id", ids["subject_id"]))


def test_no_spelling_fits_two_rules(document: dict[str, Any], truth: dict[str, Any]) -> None:
    patterns = [rule["pattern"] for rule in document["metadata"]["study"]["identifiers"].values()]
    for subject in truth["subjects"].values():
        for source_id in (subject["hospital_id"], *subject["pathology_ids"], subject["rna_id"]):
            assert sum(re.fullmatch(pattern, source_id) is not None for pattern in patterns) == 1


def test_the_codebook_describes_the_clinical_table(document: dict[str, Any], catalog_path: Path, study: Path) -> None:
    clinical = pd.read_csv(study / "clinical.csv")
    codebook = document["entries"]["clinical"]["kwargs"]["columns"]
    assert list(codebook) == list(clinical.columns)
    read = open_catalog(catalog_path, data_root=str(study)).load("clinical")
    assert read["os_event"].astype(int).tolist() == clinical["os_event"].tolist()
    assert read["response"].isna().sum() == clinical["response"].isna().sum()


def test_the_catalog_names_the_channels_of_the_picture(document: dict[str, Any]) -> None:
    declared = [(c["name"], c["target"]) for c in document["entries"]["fluorescence"]["metadata"]["channels"]]
    assert declared == [(channel.name, channel.target) for channel in CHANNELS]


def test_every_technology_of_the_isa_tab_is_a_dataset(document: dict[str, Any]) -> None:
    assert set(ASSAYS) <= {entry["metadata"]["modality"] for entry in document["entries"].values()}
