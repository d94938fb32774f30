"""Raw spellings of people: what a report run notes of them, and what stands in their place."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

import integrate as ig
from integrate.model.mask import Mask, current_mask, shown_id
from integrate.model.spelling import SPELLINGS_VARIABLE, note_header, note_ids, note_table, read_notes
from integrate.model.words import told_apart
from integrate.report.veil import mask_frame

HOSPITAL = {"identifiers": {"hospital": {"pattern": r"MRN-(\d{6})", "ids": {"subject_id": r"P-\1"}}}}


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Note as a report run does, to a file of this test."""
    path = tmp_path / "spellings.jsonl"
    monkeypatch.setenv(SPELLINGS_VARIABLE, str(path))
    return path


def raw(text: str, own: str | None = None, namespace: str = "hospital", *, public: bool = False) -> dict[str, Any]:
    return {"kind": "raw", "namespace": namespace, "raw": text, "own": own, "subject": own, "public": public}


def own(text: str) -> dict[str, Any]:
    return {"kind": "id", "column": "subject_id", "own": text}


def header(patient: str, *, removed: str = "", **elements: str) -> Dataset:
    dataset = Dataset()
    dataset.PatientID = patient
    for name, value in {**elements, "PatientIdentityRemoved": removed}.items():
        setattr(dataset, name, value)
    return dataset


def test_only_whole_words_are_replaced() -> None:
    mask = Mask([raw("S7-0815", "P-1")])
    assert mask.text("S7-0815, ct_s7-0815.dcm, /S7-0815/") == (
        "[hospital of P-1], ct_[hospital of P-1].dcm, /[hospital of P-1]/"
    )
    assert mask.text("S7-08155 XS7-0815 S7-0815b") == "S7-08155 XS7-0815 S7-0815b"


def test_a_number_is_an_id_only_as_a_whole_and_long_enough() -> None:
    mask = Mask([raw("4412093", "P-1"), raw("4711", "P-2"), raw("12", "P-3"), raw("0012", "P-4")])
    assert mask.text("4412093 and 4412093.0") == "[hospital of P-1] and [hospital of P-1]"
    unchanged = "44120931 0.4412093 4412093.5 4711 cells, 12 of 400, 0.0012"
    assert mask.text(unchanged) == unchanged
    assert mask.text("KeyError: '4711'; id 0012") == "KeyError: '[hospital of P-2]'; id [hospital of P-4]"
    assert mask.hidden == 1, "12 can be looked for in columns of ids only"


def test_colours_and_escapes_around_a_spelling_do_not_hide_it() -> None:
    mask = Mask([raw("4412093", "P-1"), raw("AB-77", "P-2")])
    assert mask.text("\x1b[32m4412093\x1b[39m '\\n4412093' a%20AB-77") == (
        "\x1b[32m[hospital of P-1]\x1b[39m '\\n[hospital of P-1]' a%20[hospital of P-2]"
    )


def test_html_keeps_its_tags_and_pictures_and_loses_names_in_text_attributes_comments_and_svg() -> None:
    mask = Mask([raw("O'Neil <7>"), raw("table"), raw("4412093", "P-1")])
    svg = base64.b64encode(b"<svg><!-- 4412093 --></svg>").decode()
    shown = mask.html(
        '<table title="O&#x27;Neil &lt;7&gt;"><td>O&#x27;Neil &lt;7&gt;</td><td>4412093</td></table>'
        f'<img src="data:image/png;base64,AA/4412093/AA"><img src="data:image/svg+xml;base64,{svg}">'
    )
    head, _, tail = shown.partition("<img")
    assert head == ('<table title="[unread hospital 1]"><td>[unread hospital 1]</td><td>[hospital of P-1]</td></table>')
    assert "AA/4412093/AA" in tail, "the bytes of a picture are no words"
    coded = re.findall(r"svg\+xml;base64,([^\"]+)", tail)[0]
    assert base64.b64decode(coded) == b"<svg><!-- [hospital of P-1] --></svg>"


def test_our_own_ids_stay_also_where_a_spelling_differs_by_letter_case_only() -> None:
    mask = Mask([own("SIM-007"), raw("sim-007", "SIM-007")])
    assert mask.text("sim-007 is SIM-007") == "[hospital of SIM-007] is SIM-007"


def test_published_spellings_are_shown() -> None:
    mask = Mask([raw("TCGA_CS_4941", "TCGA-CS-4941", public=True)])
    assert not mask
    assert mask.text("TCGA_CS_4941") == "TCGA_CS_4941"


def test_people_are_numbered_where_our_ids_hold_the_raw_ones() -> None:
    noted = [own("P-123456"), own("P-234567"), raw("123456", "P-123456"), raw("MRN 234567", "P-234567")]
    mask = Mask(noted)
    assert mask.private_ids
    assert mask.text("P-123456 123456 P-234567") == "[subject 001] [hospital of subject 001] [subject 002]"
    assert not Mask([*noted, {"kind": "public_ids", "value": True}]).private_ids, "the catalog has the last word"
    assert Mask([own("P-01"), {"kind": "public_ids", "value": False}]).text("of P-01") == "of [subject 001]"


def test_a_header_that_is_not_marked_as_deidentified_names_its_person(notes: Path) -> None:
    note_ids(HOSPITAL, {"hospital": ["MRN-000007"]})
    note_header(header("MRN-000007", PatientName="Doe^Jane", PatientBirthDate="19500131", AccessionNumber="A-991"))
    note_header(header("X-1234", removed="YES", PatientName="Roe^Mary"))
    mask = Mask(read_notes(notes))
    assert mask.text("JANE_DOE/ct, Doe, Jane; born 1950-01-31, A-991") == (
        "[PatientName of P-000007]/ct, [PatientName of P-000007]; born [PatientBirthDate of P-000007], "
        "[AccessionNumber of P-000007]"
    )
    assert mask.text("Roe Mary X-1234") == "Roe Mary X-1234"


def test_a_name_that_two_people_share_says_of_neither(notes: Path) -> None:
    note_header(header("A-11", PatientName="Doe^Jane"))
    note_header(header("A-12", PatientName="Kim^Jane"))
    assert Mask(read_notes(notes)).text("Jane") == "[PatientName]"


def test_a_patient_id_that_is_our_own_makes_our_ids_private(notes: Path) -> None:
    identity = {"identifiers": {"archive": {"pattern": r"(\d+)", "ids": {"subject_id": r"\1"}}}}
    note_ids(identity, {"archive": ["4412093"]})
    assert not Mask(read_notes(notes)), "an id of the study that is spelled as the source does is not raw by itself"
    note_header(header("4412093"))
    assert Mask(read_notes(notes)).text("subject 4412093") == "subject [subject 001]"


def test_a_study_notes_spellings_unread_ids_and_second_numbers(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study(tmp_path)
    study = ig.open_study(ig.open_catalog(tmp_path / "catalog.yaml"))
    assert "hospital 1]" in study.audit.to_frame()["message"].iloc[0], "the message says it masked"
    mask = current_mask()
    assert mask.text("MRN-000007 GONE-44 ins-9901") == (
        "[hospital of P-000007] [unread hospital 1] [insurance of P-000007]"
    )
    study.write(tmp_path / "written")
    monkeypatch.setenv(SPELLINGS_VARIABLE, str(tmp_path / "another_run.jsonl"))
    stored = ig.read_study(tmp_path / "written")
    assert current_mask().labels == mask.labels, "a study read from a folder tells the same"
    shown = mask_frame(stored.identifiers, current_mask())
    assert "MRN-000007" in set(stored.identifiers["source_id"]), "what cells compute with is not masked"
    assert not shown["source_id"].str.startswith("MRN").any()


def test_a_second_number_that_is_published_is_shown(notes: Path, tmp_path: Path) -> None:
    write_study(tmp_path)
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(catalog.read_text().replace("column: insurance", "column: insurance, public: true"))
    ig.open_study(ig.open_catalog(catalog))
    assert current_mask().text("ins-9901 MRN-000007") == "ins-9901 [hospital of P-000007]"


def write_study(folder: Path) -> None:
    (folder / "clinical.csv").write_text(
        "mrn,insurance,age\nMRN-000007,ins-9901,61\nMRN-000008,ins-9902,48\nGONE-44,ins-9903,50\n"
    )
    (folder / "catalog.yaml").write_text(
        "version: 2\n"
        "metadata:\n"
        "  name: hospital\n"
        "  study:\n"
        "    identifiers:\n"
        "      hospital: {pattern: 'MRN-(\\d{6})', ids: {subject_id: 'P-\\1'}}\n"
        "    public_ids: true\n"
        "    crosscheck: [{entry: clinical, column: insurance}]\n"
        "entries:\n"
        "  clinical:\n"
        "    reader: Table\n"
        "    kwargs: {url: '{CATALOG_DIR}/clinical.csv', keys: {mrn: hospital}}\n"
        "    metadata: {level: subject}\n"
    )


def test_nothing_is_noted_or_masked_outside_a_report_run(tmp_path: Path) -> None:
    write_study(tmp_path)
    study = ig.open_study(ig.open_catalog(tmp_path / "catalog.yaml"))
    assert "'GONE-44'" in study.audit.to_frame()["message"].iloc[0]
    assert shown_id("GONE-44") == "GONE-44"
    assert not current_mask()


def test_columns_that_the_source_calls_identifying_are_masked(notes: Path) -> None:
    table = pd.DataFrame({"record": ["1", "2"], "phone": ["030 1234567", "030 7654321"], "age": [61, 48]})
    table.attrs["integrate"] = {"identifiers": ["phone"]}
    note_table(table, keys={}, declared=None)
    assert mask_frame(table, current_mask())["phone"].tolist() == ["[unread phone 1]", "[unread phone 2]"]


def test_in_a_table_short_and_numeric_ids_are_masked_by_their_column(notes: Path) -> None:
    declared = {"identifiers": {"n": {"pattern": r"(\d{2})\d*", "ids": {"subject_id": r"S\1"}}}}
    table = pd.DataFrame({"nr": [12, 13], "cells": [12, 13], "mrn": [1200000, 1300000], "area": [1200000, 55]})
    note_table(table, keys={"nr": "n"}, declared=declared)
    note_ids(declared, {"n": ["1200001", "1300001"]})
    table["mrn"] = [1200001, 1300001]
    shown = mask_frame(table, current_mask())
    assert shown["nr"].tolist() == ["[n of S12]", "[n of S13]"]
    assert shown["mrn"].tolist() == ["[n of S12]", "[n of S13]"], "most of its numbers are raw ids"
    assert shown[["cells", "area"]].equals(table[["cells", "area"]]), "a number that is no id is unchanged"


@pytest.mark.parametrize(
    ("spelling", "where"),
    [("MRN7", "anywhere"), ("Anna", "anywhere"), ("Ann", "column"), ("T1", "column"), ("12.345678", "quoted")],
)
def test_how_far_a_spelling_can_be_told_from_words_and_numbers(spelling: str, where: str) -> None:
    assert told_apart(spelling) == where


SPELLINGS = st.from_regex(r"[A-Z]{2}[-_. /]?[0-9]{4,7}|[0-9]{6,9}|[A-Za-z]{4,8}[ ^][A-Za-zäöüß]{4,8}", fullmatch=True)
NUMBERS = st.one_of(st.integers(0, 99_999).map(str), st.floats(0, 1e5, allow_nan=False).map(repr))


@settings(max_examples=150, deadline=None)
@given(
    spelled=st.lists(SPELLINGS, min_size=1, max_size=5, unique=True),
    numbers=st.lists(NUMBERS, max_size=4),
    glue=st.sampled_from([" ", ",", "/", "_", "-", "<td>", "'", '"', "\n", "\x1b[0m", "\\n", "&amp;"]),
)
def test_no_spelling_survives_and_no_other_number_changes(spelled: list[str], numbers: list[str], glue: str) -> None:
    mask = Mask([raw(text, f"P{place}x") for place, text in enumerate(spelled)])
    for write in (mask.text, mask.html):
        shown = write(glue.join([*spelled, *(f"={n}=" for n in numbers), *reversed(spelled)]))
        for text in spelled:
            assert not re.search(rf"(?<![^\W_]){re.escape(text)}(?![^\W_])", shown), shown
        assert all(f"={number}=" in shown for number in numbers)
        assert write(shown) == shown, "masking again changes nothing"
