"""UpSet, flow and coverage: every number that is drawn is right, and the picture stays small and escaped."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrate.model.coverage import coverage_grid
from integrate.model.flow import flow
from integrate.model.html import card
from integrate.model.study import Study
from integrate.model.upset import combinations_of, upset

HOSTILE = "<script>alert('x')</script>\" onload=\"alert(1)"
SVG = "{http://www.w3.org/2000/svg}"


def drawn(markup: str) -> ElementTree.Element:
    """Return the one SVG of a picture, parsed strictly."""
    found = re.findall(r"<svg.*?</svg>", markup, flags=re.DOTALL)
    assert len(found) == 1
    return ElementTree.fromstring(found[0])


def texts(markup: str) -> list[str]:
    return [text.text or "" for text in drawn(markup).iter(f"{SVG}text")]


def steps_of(*rows: tuple[str, int, int]) -> pd.DataFrame:
    return pd.DataFrame([(*row, "") for row in rows], columns=["step", "n", "excluded", "ids"])


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_combinations_are_those_of_the_slow_obvious_count(rows: list[tuple[bool, bool, bool]]) -> None:
    found = combinations_of(pd.DataFrame(rows, columns=["a", "b", "c"]))
    counted = {tuple(row[:3]): row[3] for row in found.itertuples(index=False, name=None)}
    assert counted == Counter(rows)
    assert found["n"].tolist() == sorted(counted.values(), reverse=True)


def test_upset_shows_each_combination_once_with_its_number() -> None:
    counts = pd.DataFrame({"rna": [0, 0, 2, 1], "ct": [1, 3, 1, np.nan]})
    shown = upset(counts, row_label="subjects", column_label="datasets")
    assert sorted(texts(shown)) == sorted(["3", "2", "ct", "rna", "2", "1", "1"])
    assert "2 subjects have ct; 1 subjects have ct, rna; 1 subjects have rna" in shown
    strong = next(path for path in drawn(shown).iter(f"{SVG}path") if path.get("class") == "l3 r")
    assert strong.get("d", "").count("M") == 4  # ct · ct and rna · rna
    assert upset(counts[["ct"]], row_label="subjects", column_label="datasets") == ""


def test_combinations_that_are_not_drawn_are_counted() -> None:
    rng = np.random.default_rng(0)
    counts = pd.DataFrame(rng.random((5000, 30)) < 0.5, columns=[f"assay{i}" for i in range(30)]).astype(int)
    shown = upset(counts, row_label="subjects", column_label="assays")
    rest = re.search(r"(\d+) rarer combinations of (\d+) subjects", shown)
    assert rest is not None
    bars = [int(text) for text in texts(shown) if text.isdigit()]
    assert int(rest[2]) + sum(bars[24:]) == 5000
    assert "6 more assays are not looked at" in shown
    assert len(shown) < 50_000


def test_the_flow_tells_every_step_and_who_is_left() -> None:
    steps = steps_of(("assessed", 12, 0), ("no consent", 10, 2), ("poor scan", 9, 1), ("analysed", 9, 0))
    shown = flow(steps, label="subjects", ends=[("ct", 8)])
    assert texts(shown) == [
        "Assessed: 12 subjects",
        "Excluded: 2 (no consent)",
        "Remaining: 10 subjects",
        "Excluded: 1 (poor scan)",
        "Analysed: 9 subjects",
        "8 of 9 with ct",
    ]
    nobody = flow(steps_of(("assessed", 3, 0), ("analysed", 3, 0)), label="subjects")
    assert texts(nobody) == ["Assessed: 3 subjects", "Analysed: 3 subjects"]


def test_a_long_flow_keeps_its_sum() -> None:
    rows = [(f"reason {i} " + "of many words " * 9, 1000 - 2 * (i + 1), 2) for i in range(200)]
    shown = flow(steps_of(("assessed", 1000, 0), *rows, ("analysed", 600, 0)), label="subjects")
    told = " ".join(texts(shown))
    assert sum(int(n) for n in re.findall(r"Excluded: (\d+)", told)) == 400
    assert "(170 further reasons)" in told
    assert len(shown) < 50_000


def test_coverage_writes_each_count_and_fills_its_share() -> None:
    counts = pd.DataFrame({"start": [4, 0], "end": [1, 2]}, index=["ct", "rna"])
    shown = coverage_grid(counts, 4, label="subjects")
    assert texts(shown) == ["start", "end", "ct", "4", "1", "rna", "0", "2"]
    full = next(path for path in drawn(shown).iter(f"{SVG}path") if path.get("class") == "l1")
    widths = [float(width) for width in re.findall(r"h([\d.]+)", full.get("d", ""))]
    assert [round(width / max(widths), 2) for width in widths] == [1.0, 0.25, 0.5]
    assert coverage_grid(counts.iloc[:0], 4, label="subjects") == ""


def test_nothing_read_from_a_file_becomes_markup() -> None:
    counts = pd.DataFrame({HOSTILE: [1, 0], "ct": [1, 1]})
    steps = steps_of(("assessed", 2, 0), (HOSTILE, 1, 1), ("analysed", 1, 0))
    shown = [
        upset(counts, row_label=HOSTILE, column_label=HOSTILE),
        flow(steps, label=HOSTILE, ends=[(HOSTILE, 1)]),
        coverage_grid(pd.DataFrame({HOSTILE: [1]}, index=[HOSTILE]), 1, label=HOSTILE),
    ]
    for one in shown:
        drawn(one)  # strict XML: an open tag or a stray quote would not parse
        assert "<script" not in one
    assert "<script" not in card("all", *shown)


def test_a_study_shows_combinations_and_visits(write_study: Callable[..., Study]) -> None:
    study = write_study(
        declared={
            "spine": {"entry": "people"},
            "visits": [{"visit": "start", "day": 0, "before": 3, "after": 3}],
        },
        tables={
            "people": ("id,age\n1,50\n2,60\n", {"id": "subject_id"}, "subject", {}),
            "ct": ("who,day,x\n1,1,0.5\n2,90,0.1\n", {"who": "subject_id"}, "subject", {}),
        },
    )
    page = study._repr_html_()
    assert page.count("<svg") == 3
    assert "2 subjects have people, ct" in page
    assert "ct at start: 1 of 2" in page


@pytest.mark.parametrize("people", [0, 1, 5000])
def test_a_card_of_any_study_is_small(make_large: Callable[[int], Study], people: int) -> None:
    assert len(make_large(people)._repr_html_()) < 50_000


@pytest.fixture
def make_large(two_fields: Study) -> Callable[[int], Study]:
    """A function that makes a study of people with random datasets."""

    def make(people: int) -> Study:
        rng = np.random.default_rng(0)
        index = pd.Index([f"P{i}" for i in range(people)], name="subject_id", dtype=object)
        has = rng.random((people, 3)) < 0.5
        parts = [
            pd.DataFrame({"assay": name, "obs_id": index[own], "subject_id": index[own]})
            for name, own in zip(("people", "fields", "mif"), has.T, strict=True)
        ]
        sample_map = pd.concat(parts, ignore_index=True).reindex(columns=two_fields.sample_map.columns).astype(object)
        sample_map["day"] = pd.array([None] * len(sample_map), dtype="Int64")
        no_ids = two_fields.identifiers.iloc[:0]
        return Study("large", pd.DataFrame(index=index), sample_map, no_ids, {}, two_fields.datasets)

    return make
