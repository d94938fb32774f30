"""FHIR: one flat table per type of resource, from bundles and bulk exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from integrate.errors import DataError, ParameterError
from integrate.readers.fhir import Fhir
from integrate.testing import ReaderTests

LOINC = "http://loinc.org"
PATIENT = {
    "resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1950-02-01",
    "name": [{"family": "Chalmers", "given": ["Peter", "James"]}, {"family": "Windsor"}],
    "deceasedBoolean": False, "meta": {"versionId": "1"},
    "maritalStatus": {"coding": [{"system": "x", "code": "M", "display": "Married"}]},
}  # fmt: skip
WEIGHT = {
    "resourceType": "Observation", "id": "o1", "status": "final", "subject": {"reference": "Patient/p1"},
    "code": {"coding": [{"system": LOINC, "code": "29463-7", "display": "Body weight"}, {"system": "y", "code": "w"}]},
    "effectiveDateTime": "2020-01-05", "valueQuantity": {"value": 70.5, "unit": "kilo", "system": "ucum", "code": "kg"},
}  # fmt: skip
PRESSURE = {
    "resourceType": "Observation", "id": "o2", "status": "final", "subject": {"reference": "urn:uuid:aa"},
    "code": {"coding": [{"system": LOINC, "code": "85354-9"}], "text": "Blood pressure"},
    "component": [
        {"code": {"coding": [{"code": "8480-6", "display": "Systolic"}]}, "valueQuantity": {"value": 120, "unit":
        "mmHg"}}, {"code": {"coding": [{"code": "8462-4", "display": "Diastolic"}]}, "valueQuantity": {"value": 80,
        "unit": "mmHg"}},
    ],
}  # fmt: skip
BUNDLE = {
    "resourceType": "Bundle",
    "type": "collection",
    "entry": [
        {"fullUrl": "urn:uuid:aa", "resource": PATIENT},
        {"fullUrl": "urn:uuid:bb", "resource": WEIGHT},
        {"resource": PRESSURE},
    ],
}


def write(file: Path, content: Any = BUNDLE) -> str:
    file.write_text(json.dumps(content), encoding="utf-8")
    return str(file)


class TestContract(ReaderTests):
    def reader(self, folder: Path) -> Fhir:
        return Fhir(url=write(folder / "b.json"), resource="Observation")

    def check(self, opened: Any) -> None:
        assert opened["id"].tolist() == ["o1", "o2", "o2"]
        assert opened["subject_id"].tolist() == ["p1", "p1", "p1"]
        assert opened["code"].tolist() == ["Body weight", "Systolic", "Diastolic"]
        assert opened["code_code"].tolist() == ["29463-7", "8480-6", "8462-4"]
        assert opened["value"].tolist() == [70.5, 120, 80]
        assert opened["value_unit"].tolist() == ["kg", "mmHg", "mmHg"]
        assert opened["component"].tolist()[1:] == [1, 2]
        assert opened.attrs["integrate"]["further_values"] == {"code": 1}


def test_patients_are_their_own_subject(tmp_path: Path) -> None:
    row = Fhir(url=write(tmp_path / "b.json"), resource="Patient").read().iloc[0]
    assert (row["subject_id"], row["gender"], row["name_family"], row["name_given"]) == (
        "p1",
        "female",
        "Chalmers",
        "Peter",
    )
    assert row["maritalStatus"] == "Married"
    assert row["deceased"] is False or row["deceased"] == False  # noqa: E712 - numpy's own False
    assert "meta_versionId" not in row


def test_a_bulk_export_is_the_same(tmp_path: Path) -> None:
    direct = {**PRESSURE, "subject": {"reference": "Patient/p1"}}
    (tmp_path / "o.ndjson").write_text("\n".join(json.dumps(one) for one in (PATIENT, WEIGHT, direct)) + "\n")
    bundle = Fhir(url=write(tmp_path / "b.json"), resource="Observation").read()
    lines = Fhir(url=str(tmp_path / "o.ndjson"), resource="Observation").read()
    assert lines.iloc[0].dropna().to_dict() == bundle.iloc[0].dropna().to_dict()
    listed = Fhir(url=str(tmp_path / "o.ndjson")).read()
    assert listed.to_dict("records") == [{"resource": "Observation", "count": 2}, {"resource": "Patient", "count": 1}]


def test_half_an_answer_is_refused(tmp_path: Path) -> None:
    paged = {**BUNDLE, "link": [{"relation": "next", "url": "http://x"}]}
    with pytest.raises(DataError, match="is one page of several"):
        Fhir(url=write(tmp_path / "b.json", paged), resource="Patient").read()
    twice = {**BUNDLE, "entry": [{"resource": WEIGHT}, {"resource": WEIGHT}]}
    with pytest.raises(DataError, match=r"1 ids of Observation repeat in c.json: 'o1'"):
        Fhir(url=write(tmp_path / "c.json", twice), resource="Observation").read()
    with pytest.raises(ParameterError, match=r"no resource 'Observations'; closest: 'Observation'"):
        Fhir(url=str(tmp_path / "c.json"), resource="Observations").read()
    with pytest.raises(DataError, match="is JSON but no FHIR"):
        Fhir(url=write(tmp_path / "d.json", {"a": 1})).read()
