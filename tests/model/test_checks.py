"""The audit finds planted doubts, each once, and names who is concerned."""

from __future__ import annotations

from collections.abc import Callable

import anndata as ad
import pytest

from integrate.model.audit import Audit, Finding
from integrate.model.study import Study

WriteStudy = Callable[..., Study]
PEOPLE = ("id,age,site\nP1,50,n\nP2,,s\nP3,61,s\n", {"id": "subject_id"}, "subject", {"age": {"unit": "a"}})


def found(study: Study, check: str) -> list[Finding]:
    return [finding for finding in study.audit.findings if finding.check == check]


def test_a_subject_outside_the_spine_is_an_error(write_study: WriteStudy) -> None:
    study = write_study(
        declared={"spine": {"entry": "people"}},
        tables={"people": PEOPLE, "rna": ("id,g\nP1,1\nP9,2\n", {"id": "subject_id"}, "subject", {})},
    )
    (finding,) = found(study, "unknown subject")
    assert (finding.severity, finding.source, finding.ids) == ("error", "rna", ("P9",))
    assert "P9" not in study.subjects.index


def test_a_repeated_id_is_an_error_in_tables_and_matrices(
    write_study: WriteStudy, small_matrix: Callable[..., ad.AnnData]
) -> None:
    study = write_study(
        tables={"people": ("id,age\nP1,50\nP1,51\nP2,60\n", {"id": "subject_id"}, "subject", {})},
        matrices={"rna": (small_matrix({"who": ["P2", "P2"]}), {"who": "subject_id"}, "subject")},
    )
    assert {(f.source, f.ids) for f in found(study, "duplicated id")} == {("people", ("P1",)), ("rna", ("P2",))}


def test_several_and_absent_observations_are_notes(two_fields: Study) -> None:
    assert {(f.severity, f.source, f.ids) for f in found(two_fields, "several per subject")} == {
        ("note", "fields", ("P1",)),
        ("note", "mif", ("P1",)),
    }
    assert {(f.source, f.ids) for f in found(two_fields, "not available")} == {("fields", ("P3",)), ("mif", ("P3",))}
    assert two_fields.audit.ok


def test_an_unknown_pixel_size_is_said(two_fields: Study) -> None:
    (finding,) = found(two_fields, "pixel size unknown")
    assert finding.source == "mif"


def test_a_second_number_must_agree_one_to_one(write_study: WriteStudy) -> None:
    text = "id,hospital\nP1,H1\nP2,H2\nP3,H2\nP3,H3\nP4,\n"
    study = write_study(
        declared={"crosscheck": [{"entry": "runs", "column": "hospital"}]},
        tables={"runs": (text, {"id": "subject_id"}, "acquisition", {})},
    )
    (finding,) = found(study, "cross-check")
    assert finding.severity == "warning"
    assert finding.ids == ("P2", "P3")
    assert "hospital H2 = subjects P2 and P3" in finding.message
    assert "subject P3 = hospital H2 and H3" in finding.message


def test_a_second_number_that_agrees_is_a_note(write_study: WriteStudy) -> None:
    study = write_study(
        declared={"crosscheck": [{"entry": "runs", "column": "hospital"}]},
        tables={"runs": ("id,hospital\nP1,H1\nP1,H1\nP2,H2\n", {"id": "subject_id"}, "acquisition", {})},
    )
    (finding,) = found(study, "cross-check")
    assert (finding.severity, finding.message) == ("note", "'hospital' agrees one to one with 2 subjects")


def test_variables_that_a_whole_group_lacks_are_named(write_study: WriteStudy) -> None:
    text = "id,kind,grade,age\nP1,normal,,50\nP2,normal,,60\nP3,tumour,2,\n"
    columns = {"kind": {"levels": ["normal", "tumour"]}, "grade": {}, "age": {}}
    study = write_study(
        declared={"missing_by": [{"entry": "people", "column": "kind"}]},
        tables={"people": (text, {"id": "subject_id"}, "subject", columns)},
    )
    assert {f.ids for f in found(study, "missing for a group")} == {("grade",), ("age",)}


def test_an_audit_lists_the_worst_first() -> None:
    audit = Audit("s", (Finding("note", "a", "x", "small"), Finding("error", "b", "x", "<b>big</b>", ("P1",))))
    assert audit.to_frame()["check"].tolist() == ["b", "a"]
    assert not audit.ok
    assert repr(audit).splitlines()[1].strip().startswith("error")
    assert "<b>big" not in audit._repr_html_()


def test_an_audit_without_errors_raises_nothing() -> None:
    Audit("s", (Finding("warning", "a", "x", "beware"),)).raise_errors()


def test_dcis_is_audited_as_published(test_data: Callable[[str], object], tmp_path: object) -> None:
    from integrate.catalog.open import open_catalog
    from integrate.model.assemble import open_study

    study = open_study(open_catalog("dcis", data_root=str(test_data("dcis-mibi").parent)))  # type: ignore[attr-defined]
    assert (len(study.subjects), len(study.specimens), len(study.acquisitions)) == (23, 27, 27)
    assert study.audit.ok
    several = {f.source: f.ids for f in found(study, "several per subject")}
    assert several["mibi"] == ("1027", "1107", "1153", "1162")
    normal = next(f for f in found(study, "missing for a group") if "Tissue_Type = normal" in f.message)
    assert {"Age", "PAM50"} <= set(normal.ids)
    (cross,) = found(study, "cross-check")
    assert "C4 = subjects 2004 and 2006" in cross.message


@pytest.mark.parametrize("severity", ["error", "warning", "note"])
def test_every_severity_is_shown(severity: str) -> None:
    assert severity in Audit("s", (Finding(severity, "a", "x", "m"),))._repr_html_()
