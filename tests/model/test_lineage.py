"""Sections know the block they were cut from, and blocks the person, whichever side the catalog says it on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integrate.errors import CatalogError
from integrate.join.link import link
from integrate.join.reopen import read_study
from integrate.model.study import Study

PARENTS = [{"entry": "sections", "column": "block", "namespace": "specimen_id"}]
SECTIONS = "section,block,stain\ns1,b1,HE\ns2,b1,IHC\ns3,b2,HE\ns4,,HE\n"


@pytest.fixture
def cut(write_study: Callable[..., Study]) -> Callable[..., Study]:
    """A function that opens a study of sections whose blocks belong to people."""

    def make(
        sections: str = SECTIONS,
        blocks: str = "block,who\nb1,P1\nb2,P2\n",
        parents: Any = PARENTS,
        rules: Any = None,
    ) -> Study:
        return write_study(
            declared={"parents": parents, "identifiers": rules or {}},
            tables={
                "blocks": (blocks, {"block": "specimen_id", "who": "subject_id"}, "specimen", {}),
                "sections": (sections, {"section": "specimen_id"}, "specimen", {}),
            },
        )

    return make


def test_sections_get_the_subject_of_their_block(cut: Callable[..., Study]) -> None:
    study = cut()
    assert study.audit.ok
    specimens = study.specimens
    assert specimens["parent_specimen_id"].dropna().to_dict() == {"s1": "b1", "s2": "b1", "s3": "b2"}
    assert specimens["subject_id"].dropna().to_dict() == {"b1": "P1", "b2": "P2", "s1": "P1", "s2": "P1", "s3": "P2"}
    assert study.table("sections")["subject_id"].tolist()[:3] == ["P1", "P1", "P2"]
    cohort = link(study, unit="specimen", clinical="sections", unmatched="drop")
    assert cohort.obs.loc["s2", ["subject_id", "stain"]].tolist() == ["P1", "IHC"]


def test_a_block_gets_the_subject_of_its_sections_through_generations(cut: Callable[..., Study]) -> None:
    sections = "section,block\ns1,b1\nb1,organ\n"
    study = cut(sections, "block,who\ns1,P1\n")
    assert study.specimens["subject_id"].to_dict() == {"b1": "P1", "organ": "P1", "s1": "P1"}
    assert study.specimens["parent_specimen_id"].dropna().to_dict() == {"b1": "organ", "s1": "b1"}


def test_parents_are_read_by_their_own_rule(cut: Callable[..., Study]) -> None:
    rules = {"lab": {"pattern": r"block-(\d)", "ids": {"specimen_id": r"b\1"}}}
    parents = [{**PARENTS[0], "namespace": "lab"}]
    study = cut("section,block\ns1,block-1\ns2,Block 2\n", parents=parents, rules=rules)
    assert study.specimens["parent_specimen_id"].dropna().to_dict() == {"s1": "b1"}
    (finding,) = study.audit.errors
    assert (finding.check, finding.ids) == ("unreadable id", ("Block 2",))


@pytest.mark.parametrize(
    ("sections", "message", "ids"),
    [
        ("section,block\ns1,b1\ns1,b2\n", "have two parents", ("s1",)),
        ("section,block\ns1,s2\ns2,s1\n", "descend from themselves", ("s1", "s2")),
        ("section,block\nb1,b2\n", "have another subject than their parent", ("b1",)),
    ],
)
def test_impossible_lineages_are_errors_of_the_audit(
    cut: Callable[..., Study], sections: str, message: str, ids: tuple[str, ...]
) -> None:
    found = [finding for finding in cut(sections).audit.errors if message in finding.message]
    assert [finding.ids for finding in found] == [ids]


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ([{"entry": "sections"}], "write {entry: table, column: name, namespace: name}"),
        ([{**PARENTS[0], "entry": "section"}], "'section' is no table with specimens; closest: 'sections'"),
        ([{**PARENTS[0], "column": "blok"}], "no column 'blok' in 'sections'; closest: 'block'"),
        ([{**PARENTS[0], "namespace": "lab"}], "no rule for namespace 'lab'"),
    ],
)
def test_a_malformed_declaration_is_refused(cut: Callable[..., Study], parents: Any, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        cut(parents=parents)


def test_lineage_survives_on_disk(cut: Callable[..., Study], tmp_path: Path) -> None:
    study = cut()
    study.write(tmp_path / "study")
    again = read_study(tmp_path / "study")
    assert again.specimens["parent_specimen_id"].dropna().to_dict() == {"s1": "b1", "s2": "b1", "s3": "b2"}
    found = again.sql("SELECT count(*) AS n FROM specimens WHERE parent_specimen_id = 'b1'")
    assert found["n"].tolist() == [2]
