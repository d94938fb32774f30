"""The odds of a group: logistic regression of two groups on one variable at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from integrate.analyse.correlate import patterns
from integrate.analyse.firth import fit_firth
from integrate.analyse.question import EFFECTS, Question, chosen_codes
from integrate.analyse.results import Z_95
from integrate.analyse.variables import Variables
from integrate.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Odds", "fit_odds", "odds_pairs"]

STEPS = 60
#: Information that fell below this share of what it was at the start belongs to an estimate that runs away.
EXHAUSTED = 1e-7
SEPARATED = "no finite estimate: it tells the groups apart (separation)"
PENALISED = "it tells the groups apart (separation): of a penalised likelihood"
#: Numbers in the largest intermediate.
BLOCK = 20_000_000


class Odds(NamedTuple):
    """Results per variable: log odds ratio, its standard error, and why there is none, or ``""``."""

    effect: Any
    error: Any
    reason: Any


def odds_pairs(left: Variables, right: Variables, question: Question) -> Iterator[pd.DataFrame]:
    """Yield the odds of each categorical variable of two groups of the right by each variable of the left."""
    import numpy as np

    covered = question.covered
    for j, column in right.categories.items():
        codes, names, left_out = chosen_codes(column, question.groups, right.names[j])
        if len(names) != 2:
            raise ParameterError(
                f"{right.names[j]!r} has {len(names)} groups, and odds are of one against one; name two with groups="
            )
        rows = np.flatnonzero((codes >= 0) & covered)
        second = codes[rows] == 1
        if left.numeric:
            told = _odds_table(left.values[rows], second, rows, question, names)
            yield told.assign(i=left.numeric, j=j, left_out=left_out)
        for i, categories in left.categories.items():
            levels, terms, _ = chosen_codes(categories, None, left.names[i])
            first = levels[rows]
            for level, term in enumerate(terms[1:], start=1):
                between = np.where((first == 0) | (first == level), (first == level).astype(float), np.nan)[:, None]
                elsewhere = left_out + int(((levels >= 0) & (codes >= 0) & (levels != 0) & (levels != level)).sum())
                told = _odds_table(between, second, rows, question, names)
                told["groups"] += f"; {term} against {terms[0]}"
                yield told.assign(i=i, j=j, left_out=elsewhere)


def _odds_table(values: Any, second: Any, rows: Any, question: Question, names: list[str]) -> pd.DataFrame:
    """Return one row per column of values."""
    import numpy as np
    import pandas as pd
    from scipy import stats

    told = np.full((values.shape[1], 4), np.nan)
    reason, counts = np.full(len(told), "", dtype=object), np.zeros((len(told), 2), dtype=np.int64)
    for known, columns in patterns(values):
        here = np.flatnonzero(known)
        x, of_second, beside = values[np.ix_(here, columns)], second[here], question.beside(rows[here])
        effect, error, reason[columns] = fit_odds(x, of_second, beside)
        p = 2 * stats.norm.sf(np.abs(effect / error))
        told[columns] = np.column_stack([effect, effect - Z_95 * error, effect + Z_95 * error, p])
        for place in np.flatnonzero(reason[columns] == SEPARATED):
            told[columns[place]] = fit_firth(x[:, place], of_second, beside)
        counts[columns] = [(~of_second).sum(), of_second.sum()]
    penalised = reason == SEPARATED
    reason[penalised] = PENALISED
    words = "stratified " if question.strata is not None else ""
    words += "adjusted " if question.adjust is not None else ""
    return pd.DataFrame(
        {
            "method": np.where(penalised, f"{words}logistic (Firth)", f"{words}logistic"),
            "effect_name": f"{EFFECTS['logistic']} of {names[1]}",
            **dict(zip(("effect", "ci_low", "ci_high", "p"), told.T, strict=True)),
            "n_obs": counts.sum(axis=1),
            "n_subjects": question.subjects_of(~np.isnan(values), rows),
            "groups": [", ".join(f"{g} = {n}" for g, n in zip(names, row, strict=True)) for row in counts],
            "reason": reason,
        }
    )


def fit_odds(x: Any, second: Any, covariates: Any) -> Odds:
    """Return the logistic regression of a group on each column, with the covariates beside it.

    Parameters
    ----------
    x
        (observations, variables) floats; none is missing.
    second
        Whether each observation is of the second group.
    covariates
        (observations, covariates) floats; none is missing. An intercept is added.

    Notes
    -----
    Newton's method on standardised columns. A variable that, alone or with covariates, tells the groups apart has no
    finite estimate (separation): NaN, with `SEPARATED` as the reason; `fit_firth` has one.
    """
    import numpy as np

    size = x.shape[1]
    effect, error = np.full(size, np.nan), np.full(size, np.nan)
    reason = np.full(size, "", dtype=object)
    flat = np.ptp(x, axis=0) == 0 if len(x) else np.ones(size, dtype=bool)
    reason[flat] = "constant"
    if len(np.unique(second)) < 2:
        reason[~flat] = "a group has no observation"
        return Odds(effect, error, reason)
    design = np.column_stack([np.ones(len(x)), _standard(covariates)])
    few = len(x) <= design.shape[1] + 1
    if few or np.linalg.matrix_rank(design) < design.shape[1]:
        reason[~flat] = "not more observations than covariates" if few else "a covariate is a sum of others"
        return Odds(effect, error, reason)
    asked = np.flatnonzero(~flat)
    step = max(1, BLOCK // (len(x) * (design.shape[1] + 1)))
    for start in range(0, len(asked), step):
        chosen = asked[start : start + step]
        beta, variance, ended = _newton(_standard(x[:, chosen]), design, second.astype(float))
        spread = x[:, chosen].std(axis=0)
        effect[chosen], error[chosen], reason[chosen] = beta / spread, np.sqrt(variance) / spread, ended
    return Odds(effect, error, reason)


def _standard(columns: Any) -> Any:
    import numpy as np

    spread = columns.std(axis=0)
    return (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1)


def _newton(x: Any, design: Any, y: Any) -> tuple[Any, Any, Any]:
    """Return estimate and variance of each column's slope, and why there is none."""
    import numpy as np

    n, many = x.shape
    rows = np.empty((many, n, design.shape[1] + 1))
    rows[:, :, 0], rows[:, :, 1:] = x.T, design
    beta = np.zeros((many, rows.shape[2]))
    beta[:, 1] = np.log(y.mean() / (1 - y.mean()))
    information = _information(rows, beta)
    smallest = np.linalg.eigvalsh(information)[:, 0]
    reason = np.where(smallest > 1e-9 * n * y.mean(), "", "it follows from the covariates").astype(object)
    running = reason == ""
    for _ in range(STEPS):
        here = np.flatnonzero(running)
        if not len(here):
            break
        chance = _chance(rows[here], beta[here])
        score = np.einsum("mnk,mn->mk", rows[here], y - chance)
        information[here] = _information(rows[here], beta[here])
        lost = np.linalg.eigvalsh(information[here])[:, 0] < EXHAUSTED * smallest[here]
        reason[here[lost]] = SEPARATED
        running[here[lost]] = False
        here, score = here[~lost], score[~lost]
        change = np.linalg.solve(information[here], score[:, :, None])[:, :, 0]
        beta[here] += change * np.minimum(1, 5 / np.maximum(np.abs(change).max(axis=1), 1e-300))[:, None]
        running[here[np.abs(change).max(axis=1) < 1e-10 * (1 + np.abs(beta[here]).max(axis=1))]] = False
    reason[running] = SEPARATED
    found = reason == ""
    estimate, variance = np.full(many, np.nan), np.full(many, np.nan)
    estimate[found] = beta[found, 0]
    variance[found] = np.linalg.inv(_information(rows[found], beta[found]))[:, 0, 0]
    return estimate, variance, reason


def _chance(rows: Any, beta: Any) -> Any:
    import numpy as np
    from scipy import special

    return special.expit(np.einsum("mnk,mk->mn", rows, beta))


def _information(rows: Any, beta: Any) -> Any:
    import numpy as np

    chance = _chance(rows, beta)
    return np.einsum("mnk,mn,mnj->mkj", rows, chance * (1 - chance), rows, optimize=True)
