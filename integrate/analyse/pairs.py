"""The rows of a result table for each kind of pair: two numbers, a number between groups, two categories, odds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from integrate.analyse.compare import Comparisons, compare_groups, compare_two_groups
from integrate.analyse.correlate import correlate
from integrate.analyse.crosstab import Crosstab, compare_categories
from integrate.analyse.question import EFFECTS, Question, chosen_codes
from integrate.analyse.variables import Variables
from integrate.analyse.within import compare_adjusted, compare_in_strata
from integrate.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["category_pairs", "group_pairs", "number_pairs"]


def number_pairs(left: Variables, right: Variables, question: Question) -> pd.DataFrame:
    """Return the pairs of two numeric variables."""
    import numpy as np
    import pandas as pd

    chosen = "spearman" if question.method == "auto" else question.method
    if not (left.numeric and right.numeric) or chosen == "logistic":
        return pd.DataFrame()
    adjust, strata = question.adjust, question.strata
    found = correlate(
        left.values, right.values, method=chosen, adjust=adjust, subjects=question.subjects, strata=strata
    )
    # words are looked up: an array of text for each of millions of pairs would be gigabytes
    reasons = np.array(["", "constant", "fewer than 3 observations"], dtype=object)
    reason = reasons[np.where(found.n < 3, 2, found.constant.astype(int))]
    partial = adjust is not None and chosen != "ols"
    name = f"{'stratified ' if strata is not None else ''}{'partial ' if partial else ''}{chosen}"
    shape = found.p.shape
    rows = {
        "i": np.broadcast_to(np.array(left.numeric)[:, np.newaxis], shape),
        "j": np.broadcast_to(np.array(right.numeric), shape),
        "method": np.array([name, f"{name} (exact)"], dtype=object)[found.exact.astype(int)],
        "effect_name": np.full(shape, EFFECTS[chosen], dtype=object),
        "effect": found.effect,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "p": found.p,
        "n_obs": found.n,
        "n_subjects": found.subjects,
        "left_out": np.zeros(shape, dtype=np.int64),
        "groups": np.full(shape, "", dtype=object),
        "reason": reason,
    }
    return pd.DataFrame({column: np.ravel(values) for column, values in rows.items()})


def group_pairs(
    numbers: Variables, categorical: Variables, question: Question, *, swapped: bool
) -> Iterator[pd.DataFrame]:
    """Yield the pairs of a numeric and a categorical variable; `swapped` when the numeric one is y."""
    import numpy as np

    covered = question.covered
    if question.method == "logistic":
        return
    for position, column in categorical.categories.items() if numbers.numeric else ():
        codes, names, left_out = chosen_codes(column, question.groups, categorical.names[position])
        names = names or ["no group"]
        for chosen in _compared(question, names, categorical.names[position]):
            taking_part = np.isin(codes, chosen)
            rows = np.flatnonzero(taking_part & covered)
            values = numbers.values[rows]
            result = _comparison(values, np.searchsorted(chosen, codes[rows]), len(chosen), rows, question)
            told = _told(result, [names[c] for c in chosen], _method(question, len(chosen), names), question)
            told["n_subjects"] = question.subjects_of(~np.isnan(values), rows)
            told["left_out"] = left_out + int(((codes >= 0) & ~taking_part).sum())
            ends = {"i": numbers.numeric, "j": [position] * len(numbers.numeric)}
            yield told.assign(**(ends if not swapped else {"i": ends["j"], "j": ends["i"]}))


def _method(question: Question, size: int, names: Sequence[str]) -> str:
    """Return the method for so many groups at once."""
    if question.method == "auto":
        return "mannwhitney" if size == 2 and len(names) == 2 else "kruskal"
    return question.method


def _compared(question: Question, names: Sequence[str], variable: str) -> list[tuple[int, ...]]:
    """Return which groups are compared with each other: every two of them, or all at once."""
    together: list[tuple[int, ...]] = [tuple(range(len(names)))]
    pairwise = question.method in ("mannwhitney", "ols") or (question.method == "auto" and len(names) == 2)
    if not pairwise and question.alternative != "two-sided":
        raise ParameterError(
            f"{variable!r} has {len(names)} groups, which have no direction; name two with groups=, or compare every "
            "two with method='mannwhitney'"
        )
    return list(combinations(range(len(names)), 2)) or together if pairwise else together


def _comparison(values: Any, member: Any, size: int, rows: Any, question: Question) -> Comparisons:
    """Return the comparison that the question asks for."""
    alternative, strata = question.alternative, question.strata
    layers = None if strata is None else strata[rows]
    if not len(rows):
        return compare_groups(values, member, size)
    if question.method == "ols":
        return _means(values, member, size, rows, question)
    if question.adjust is not None:
        return compare_adjusted(values, member, size, question.adjust[rows], layers, alternative=alternative)
    if layers is not None:
        return compare_in_strata(values, member, size, layers, alternative=alternative)
    if size == 2 and question.method != "kruskal":
        return compare_two_groups(values, member == 0, alternative=alternative)
    return compare_groups(values, member, size)


def _means(values: Any, member: Any, size: int, rows: Any, question: Question) -> Comparisons:
    """Return the difference of means of two groups, by least squares with what is adjusted for (ANCOVA)."""
    import numpy as np

    beside = question.beside(rows)
    first = (member == 0).astype(float)[:, None]
    found = correlate(
        first, values, method="ols", adjust=beside if beside.shape[1] else None, subjects=question.subjects[rows]
    )
    counts = np.stack([(~np.isnan(values[member == group])).sum(axis=0) for group in range(size)], axis=1)
    return Comparisons(found.effect[0], found.ci_low[0], found.ci_high[0], found.p[0], counts, found.exact[0])


def _told(result: Comparisons, names: Sequence[str], method: str, question: Question) -> pd.DataFrame:
    """Return one row per numeric variable compared between groups."""
    import numpy as np
    import pandas as pd

    present = (result.counts > 0).sum(axis=1)
    missing = np.isnan(result.effect)
    together = method == "kruskal"
    few = "fewer than 2 groups are observed" if together else "a group has no observation"
    alone = "every group has one observation" if together else "constant"
    enough = present == (np.clip(present, 2, None) if together else 2)
    constant = np.where(result.counts.max(axis=1, initial=0) > 1, "constant", alone)
    if question.adjust is not None or question.strata is not None:
        constant = np.where(constant == "constant", "constant, or not compared within any stratum", constant)
    effect_name = "difference of means" if method == "ols" else EFFECTS[method]
    words = _words(method, question)
    return pd.DataFrame(
        {
            "method": np.where(result.exact, f"{words} (exact)", words),
            "effect_name": "eta squared" if together and question.adjust is not None else effect_name,
            "effect": result.effect,
            "ci_low": result.ci_low,
            "ci_high": result.ci_high,
            "p": result.p,
            "n_obs": result.counts.sum(axis=1),
            "groups": [", ".join(f"{g} = {n}" for g, n in zip(names, row, strict=True)) for row in result.counts],
            "reason": np.where(~missing, "", np.where(enough, constant, few)),
        }
    )


def _words(method: str, question: Question) -> str:
    """Return the name of the test that was made."""
    one_sided = question.alternative != "two-sided" and method == "mannwhitney"
    words = f"{method}, {question.alternative}" if one_sided else method
    if question.adjust is not None:
        return "adjusted ols (ANCOVA)" if method == "ols" else f"adjusted {words} (Quade)"
    if question.strata is not None:
        name = {"mannwhitney": " (van Elteren)", "kruskal": " (Cochran-Mantel-Haenszel)"}.get(method, "")
        return f"stratified {words}{name}"
    return words


def category_pairs(left: Variables, right: Variables, question: Question) -> pd.DataFrame:
    """Return the pairs of two categorical variables."""
    import numpy as np
    import pandas as pd

    rows = []
    covered = question.covered
    for i, x in left.categories.items() if question.method != "logistic" else ():
        for j, y in right.categories.items():
            x_codes, _, _ = chosen_codes(x, None, left.names[i])
            y_codes, _, left_out = chosen_codes(y, question.groups, right.names[j])
            keep = np.flatnonzero((x_codes >= 0) & (y_codes >= 0) & covered)
            layers = None if question.strata is None else question.strata[keep]
            found = compare_categories(x_codes[keep], y_codes[keep], method=question.method, strata=layers)
            if question.method == "fisher" and found.counts.shape != (2, 2) and not np.isnan(found.effect):
                raise ParameterError(
                    f"'fisher' needs two by two categories; {left.names[i]!r} × {right.names[j]!r} is "
                    f"{' × '.join(map(str, found.counts.shape))}; use method='chi2'"
                )
            told = {"i": i, "j": j, "n_obs": len(keep), "n_subjects": len(np.unique(question.subjects[keep]))}
            rows.append(told | {"left_out": left_out} | _crossed(found))
    return pd.DataFrame(rows)


def _crossed(found: Crosstab) -> dict[str, Any]:
    """Return what the row of one pair of categories says of the test."""
    import numpy as np

    reason = (
        "" if found.well_filled or found.method == "fisher" else "expected counts below 5: the p-value is approximate"
    )
    return {
        "method": found.method,
        "effect_name": found.effect_name,
        "effect": found.effect,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "p": found.p,
        "groups": " × ".join(map(str, found.counts.shape)),
        "reason": "a variable has one category only" if np.isnan(found.effect) else reason,
    }
