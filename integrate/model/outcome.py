"""The outcome: time to an event, with what counts as the event said once and checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, DatasetNotFoundError, UnitError, closest, some

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TimeToEvent"]

#: Units of time, as UCUM writes them.
TIME_UNITS: dict[str, str] = {"d": "days", "wk": "weeks", "mo": "months", "a": "years"}

#: cBioPortal writes the code before the word: "0:LIVING", "1:DECEASED".
_CODED = re.compile(r"\s*([01])\s*:.*")


@dataclass(frozen=True, eq=False)
class TimeToEvent:
    """How long each unit was followed, and whether the event ended it.

    Parameters
    ----------
    time
        Float, index the unit's id, at least 0; missing where time or event is not known.
    event
        Nullable boolean, same index: true when the event happened at `time`, false when it had not by then.
    unit
        UCUM unit of `time`: ``"d"``, ``"wk"``, ``"mo"`` or ``"a"``.
    origin
        The event from which time counts, e.g. ``"first diagnosis"``.

    Raises
    ------
    UnitError
        If the unit is no unit of time, or no origin is named.
    DataError
        If times and events do not have the same index, or a time is negative.

    Examples
    --------
    >>> import pandas as pd
    >>> died = pd.Series([True, False], index=["P1", "P2"], dtype="boolean")
    >>> TimeToEvent(pd.Series([10.0, 24.0], index=["P1", "P2"]), died, unit="mo", origin="diagnosis")
    <TimeToEvent in months since diagnosis: 2 units, 1 events, 0 missing>
    """

    time: pd.Series[float]
    event: pd.Series[bool]
    unit: str
    origin: str

    def __post_init__(self) -> None:
        if self.unit not in TIME_UNITS:
            raise UnitError(f"{self.unit!r} is no unit of time; {closest(self.unit, TIME_UNITS)}")
        if not self.origin.strip():
            raise UnitError("name the event from which time counts, e.g. origin='first diagnosis'")
        if not self.time.index.equals(self.event.index):
            raise DataError("times and events belong to different units; take both from one table")
        negative = self.time[self.time < 0]
        if len(negative):
            raise DataError(
                f"{len(negative)} times lie before the origin {self.origin!r}: {some(negative.index)}; correct them or "
                "leave those units out"
            )

    @classmethod
    def from_columns(
        cls,
        frame: pd.DataFrame,
        *,
        time: str,
        event: str,
        unit: str,
        origin: str,
        event_means: object = None,
    ) -> TimeToEvent:
        """Return the outcome held in two columns.

        Parameters
        ----------
        frame
            One row per unit.
        time, event
            Column names.
        unit, origin
            What `time` counts, and from when.
        event_means
            Which value of `event`, or which several, mean that the event happened. Needed unless the column is
            true/false, 0/1 or cBioPortal's ``"0:LIVING"``/``"1:DECEASED"``. For a column ``censored`` say
            ``event_means=0``.

        Returns
        -------
        `TimeToEvent`; where time or event is missing, both are.

        Raises
        ------
        DatasetNotFoundError
            If a column is not there.
        DataError
            If the coding is not clear, `event_means` does not occur, or a time is not a number or negative.

        Examples
        --------
        >>> import pandas as pd
        >>> table = pd.DataFrame({"months": [10.0, 24.0], "status": ["1:DECEASED", "0:LIVING"]}, index=["P1", "P2"])
        >>> outcome = TimeToEvent.from_columns(table, time="months", event="status", unit="mo", origin="diagnosis")
        >>> outcome.event.tolist()
        [True, False]
        """
        import pandas as pd

        for column in (time, event):
            if column not in frame:
                raise DatasetNotFoundError(f"no column {column!r}; {closest(column, frame.columns)}")
        if not pd.api.types.is_numeric_dtype(frame[time]):
            raise DataError(f"{time!r} is {frame[time].dtype}; time is a number of {TIME_UNITS.get(unit, unit)}")
        times = frame[time].astype("Float64").astype(float)
        events = _events(frame[event], event_means)
        known = times.notna() & events.notna()
        return cls(times.where(known), events.where(known), unit, origin)

    @property
    def n_events(self) -> int:
        """Number of units with the event."""
        return int(self.event.fillna(False).sum())

    @property
    def n_missing(self) -> int:
        """Number of units whose time or event is not known."""
        return int(self.time.isna().sum())

    def __repr__(self) -> str:
        known = len(self.time) - self.n_missing
        return (
            f"<TimeToEvent in {TIME_UNITS[self.unit]} since {self.origin}: {known} units, {self.n_events} events, "
            f"{self.n_missing} missing>"
        )


def _events(column: pd.Series[Any], event_means: object) -> pd.Series[Any]:
    """Return nullable booleans: whether the event happened."""
    found = list(dict.fromkeys(column.dropna()))
    if event_means is None:
        meaning = _plain_coding(found, str(column.name))
    else:
        meaning = _declared_coding(found, str(column.name), event_means)
    return column.astype(object).map(meaning).astype("boolean")


def _plain_coding(found: Iterable[Any], column: str) -> Mapping[Any, bool]:
    """Return the meaning of codes that leave no doubt.

    Raises
    ------
    DataError
        If they leave any.
    """
    meaning = {}
    for value in found:
        coded = _CODED.fullmatch(value) if isinstance(value, str) else None
        if coded is not None:
            meaning[value] = coded[1] == "1"
        elif not isinstance(value, str) and value in (0, 1):
            meaning[value] = bool(value)
        else:
            raise DataError(
                f"{column!r} holds {some(found)}; expected true/false, 0/1 or '0:…'/'1:…'. Say which value is "
                "the event: event_means=..."
            )
    return meaning


def _declared_coding(found: list[Any], column: str, event_means: object) -> Mapping[Any, bool]:
    wanted = list(event_means) if isinstance(event_means, (list, tuple, set, frozenset)) else [event_means]
    absent = [value for value in wanted if value not in found]
    if absent:
        raise DataError(f"{column!r} never is {some(absent)}; it holds {some(found)}")
    others = [value for value in found if value not in wanted]
    if len(others) > 1:
        raise DataError(
            f"besides {some(wanted)}, {column!r} holds {some(others)}: competing events are not censoring. Give every "
            "value that is the event, and set rows with another event apart first"
        )
    return {value: value in wanted for value in found}
