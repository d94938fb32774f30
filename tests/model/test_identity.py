"""Declared rules turn spellings into ids, and never merge two people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrate.errors import IdentityError
from integrate.model.identity import IdRule, identifier_table, parse_rules

TCGA = IdRule(
    "barcode",
    r"(TCGA-\w{2}-\w{4})-(\d{2}[A-Z])(?:-(\d{2}))?.*",
    {"subject_id": r"\1", "specimen_id": r"\1-\2", "region_id": r"\1-\2-\3"},
)


def test_one_barcode_names_every_level() -> None:
    assert TCGA.resolve("TCGA-OR-A5J1-01A-11R-A29S-07") == {
        "subject_id": "TCGA-OR-A5J1",
        "specimen_id": "TCGA-OR-A5J1-01A",
        "region_id": "TCGA-OR-A5J1-01A-11",
    }


def test_a_part_that_is_not_there_makes_no_id() -> None:
    assert TCGA.resolve("TCGA-OR-A5J1-01A") == {"subject_id": "TCGA-OR-A5J1", "specimen_id": "TCGA-OR-A5J1-01A"}


def test_metabric_imaging_ids_match_after_one_rule() -> None:
    clinical = ["MB-0000", "MB-0002", "MB-0362"]
    imaging = ["MB0000", "MB0362"]
    assert not set(clinical) & set(imaging)
    rule = IdRule("metabric", r"MB-?(\d{4})", {"subject_id": r"MB-\1"})
    table = identifier_table(rule, [*imaging, "MB12"], source="imc")
    assert set(table["entity_id"].dropna()) <= set(clinical)
    assert table.loc[table["entity_id"].isna(), "source_id"].tolist() == ["MB12"]


def test_two_source_ids_never_become_one() -> None:
    rule = IdRule("number", r"0*(\d+)", {"subject_id": r"\1"})
    with pytest.raises(IdentityError, match="1 pairs of ids in 'ct' become one by rule 'number': '007 = 7 -> 7'"):
        identifier_table(rule, ["007", "7"], source="ct")


def test_repeats_of_one_spelling_are_one_row() -> None:
    rule = parse_rules({})["subject_id"]
    table = identifier_table(rule, ["007", "007"], source="ct")
    assert table[["source_id", "entity_id"]].to_numpy().tolist() == [["007", "007"]]


@given(st.lists(st.text(min_size=1), max_size=8))
def test_without_a_rule_an_id_stays_as_it_is(ids: list[str]) -> None:
    table = identifier_table(parse_rules({})["subject_id"], ids, source="any")
    assert table["entity_id"].tolist() == list(dict.fromkeys(ids))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"pattern": "(", "ids": {"subject_id": r"\1"}}, "is not a pattern"),
        ({"pattern": "x", "ids": {"subject_id": r"\1"}}, "refers to a group that 'x' does not have"),
        ({"pattern": "(x)", "ids": {"subject": r"\1"}}, "no id named 'subject'; closest: 'subject_id'"),
        ({"pattern": "(x)", "ids": {"subject_id": r"\g<name>"}}, r"write groups as \\1"),
        ({"pattern": "(x)"}, "needs `pattern` and `ids`"),
        ("x", "needs `pattern` and `ids`"),
    ],
)
def test_a_malformed_rule_is_refused_when_it_is_declared(rule: object, message: str) -> None:
    with pytest.raises(IdentityError, match=message):
        parse_rules({"mine": rule})  # type: ignore[dict-item]
