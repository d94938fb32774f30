"""The cumulative incidence: how many units have had an event, where another may come first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.analyse.follow_up import FollowUp, follow_up, followed_groups
from integrate.analyse.results import Z_95
from integrate.errors import DataError, some
from integrate.keys import ATTRS
from integrate.model.provenance import record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort
    from integrate.model.outcome import TimeToEvent

__all__ = ["competing_follow_up", "cumulative_incidence"]


def cumulative_incidence(
    cohort: Cohort, outcome: TimeToEvent, competing: TimeToEvent, *, unit: str, by: str | None = None
) -> pd.DataFrame:
    """Return how many units have had the event after a time, where another event may come first and prevent it.

    Parameters
    ----------
    cohort, unit, by
        As for `kaplan_meier`.
    outcome
        The event of interest.
    competing
        The event after which the first cannot happen, e.g. death of another cause; the same times. Calling it
        censoring would overstate the incidence.

    Returns
    -------
    One row per group and time, after one at time 0; columns ``group, time, n_at_risk, n_events, n_competing,
    n_censored, incidence, ci_low, ci_high, variance``. Units without outcome or group are left out and counted in
    ``attrs["integrate"]["n_missing"]``.

    Raises
    ------
    UnitError
        If the cohort has more rows than units or subjects.
    DataError
        If the two outcomes have different times, or a unit has both events.
    ParameterError
        If `by` is a number.

    Notes
    -----
    Aalen and Johansen (1978), the incidence of R's ``cmprsk::cuminc``; limits on log(-log(1 - incidence)) from the
    variance of the delta method, which is a few percent less than cmprsk's. Hazards of one cause are those of `cox` and
    `logrank` with `outcome`, in which the other event ends the time under observation.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_survival
    >>> from integrate.model.outcome import TimeToEvent
    >>> cohort, _ = toy_survival()
    >>> table = cohort.obs.assign(months=[3.0, 9.0, 12.0], relapse=[0, 1, 0], death=[1, 0, 0])
    >>> ask = {"time": "months", "unit": "mo", "origin": "surgery"}
    >>> relapse, death = (TimeToEvent.from_columns(table, event=e, **ask) for e in ("relapse", "death"))
    >>> cumulative_incidence(cohort, relapse, death, unit="subject")[["time", "n_at_risk", "incidence"]].round(3)
       time  n_at_risk  incidence
    0   0.0          3      0.000
    1   3.0          3      0.000
    2   9.0          2      0.333
    3  12.0          1      0.333
    """
    import pandas as pd

    given, other = competing_follow_up(cohort, outcome, competing, unit=unit)
    members, n_missing = followed_groups(cohort, given, by)
    parts = [
        _incidence(given.time[rows], given.event[rows], other.event[rows]).assign(group=name) for name, rows in members
    ]
    columns = ["group", "time", "n_at_risk", "n_events", "n_competing", "n_censored"]
    result = pd.concat(parts, ignore_index=True)[[*columns, "incidence", "ci_low", "ci_high", "variance"]]
    settings = {"unit": unit, "by": by, "n_missing": n_missing}
    record("cumulative_incidence", study=cohort.name, **settings)
    result.attrs[ATTRS] = settings
    return result


def competing_follow_up(
    cohort: Cohort, outcome: TimeToEvent, competing: TimeToEvent, *, unit: str
) -> tuple[FollowUp, FollowUp]:
    """Return the follow-up of both events, after checking that each unit's time ends with the first of them."""
    import numpy as np

    given, other = follow_up(cohort, outcome, unit=unit), follow_up(cohort, competing, unit=unit)
    apart = cohort.obs.index[~((given.time == other.time) | (np.isnan(given.time) & np.isnan(other.time)))]
    both = cohort.obs.index[given.event & other.event]
    if len(apart) or len(both):
        told = f"{some(apart)} have other times" if len(apart) else f"{some(both)} have both events"
        raise DataError(f"{told} in the competing outcome; each unit's time ends with the first event of any kind")
    return given, other


def _incidence(time: Any, event: Any, competing: Any) -> pd.DataFrame:
    """Return the incidence of one group at time 0 and each time at which somebody was last seen."""
    import numpy as np
    import pandas as pd

    steps = np.concatenate([[0.0], np.unique(time[time > 0])])
    place = np.searchsorted(steps, time)
    size = len(steps)
    n = np.cumsum(np.bincount(place, minlength=size)[::-1])[::-1].astype(float)
    mine, others = (np.bincount(place[kind], minlength=size).astype(float) for kind in (event, competing))
    survival = np.cumprod(1 - (mine + others) / n)
    before = np.concatenate([[1.0], survival[:-1]])
    found = np.cumsum(before * mine / n)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(n > mine + others, (mine + others) / (n * (n - mine - others)), 0)
    own, shared = before**2 * (n - mine) / n**3 * mine, before * mine / n**2
    # sum over earlier times of (F(t) - F(s))² left - 2 (F(t) - F(s)) shared + own
    variance = found**2 * np.cumsum(left) - 2 * found * np.cumsum(found * left) + np.cumsum(found**2 * left)
    variance += np.cumsum(own) - 2 * found * np.cumsum(shared) + 2 * np.cumsum(found * shared)
    with np.errstate(divide="ignore", invalid="ignore"):
        stretch = np.exp(Z_95 * np.sqrt(variance) / ((1 - found) * np.abs(np.log1p(-found))))
        low, high = (np.where(found > 0, 1 - (1 - found) ** power, 0.0) for power in (1 / stretch, stretch))
    return pd.DataFrame(
        {
            "time": steps,
            "n_at_risk": n.astype(int),
            "n_events": mine.astype(int),
            "n_competing": others.astype(int),
            "n_censored": (np.bincount(place, minlength=size) - mine - others).astype(int),
            "incidence": found,
            "ci_low": low,
            "ci_high": high,
            "variance": variance,
        }
    )
