"""Visits: the nearest observation in the window is used, and every other one is listed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrate.errors import CatalogError
from integrate.model.study import SAMPLE_MAP_COLUMNS, Study
from integrate.model.visits import assign_visits, visit_table

VISITS = [
    {"visit": "baseline", "day": 0, "before": 28, "after": 0},
    {"visit": "week12", "day": 84, "before": 14, "after": 14},
    {"visit": "week24", "day": 168, "before": 80, "after": 14},
]


def days_of(*rows: tuple[str, int | None]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["subject_id", "day"]).assign(assay="ct")
    table["day"] = table["day"].astype("Int64")
    table["obs_id"] = [f"ct{i}" for i in range(len(table))]
    return table.reindex(columns=list(SAMPLE_MAP_COLUMNS))


def test_the_nearest_day_in_the_window_is_used() -> None:
    placed = assign_visits(
        days_of(("P1", -3), ("P1", -20), ("P1", 1), ("P1", 70), ("P1", 97), ("P1", 99), ("P2", None), ("P2", 300)),
        visit_table(VISITS),
    )
    told = placed[["visit", "offset", "status"]].astype(object).where(lambda t: t.notna(), None).to_numpy().tolist()
    assert told == [
        ["baseline", -3, "used"],
        ["baseline", -20, "superseded"],
        [None, None, "outside window"],
        ["week12", -14, "superseded"],
        ["week12", 13, "used"],
        ["week24", -69, "used"],  # also in no other window: week12 ends at 98
        [None, None, "outside window"],
    ]


def test_of_two_equally_near_the_earlier_is_used_and_one_day_counts_whole() -> None:
    placed = assign_visits(days_of(("P1", 80), ("P1", 88), ("P1", 80)), visit_table(VISITS))
    assert placed["status"].tolist() == ["used", "superseded", "used"]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("AB"), st.integers(-50, 200)), max_size=12),
    st.lists(st.tuples(st.integers(-10, 150), st.integers(0, 60), st.integers(0, 60)), max_size=4),
)
def test_windows_are_those_of_the_slow_obvious_way(seen: list[tuple[str, int]], windows: list[tuple[int, ...]]) -> None:
    visits = visit_table([{"visit": f"v{i}", "day": d, "before": b, "after": a} for i, (d, b, a) in enumerate(windows)])
    placed = assign_visits(days_of(*seen), visits)
    belongs = {}
    for i, (_, day) in enumerate(seen):
        inside = [(abs(day - d), d, v) for v, (d, b, a) in enumerate(windows) if d - b <= day <= d + a]
        belongs[i] = f"v{min(inside)[2]}" if inside else None
    for i, (subject, day) in enumerate(seen):
        row = placed.iloc[i]
        if belongs[i] is None:
            assert row["status"] == "outside window"
            continue
        target = visits.loc[belongs[i], "day"]
        rivals = [d for j, (s, d) in enumerate(seen) if s == subject and belongs[j] == belongs[i]]
        best = min(rivals, key=lambda d: (abs(d - target), d))
        assert row["visit"] == belongs[i]
        assert row["offset"] == day - target
        assert row["status"] == ("used" if day == best else "superseded")


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ([{"visit": "a", "day": 0}], r"a visit is \{visit: name, day: n, before: n, after: n\}"),
        ([{"visit": "a", "day": 0.5, "before": 1, "after": 1}], "with whole days"),
        ([{"visit": "a", "day": 0, "before": -1, "after": 1}], "'a': before and after are numbers of days, 0 or more"),
        ([VISITS[0], VISITS[0]], "'baseline' is declared twice"),
    ],
)
def test_visits_without_meaning_are_refused(declared: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        visit_table(declared)


@pytest.fixture
def scans(write_study: Callable[..., Study]) -> Study:
    text = "scan,patient,day\nA,P1,-20\nB,P1,-3\nC,P1,80\nD,P2,5\nE,P2,\nF,P2,90\n"
    return write_study(
        declared={"index_event": "randomisation", "visits": VISITS, "spine": {"entry": "people"}},
        tables={
            "people": ("id,age\nP1,50\nP2,60\nP3,70\n", {"id": "subject_id"}, "subject", {}),
            "ct": (text, {"scan": "acquisition_id", "patient": "subject_id"}, "acquisition", {}),
        },
    )


def test_the_audit_lists_what_windows_leave_out(scans: Study) -> None:
    said = {f.check: f for f in scans.audit.findings if f.source == "ct"}
    assert said["outside window"].ids == ("D",)
    assert said["superseded"].ids == ("A",)
    assert said["no day"].ids == ("E",)
    absent = {
        f.message.split("at ")[1].split(":")[0]: f.ids for f in scans.audit.findings if f.check == "absent at visit"
    }
    assert absent == {"'baseline'": ("P2", "P3"), "'week12'": ("P3",), "'week24'": ("P1", "P2", "P3")}


def test_coverage_counts_people_at_each_visit(scans: Study) -> None:
    assert scans.coverage().to_dict("index") == {"ct": {"baseline": 1, "week12": 2, "week24": 0}}


def test_a_study_without_visits_has_an_empty_schedule(two_fields: Study) -> None:
    assert len(two_fields.visits) == 0
    assert two_fields.coverage().shape == (0, 0)
