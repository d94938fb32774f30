"""Days are counted from each person's own index event; a date is never taken for a number of days."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime

import pandas as pd
import pytest

from integrate.errors import CatalogError
from integrate.join.link import link
from integrate.model.days import read_dates
from integrate.model.study import Study

EVENT = {"name": "first diagnosis", "entry": "people", "column": "diagnosed"}
PEOPLE = "id,diagnosed\n1,2020-01-31\n2,20200301\n3,\n"
SCANS = "scan,id,day,volume\na,1,2020-02-01,5\nb,1,2020-01-30,6\nc,2,20200311,7\nd,3,2020-05-01,8\ne,2,12,9\nf,2,,1\n"


def study_of(
    write_study: Callable[..., Study], *, people: str = PEOPLE, scans: str = SCANS, event: object = EVENT
) -> Study:
    return write_study(
        declared={
            "spine": {"entry": "people"},
            "index_event": event,
            "visits": [{"visit": "baseline", "day": 0, "before": 5, "after": 5}],
        },
        tables={
            "people": (people, {"id": "subject_id"}, "subject", {}),
            "scans": (scans, {"scan": "acquisition_id", "id": "subject_id"}, "acquisition", {}),
        },
    )


def test_days_count_from_each_persons_index_event(write_study: Callable[..., Study]) -> None:
    study = study_of(write_study)
    days = study.rows("scans").set_index("acquisition_id")["day"]
    assert days.dropna().to_dict() == {"a": 1, "b": -1, "c": 10, "e": 12}  # 29 February lies between
    (told,) = [one for one in study.audit.findings if one.check == "no index date"]
    assert (told.source, told.ids) == ("scans", ("d",))
    assert "people without a date of first diagnosis" in told.message
    cohort = link(study, unit="subject", visit="baseline", scans="scans", reduce={"scans": "mean"})
    assert cohort.values("volume").loc["1"] == 6.0  # of two equally near the earlier
    assert any("since first diagnosis" in note for note in cohort.report.notes)


def test_a_date_written_as_a_number_is_no_day(write_study: Callable[..., Study]) -> None:
    study = study_of(write_study, event="diagnosis", scans="scan,id,day,volume\na,1,20200201,5\nb,1,3,6\n")
    assert study.rows("scans")["day"].astype(object).where(lambda one: one.notna(), None).tolist() == [None, 3]
    (told,) = [one for one in study.audit.findings if one.check == "unreadable day"]
    assert "declare study.index_event" in told.message


def test_an_index_event_that_is_unclear_is_an_error(write_study: Callable[..., Study]) -> None:
    study = study_of(write_study, people="id,diagnosed\n1,2020-01-31\n1,2020-02-01\n2,31.1.2020\n3,2020-01-01\n")
    told = {one.ids: one.message for one in study.audit.errors if one.check == "index event"}
    assert set(told) == {("1",), ("31.1.2020",)}
    assert study.rows("scans").set_index("acquisition_id")["day"].dropna().to_dict() == {"d": 121, "e": 12}


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({**EVENT, "entry": "persons"}, "'persons' is no table with subjects; known: 'people', 'scans'"),
        ({**EVENT, "column": "diagnosis"}, "no column 'diagnosis' in 'people'; closest: 'diagnosed'"),
        ({"name": "diagnosis"}, "metadata.study.index_event: needs `entry`"),
    ],
)
def test_an_index_event_of_nothing_is_refused(write_study: Callable[..., Study], event: object, told: str) -> None:
    with pytest.raises(CatalogError, match=told):
        study_of(write_study, event=event)


def test_dates_count_as_pandas_counts(write_study: Callable[..., Study]) -> None:
    dates = pd.date_range("1999-12-25", periods=60, freq="17D")
    rows = "".join(f"s{i},1,{day:%Y-%m-%d},1\n" for i, day in enumerate(dates))
    study = study_of(write_study, people="id,diagnosed\n1,2000-02-29\n", scans=f"scan,id,day,volume\n{rows}")
    assert study.rows("scans")["day"].tolist() == [(day - pd.Timestamp("2000-02-29")).days for day in dates]


def test_dates_that_are_typed_are_read_as_their_text_is() -> None:
    days = ["2020-01-31", "2000-02-29"]
    typed = [pd.Series(pd.to_datetime(days)), pd.Series([date.fromisoformat(day) for day in days])]
    timed = pd.Series([datetime.fromisoformat(f"{day}T13:20:05") for day in days], dtype=object)
    for given in (*typed, timed, pd.Series([f"{day} 13:20" for day in days])):
        assert read_dates(given).dt.strftime("%Y-%m-%d").tolist() == days
