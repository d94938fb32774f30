"""An outcome is read only when its coding leaves no doubt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from integrate.errors import DataError, DatasetNotFoundError, UnitError
from integrate.model.outcome import TimeToEvent


def outcome(events: Any, times: Any = (10.0, 24.0, 3.0), **more: Any) -> TimeToEvent:
    table = pd.DataFrame({"time": pd.Series(times), "event": events}, index=None)
    arguments: dict[str, Any] = {"unit": "mo", "origin": "diagnosis", **more}
    return TimeToEvent.from_columns(table, time="time", event="event", **arguments)


@pytest.mark.parametrize(
    "events",
    [
        [1, 0, 1],
        [1.0, 0.0, 1.0],
        [True, False, True],
        pd.array([1, 0, 1], dtype="Int64"),
        pd.array([True, False, True], dtype="boolean"),
        ["1:DECEASED", "0:LIVING", "1:DECEASED"],
        pd.Categorical(["1:DECEASED", "0:LIVING", "1:DECEASED"]),
    ],
)
def test_plain_codings_are_read(events: Any) -> None:
    assert outcome(events).event.tolist() == [True, False, True]
    assert outcome(events).n_events == 2


def test_a_censoring_column_says_what_its_event_is() -> None:
    assert outcome([0, 1, 0], event_means=0).event.tolist() == [True, False, True]


def test_words_need_a_meaning() -> None:
    words = ["dead", "alive", "dead"]
    with pytest.raises(DataError, match="'event' holds 'dead', 'alive'; expected true/false, 0/1"):
        outcome(words)
    assert outcome(words, event_means="dead").event.tolist() == [True, False, True]
    with pytest.raises(DataError, match="never is 'Dead'; it holds 'dead', 'alive'"):
        outcome(words, event_means="Dead")


def test_competing_events_are_not_taken_for_censoring() -> None:
    with pytest.raises(DataError, match="'event' holds '1', '0', '2'"):
        outcome([1, 0, 2])
    with pytest.raises(DataError, match="competing events are not censoring"):
        outcome([1, 0, 2], event_means=1)
    assert outcome([1, 0, 2], event_means=[1, 2]).n_events == 3 - 1


def test_unknown_time_or_event_makes_both_missing() -> None:
    read = outcome(pd.array([1, None, 0], dtype="Int64"), [5.0, 6.0, np.nan])
    assert read.time.isna().tolist() == [False, True, True]
    assert read.event.isna().tolist() == [False, True, True]
    assert read.n_missing == 2
    assert repr(read) == "<TimeToEvent in months since diagnosis: 1 units, 1 events, 2 missing>"


def test_units_and_times_are_checked() -> None:
    with pytest.raises(UnitError, match="'months' is no unit of time"):
        outcome([1, 0, 1], unit="months")
    with pytest.raises(UnitError, match="name the event from which time counts"):
        outcome([1, 0, 1], origin=" ")
    with pytest.raises(DataError, match="1 times lie before the origin 'diagnosis': '2'"):
        outcome([1, 0, 1], [1.0, 2.0, -1.0])
    with pytest.raises(DataError, match="time is a number of months"):
        outcome([1, 0, 1], ["1", "2", "3"])
    with pytest.raises(DatasetNotFoundError, match="no column 'tim'; closest: 'time'"):
        TimeToEvent.from_columns(pd.DataFrame({"time": [1.0]}), time="tim", event="event", unit="d", origin="surgery")
    with pytest.raises(DataError, match="belong to different units"):
        TimeToEvent(pd.Series([1.0]), pd.Series([True], index=["P1"], dtype="boolean"), "d", "surgery")
