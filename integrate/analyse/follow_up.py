"""The follow-up of a cohort's units: how long each was seen, and whether its event ended that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.analyse.grouping import group_codes
from integrate.analyse.unit import check_rows, check_unit
from integrate.errors import DataError, UnitError, some
from integrate.keys import SUBJECT_ID

if TYPE_CHECKING:
    from integrate.join.cohort import Cohort
    from integrate.model.outcome import TimeToEvent

__all__ = ["FollowUp", "follow_up", "followed_groups"]


@dataclass(frozen=True)
class FollowUp:
    """The outcome of every unit of a cohort, in its order.

    Parameters
    ----------
    time
        Floats, NaN where the outcome is not known.
    event
        Booleans, false where the outcome is not known.
    """

    time: Any
    event: Any

    @property
    def known(self) -> Any:
        """Whether each unit's outcome is known."""
        import numpy as np

        return ~np.isnan(self.time)


def follow_up(cohort: Cohort, outcome: TimeToEvent, *, unit: str, clustered: bool = False) -> FollowUp:
    """Return the outcome of every unit of a cohort, after checking that no subject counts twice.

    Parameters
    ----------
    cohort
        What `link` returned.
    outcome
        Typed outcome; its index holds ids of the cohort's units.
    unit
        What one observation is.
    clustered
        Whether a subject may have several rows, because errors will be robust to it.

    Raises
    ------
    UnitError
        If a row is not one unit, or a subject has several rows: its one death would be counted again.
    DataError
        If the outcome names a unit the cohort does not have, or one twice, or nobody has the event.
    """
    import numpy as np

    subjects = cohort.obs.get(SUBJECT_ID)
    if clustered:
        check_rows(cohort, unit)
    elif subjects is not None and subjects.duplicated().any():
        raise UnitError(
            f"the cohort has {len(subjects)} {cohort.unit}s of {subjects.nunique()} subjects; each subject's one event "
            "would be counted again. Link with unit='subject' and reduce=..., or give cluster='subject_id' to cox"
        )
    else:
        check_unit(cohort, unit)
    index = outcome.time.index
    if index.has_duplicates:
        raise DataError(f"the outcome has several rows of {some(index[index.duplicated()].unique())}; give one each")
    strangers = index.difference(cohort.obs.index)
    if len(strangers):
        raise DataError(
            f"the outcome has {len(strangers)} ids that are no {cohort.unit} of the cohort: {some(strangers)}; make it "
            "from cohort.obs, or select its rows first"
        )
    if not outcome.n_events:
        raise DataError(f"no unit has the event: {outcome!r}; see event_means= of TimeToEvent.from_columns")
    time = outcome.time.reindex(cohort.obs.index).to_numpy(dtype=float, na_value=np.nan)
    event = outcome.event.reindex(cohort.obs.index).fillna(value=False).to_numpy(dtype=bool)
    return FollowUp(time, event & ~np.isnan(time))


def followed_groups(cohort: Cohort, given: FollowUp, by: str | None) -> tuple[Iterator[tuple[str, Any]], int]:
    """Return ``(name, its units with a known outcome)`` of each group, and how many units are in none.

    Parameters
    ----------
    cohort, given
        What `follow_up` was asked and returned.
    by
        A categorical variable; ``None`` takes all units together.
    """
    import numpy as np

    none = np.zeros(len(cohort.obs), dtype=np.int64), ["all"]
    codes, names = none if by is None else group_codes(cohort, by)
    used = given.known & (codes >= 0)
    members = ((name, np.flatnonzero(used & (codes == place))) for place, name in enumerate(names))
    return ((name, rows) for name, rows in members if len(rows)), int((~used).sum())
