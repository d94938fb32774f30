"""A link at a visit: the nearest rows are used, and everyone else has a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from integrate.errors import ParameterError, UnitError
from integrate.join.cohort import Cohort
from integrate.join.link import link
from integrate.model.study import Study

VISITS = [
    {"visit": "baseline", "day": 0, "before": 28, "after": 0},
    {"visit": "week12", "day": 84, "before": 14, "after": 14},
]


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    """P1 twice before baseline and once at week 12; P2 outside every window; P3 never."""
    scans = pd.DataFrame(
        {
            "acquisition_id": ["A", "B", "C", "D"],
            "subject_id": ["P1", "P1", "P1", "P2"],
            "day": [-20, -3, 80, 30],
            "volume": [1.0, 2.0, 3.0, 4.0],
        }
    )
    made = make_study(
        spine="people",
        people=pd.DataFrame({"subject_id": ["P1", "P2", "P3"], "age": [50, 60, 70]}),
        ct=scans,
        germline=pd.DataFrame({"subject_id": ["P1", "P2"], "BRCA1": [1.0, 0.0]}),
        levels={"ct": "acquisition"},
    )
    made.declared["visits"] = VISITS  # type: ignore[index]
    made.declared["index_event"] = "randomisation"  # type: ignore[index]
    return made


def at(study: Study, visit: str, **more: Any) -> Cohort:
    return link(study, unit="subject", ct="ct", visit=visit, validate="1:1", **more)


def test_one_row_each_without_a_reduction(study: Study) -> None:
    with pytest.raises(UnitError, match="say how they become one"):
        link(study, unit="subject", ct="ct")
    assert at(study, "baseline").values("volume").tolist()[:1] == [2.0]
    assert at(study, "week12").values("volume").tolist()[:1] == [3.0]


def test_whoever_is_missing_has_a_reason_and_every_scan_is_listed(study: Study) -> None:
    cohort = at(study, "baseline")
    assert cohort.missing_reason["ct"].to_dict() == {"P1": "", "P2": "outside window", "P3": "not acquired"}
    part = cohort.report["ct"]
    assert part.superseded == ("A",)
    assert part.outside_window == ("C", "D")
    assert part.reasons == {"not acquired": 1, "outside window": 1}
    assert cohort.report.notes == ("visit 'baseline': day 0 (-28 to +0) since randomisation",)
    assert type(cohort.report).from_dict(cohort.report.to_dict()) == cohort.report
    assert "1 superseded by one nearer to the visit: 'A'" in repr(cohort.report)


def test_a_unit_of_acquisitions_tells_superseded_from_outside(study: Study) -> None:
    reasons = link(study, unit="acquisition", ct="ct", visit="baseline").missing_reason["ct"]
    assert reasons.to_dict() == {"A": "superseded", "B": "", "C": "outside window", "D": "outside window"}


def test_measured_rows_take_the_day_of_their_acquisition(study: Study) -> None:
    cells = pd.DataFrame({"acquisition_id": ["C", "B", "A", "B", "D"], "area": [9.0, 1.0, 7.0, 3.0, 8.0]})
    cohort = link(study, unit="subject", cells=cells, visit="baseline", reduce={"cells": "mean"})
    assert cohort.values("area").tolist()[:1] == [2.0]
    assert cohort.report["cells"].outside_window == ("C", "D")
    assert cohort.report["cells"].superseded == ("A",)


def test_what_has_no_day_serves_every_visit_and_says_so(study: Study) -> None:
    cohort = at(study, "week12", germline="germline")
    assert cohort.values("BRCA1").tolist()[:2] == [1.0, 0.0]
    assert cohort.report["germline"].notes == ("no row has a day, so all are used for visit 'week12'",)


def test_an_unknown_visit_is_refused(study: Study, three: Study) -> None:
    with pytest.raises(ParameterError, match="no visit 'week21'; closest: 'week12'"):
        at(study, "week21")
    with pytest.raises(ParameterError, match="declare `visits` in the study section"):
        link(three, unit="subject", visit="baseline")
