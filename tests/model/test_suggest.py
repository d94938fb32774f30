"""Suggested rules and cross-checks: a link is explained and verified, never guessed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrate.errors import AlignmentError
from integrate.join.link import link
from integrate.model.identity import IdRule
from integrate.model.study import Study
from integrate.model.suggest import suggest_ids

RULE = {"pattern": r"MB-?(\d{4})", "ids": {"subject_id": r"MB-\1"}}


@pytest.mark.parametrize(
    ("unknown", "known", "why", "rule"),
    [
        (["MB0002", "MB0016"], ["MB-0002", "MB-0016"], "separators", (r"MB(\d{4})", r"MB-\1")),
        (
            ["TCGA_CS_4941", "TCGA_HT_A616"],
            ["TCGA-CS-4941", "TCGA-HT-A616"],
            "separators",
            (r"TCGA_([A-Za-z]{2})_(\w{4})", r"TCGA-\1-\2"),
        ),
        (
            ["Glioma-TCGA-CS-4941", "Glioma-TCGA-HT-A616"],
            ["TCGA-CS-4941", "TCGA-HT-A616"],
            "its beginning",
            (r"Glioma-TCGA-([A-Za-z]{2})-(\w{4})", r"TCGA-\1-\2"),
        ),
        (
            ["TCGA-OR-A5J1-01A", "TCGA-PK-A5HA-01B"],
            ["TCGA-OR-A5J1", "TCGA-PK-A5HA"],
            "further parts",
            (r"TCGA-([A-Za-z]{2})-(\w{4})-\w{3}", r"TCGA-\1-\2"),
        ),
        (["7", "12"], ["007", "012"], "zero padding", None),
        (["sub01", "sub02"], ["SUB01", "SUB02"], "letter case", (r"sub(\d{2})", r"SUB\1")),
        (["P 7"], ["P-7"], "separators", (r"P\ (\d{1})", r"P-\1")),
    ],
)
def test_common_spellings_are_recognised(
    unknown: list[str], known: list[str], why: str, rule: tuple[str, str] | None
) -> None:
    (found,) = suggest_ids(unknown, known)
    assert found.why == why
    assert dict(found.pairs) == dict(zip(unknown, known, strict=True))
    if rule is None:
        assert found.rule == {}
        assert "no single rule reads them, correct the source" in str(found)
        return
    assert found.rule == {"pattern": rule[0], "ids": {"subject_id": rule[1]}}
    own = IdRule("n", rule[0], {"subject_id": rule[1]})
    assert [own.resolve(one) for one in unknown] == [{"subject_id": one} for one in known]


def test_what_can_be_two_people_is_not_suggested() -> None:
    assert suggest_ids(["P-1", "P1"], ["P_1"]) == []
    assert suggest_ids(["p1"], ["P1", "P-1"])[0].pairs == {"p1": "P1"}
    assert suggest_ids(["P.1"], ["P_1", "P-1"]) == []
    assert suggest_ids(["unrelated"], ["P-1"]) == []


@given(
    st.sets(st.text("aB0-_", min_size=1, max_size=5), max_size=8),
    st.sets(st.text("aB0-_", min_size=1, max_size=5), max_size=8),
)
def test_a_suggestion_pairs_unknown_with_known_and_its_rule_says_the_same(unknown: set[str], known: set[str]) -> None:
    for found in suggest_ids(unknown, known):
        assert set(found.pairs) <= unknown - known
        assert set(found.pairs.values()) <= known
        if found.rule:
            rule = IdRule("n", str(found.rule["pattern"]), found.rule["ids"])  # type: ignore[arg-type]
            assert {one: rule.resolve(one) for one in found.pairs} == {
                one: {"subject_id": own} for one, own in found.pairs.items()
            }


@pytest.fixture
def metabric(write_study: Callable[..., Study]) -> Callable[..., Study]:
    """Like METABRIC: 60 acquisitions of 50 patients spelled MB0001, a table of 200 spelled MB-0001 without 8 of them.

    Both have the age. `shuffle` gives the acquisitions of each patient to another one.
    """

    def make(*, rule: bool, shuffle: bool = False) -> Study:
        rng = np.random.default_rng(0)
        numbers = rng.permutation(250)[:200]
        ages = dict(zip(numbers, rng.uniform(30, 90, 200).round(2), strict=True))
        imaged = [*numbers[:42], *(n for n in range(250) if n not in ages)][:50]
        several = [*imaged, *imaged[:10]]
        named = dict(zip(imaged, rng.permutation(imaged), strict=True)) if shuffle else {n: n for n in imaged}
        imc = "core,metabric_id,age_at_diagnosis\n" + "".join(
            f"c{i},MB{named[n]:04},{ages.get(n, 55.5)}\n" for i, n in enumerate(several)
        )
        people = "PATIENT_ID,AGE\n" + "".join(f"MB-{n:04},{ages[n]}\n" for n in numbers)
        check = {
            "entry": "imc",
            "column": "age_at_diagnosis",
            "with": {"entry": "people", "column": "AGE"},
            "tolerance": 0.01,
        }
        return write_study(
            declared={
                "spine": {"entry": "people"},
                "identifiers": {"metabric": RULE} if rule else {},
                "crosscheck": [check],
            },
            tables={
                "people": (people, {"PATIENT_ID": "subject_id"}, "subject", {}),
                "imc": (
                    imc,
                    {"core": "acquisition_id", "metabric_id": "metabric" if rule else "subject_id"},
                    "acquisition",
                    {},
                ),
            },
        )

    return make


def test_no_raw_id_matches_and_the_audit_suggests_the_rule(metabric: Callable[..., Study]) -> None:
    study = metabric(rule=False)
    said = {f.check: f for f in study.audit.findings if f.source == "imc"}
    assert len(said["unknown subject"].ids) == 50
    assert len(said["suggested rule"].ids) == 42
    assert r"'pattern': 'MB(\\d{4})', 'ids': {'subject_id': 'MB-\\1'}" in said["suggested rule"].message
    assert said["suggested rule"].message.startswith("not applied: 42 would match but for separators")
    assert said["cross-check"].message.endswith("the link is not verified")
    with pytest.raises(AlignmentError, match="belong to no subject of the study"):
        link(study, unit="subject", imc="imc", reduce={"imc": "mean"})


def test_one_rule_matches_and_age_verifies_the_link(metabric: Callable[..., Study]) -> None:
    study = metabric(rule=True)
    (said,) = [f for f in study.audit.findings if f.check == "cross-check"]
    assert said.severity == "note"
    assert said.message.endswith("agree in 42 of 42 subjects that have both")
    cohort = link(study, unit="subject", imc="imc", clinical="people", reduce={"imc": "mean"}, unmatched="drop")
    part = cohort.report["imc"]
    assert (len(cohort.obs), part.matched, len(part.unmatched), len(part.repeated)) == (200, 42, 8, 10)
    both = pd.DataFrame({"a": cohort.values("age_at_diagnosis"), "b": cohort.values("AGE")}).dropna()
    assert len(both) == 42
    np.testing.assert_allclose(both["a"], both["b"], rtol=0, atol=1e-9)


def test_a_wrong_id_map_is_an_error_of_the_cross_check(metabric: Callable[..., Study]) -> None:
    (said,) = [f for f in metabric(rule=True, shuffle=True).audit.findings if f.check == "cross-check"]
    assert said.severity == "error"
    assert said.message.endswith("correct the ids")
    assert len(said.ids) >= 35


def test_one_person_who_differs_is_a_warning_and_codes_are_read(write_study: Callable[..., Study]) -> None:
    check = {
        "entry": "imc",
        "column": "sex",
        "with": {"entry": "people", "column": "gender"},
        "codes": {"F": "female", "M": "male"},
    }
    study = write_study(
        declared={"crosscheck": [check]},
        tables={
            "people": ("id,gender\n1,Female\n2,male\n3,female\n", {"id": "subject_id"}, "subject", {}),
            "imc": ("id,sex\n1,F\n2,M\n3,M\n", {"id": "subject_id"}, "subject", {}),
        },
    )
    (said,) = [f for f in study.audit.findings if f.check == "cross-check"]
    assert (said.severity, said.ids) == ("warning", ("3",))
    assert "agree in 2 of 3 subjects" in said.message
    assert "3: M / female" in said.message
