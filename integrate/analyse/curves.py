"""What is read off survival curves: mean time free of the event, and incidence where other events compete."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

from integrate.analyse.survival import FollowUp, follow_up, group_codes
from integrate.errors import DataError, ParameterError, some
from integrate.keys import ATTRS
from integrate.model.provenance import record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort
    from integrate.model.outcome import TimeToEvent

__all__ = ["cumulative_incidence", "restricted_mean_survival"]

Z_95 = 1.959963984540054


def restricted_mean_survival(
    cohort: Cohort, outcome: TimeToEvent, *, unit: str, horizon: float, by: str | None = None
) -> pd.DataFrame:
    """Return the mean time free of the event up to a horizon, per group, and its differences between groups.

    Parameters
    ----------
    cohort
        What `link` returned.
    outcome
        Typed outcome.
    unit
        What one observation is; a subject may have one row only.
    horizon
        Time up to which it is averaged, in the outcome's unit; chosen before looking at the data.
    by
        A categorical variable; ``None`` takes all units together.

    Returns
    -------
    One row per group, then one per two groups (``"b - a"``); columns ``x, method, effect`` (time, or difference of
    times)``, effect_name, ci_low, ci_high, se, p`` (of a difference; else NaN)``, n_obs, n_events, n_missing``.

    Raises
    ------
    UnitError, DataError
        As `kaplan_meier`.
    ParameterError
        If nobody of a group is followed to the horizon, or `by` is a number.

    Notes
    -----
    The area under the Kaplan–Meier curve; standard errors as those ``print(survfit, rmean = horizon)`` of R gives.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> from integrate.model.outcome import TimeToEvent
    >>> cohort = link(toy_study(), clinical="clinical", unit="subject")
    >>> table = cohort.obs.assign(months=[3.0, 9.0, 12.0], died=[True, True, False])
    >>> outcome = TimeToEvent.from_columns(table, time="months", event="died", unit="mo", origin="diagnosis")
    >>> restricted_mean_survival(cohort, outcome, unit="subject", horizon=10)[["x", "effect", "se"]].round(3)
         x  effect     se
    0  all   7.333  1.785
    """
    import numpy as np
    import pandas as pd
    from scipy import stats

    given = follow_up(cohort, outcome, unit=unit)
    rows = []
    for name, members in _members(cohort, given, by):
        time, event = given.time[members], given.event[members]
        if not horizon > 0 or time.max(initial=0) < horizon:
            raise ParameterError(
                f"nobody of {name!r} is followed to horizon={horizon:g}; the last is at {time.max(initial=0):g}"
            )
        mean, error = _area(time, event, horizon)
        rows.append((name, mean, error, np.nan, len(time), int(event.sum())))
    for first, second in combinations(list(rows), 2):
        difference, error = second[1] - first[1], float(np.hypot(first[2], second[2]))
        p = 2 * stats.norm.sf(abs(difference) / error) if error > 0 else np.nan
        counts = first[4] + second[4], first[5] + second[5]
        rows.append((f"{second[0]} - {first[0]}", difference, error, p, *counts))
    table = pd.DataFrame(rows, columns=["x", "effect", "se", "p", "n_obs", "n_events"])
    table["method"] = "restricted mean survival"
    table["effect_name"] = f"{outcome.unit} free of the event in {horizon:g}"
    table["ci_low"], table["ci_high"] = (table["effect"] + side * Z_95 * table["se"] for side in (-1, 1))
    table["n_missing"] = _n_missing(cohort, given, by)
    settings = {"unit": unit, "horizon": horizon, "by": by}
    record("restricted_mean_survival", study=cohort.name, **settings)
    order = ["x", "method", "effect", "effect_name", "ci_low", "ci_high", "se", "p", "n_obs", "n_events", "n_missing"]
    result = table[order]
    result.attrs[ATTRS] = settings
    return result


def cumulative_incidence(
    cohort: Cohort, outcome: TimeToEvent, competing: TimeToEvent, *, unit: str, by: str | None = None
) -> pd.DataFrame:
    """Return how many units have had the event after a time, where another event may come first and prevent it.

    Parameters
    ----------
    cohort
        What `link` returned.
    outcome
        The event of interest.
    competing
        The event after which the first cannot happen, e.g. death of another cause; the same times. Calling it
        censoring would overstate the incidence.
    unit
        What one observation is; a subject may have one row only.
    by
        A categorical variable; ``None`` takes all units together.

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
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> from integrate.model.outcome import TimeToEvent
    >>> cohort = link(toy_study(), clinical="clinical", unit="subject")
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
    import numpy as np
    import pandas as pd

    given, other = follow_up(cohort, outcome, unit=unit), follow_up(cohort, competing, unit=unit)
    apart = cohort.obs.index[~((given.time == other.time) | (np.isnan(given.time) & np.isnan(other.time)))]
    both = cohort.obs.index[given.event & other.event]
    if len(apart) or len(both):
        told = f"{some(apart)} have other times" if len(apart) else f"{some(both)} have both events"
        raise DataError(f"{told} in the competing outcome; each unit's time ends with the first event of any kind")
    parts = [
        _incidence(given.time[rows], given.event[rows], other.event[rows]).assign(group=name)
        for name, rows in _members(cohort, given, by)
    ]
    columns = ["group", "time", "n_at_risk", "n_events", "n_competing", "n_censored"]
    result = pd.concat(parts, ignore_index=True)[[*columns, "incidence", "ci_low", "ci_high", "variance"]]
    settings = {"unit": unit, "by": by, "n_missing": _n_missing(cohort, given, by)}
    record("cumulative_incidence", study=cohort.name, **settings)
    result.attrs[ATTRS] = settings
    return result


def _members(cohort: Cohort, given: FollowUp, by: str | None) -> Iterator[tuple[str, Any]]:
    """Yield the name of each group and its units with a known outcome."""
    import numpy as np

    codes, names = _groups(cohort, by)
    for place, name in enumerate(names):
        rows = np.flatnonzero((codes == place) & given.known)
        if len(rows):
            yield name, rows


def _groups(cohort: Cohort, by: str | None) -> tuple[Any, list[str]]:
    import numpy as np

    return (np.zeros(len(cohort.obs), dtype=np.int64), ["all"]) if by is None else group_codes(cohort, by)


def _n_missing(cohort: Cohort, given: FollowUp, by: str | None) -> int:
    return int((~given.known | (_groups(cohort, by)[0] < 0)).sum())


def _area(time: Any, event: Any, horizon: float) -> tuple[float, float]:
    """Return the area under the Kaplan–Meier curve to the horizon, and its standard error."""
    import numpy as np

    steps = np.unique(time[event & (time <= horizon)])
    n = np.array([(time >= now).sum() for now in steps])
    deaths = np.array([(event & (time == now)).sum() for now in steps])
    survival = np.concatenate([[1.0], np.cumprod(1 - deaths / n)])
    widths = np.diff(np.concatenate([[0.0], steps, [horizon]]))
    after = np.cumsum((survival * widths)[::-1])[::-1][1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(n > deaths, after**2 * deaths / (n * (n - deaths)), 0)
    return float((survival * widths).sum()), float(np.sqrt(terms.sum()))


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
