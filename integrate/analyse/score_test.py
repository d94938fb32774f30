"""The score test: whether groups have more events than their share, in the form log-rank and Gray's tests have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from integrate.analyse.fdr import METHODS as ADJUSTMENTS
from integrate.analyse.fdr import adjust_p_values
from integrate.analyse.grouping import group_codes, strata_codes
from integrate.analyse.results import Z_95, result_table, title_of
from integrate.analyse.unit import check_choice

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["ScoreTest", "score_tests"]

#: Of the rows of one stratum, their groups and how many groups there are: the excess of each group's events over its
#: share, the events, and the covariance of the excess.
Score = Callable[[Any, Any, int], tuple[Any, Any, Any]]


class ScoreTest(NamedTuple):
    """What a test is called: the function the user calls, the method, and its effect."""

    step: str
    name: str
    effect_name: str


def score_tests(
    cohort: Cohort,
    x: str | Sequence[str],
    known: Any,
    score: Score,
    *,
    test: ScoreTest,
    unit: str,
    strata: str | Sequence[str],
    fdr: str,
) -> pd.DataFrame:
    """Return the result of a score test, one row per categorical variable.

    Parameters
    ----------
    cohort, x, unit, strata, fdr
        What the user asked.
    known
        Which units have an outcome.
    score
        The test, in one stratum.
    test
        What it is called.
    """
    import numpy as np
    import pandas as pd

    check_choice("fdr", fdr, ADJUSTMENTS)
    layers = strata_codes(cohort, strata)
    rows = []
    for variable in [x] if isinstance(x, str) else x:
        codes, names = group_codes(cohort, variable)
        used = known & (codes >= 0) & (layers >= 0)
        parts = [np.flatnonzero(used & (layers == layer)) for layer in np.unique(layers[used])]
        scores = [score(part, codes[part], len(names)) for part in parts]
        excess, events, variance = (sum(each) for each in zip(*scores, strict=True)) if parts else (0, 0, 0)
        sizes = np.bincount(codes[used], minlength=len(names))
        told = zip(names, sizes, np.broadcast_to(events, len(names)), np.broadcast_to(excess, len(names)), strict=True)
        groups = ", ".join(f"{g} = {n} ({d:.0f} events, {d - e:.1f} expected)" for g, n, d, e in told if n)
        row: dict[str, Any] = {"x": variable, "method": f"stratified {test.name}" if len(parts) > 1 else test.name}
        row |= {"groups": groups, "n_obs": int(used.sum()), "n_missing": int((~used).sum())}
        row["n_events"] = int(np.sum(events))
        rows.append(row | _tested(np.atleast_1d(excess), np.atleast_2d(variance)))
    table = pd.DataFrame(rows).assign(family=title_of(x), effect_name=test.effect_name)
    table["n_subjects"], table["q"] = table["n_obs"], adjust_p_values(table["p"].to_numpy(dtype=float), method=fdr)
    settings = {"x": x, "unit": unit, "strata": strata, "fdr": fdr}
    return result_table(test.step, table, study=cohort.name, settings=settings)


def _tested(excess: Any, variance: Any) -> dict[str, Any]:
    """Return statistic, p and, of two groups, the effect of the second: the score over its variance."""
    import numpy as np
    from scipy import stats

    told: dict[str, Any] = dict.fromkeys(("effect", "ci_low", "ci_high", "statistic", "p"), np.nan)
    compared = np.flatnonzero(np.diag(variance) > 1e-12)
    if len(compared) < 2:
        return told | {"df": 0, "reason": "fewer than two groups are followed until an event"}
    kept = compared[1:]  # the first group's excess is what the others lack
    left, spread = excess[kept], variance[np.ix_(kept, kept)]
    told["statistic"] = float(left @ np.linalg.solve(spread, left))
    told |= {"df": len(kept), "p": float(stats.chi2.sf(told["statistic"], len(kept)))}
    if len(kept) > 1:
        return told | {"reason": f"{len(compared)} groups have no one effect"}
    effect, half = float(left[0] / spread[0, 0]), Z_95 / float(np.sqrt(spread[0, 0]))
    return told | {"effect": effect, "ci_low": effect - half, "ci_high": effect + half, "reason": ""}
