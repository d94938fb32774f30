"""The rows of a result table for each kind of pair: two numbers, a number between groups, two categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from integrate.analyse.compare import Comparisons, compare_groups, compare_two_groups
from integrate.analyse.correlate import correlate
from integrate.analyse.crosstab import compare_categories
from integrate.analyse.variables import Variables
from integrate.errors import ParameterError, closest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EFFECTS", "Groups", "category_pairs", "group_pairs", "number_pairs"]

#: Name of the effect of each method.
EFFECTS: dict[str, str] = {
    "spearman": "rho",
    "pearson": "r",
    "ols": "slope of y per x",
    "mannwhitney": "rank-biserial",
    "kruskal": "epsilon squared",
    "chi2": "Cramér V",
    "fisher": "Cramér V",
}
#: Categories by name, or several categories under one name.
Groups = Sequence[str] | Mapping[str, Sequence[str]]


def number_pairs(
    left: Variables, right: Variables, method: str, covariates: Any, subjects: Any, strata: Any
) -> pd.DataFrame:
    """Return the pairs of two numeric variables."""
    import numpy as np
    import pandas as pd

    chosen = "spearman" if method == "auto" else method
    if not (left.numeric and right.numeric):
        return pd.DataFrame()
    found = correlate(left.values, right.values, method=chosen, adjust=covariates, subjects=subjects, strata=strata)
    reason = np.where(found.n < 3, "fewer than 3 observations", np.where(found.constant, "constant", ""))
    partial = covariates is not None and chosen != "ols"
    name = f"{'stratified ' if strata is not None else ''}{'partial ' if partial else ''}{chosen}"
    shape = found.p.shape
    rows = {
        "i": np.broadcast_to(np.array(left.numeric)[:, np.newaxis], shape),
        "j": np.broadcast_to(np.array(right.numeric), shape),
        "method": np.where(found.exact, f"{name} (exact)", name),
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
    numbers: Variables,
    categorical: Variables,
    method: str,
    groups: Groups | None,
    alternative: str,
    subjects: Any,
    *,
    swapped: bool,
) -> list[pd.DataFrame]:
    """Return the pairs of a numeric and a categorical variable; `swapped` when the numeric one is y."""
    import numpy as np

    parts = []
    for position, column in categorical.categories.items() if numbers.numeric else ():
        codes, names = _codes(column, groups, categorical.names[position])
        names = names or ["no group"]
        left_out = _left_out(column, codes)
        compared: list[tuple[int, ...]] = [tuple(range(len(names)))]
        pairwise = method == "mannwhitney" or (method == "auto" and len(names) == 2)
        if not pairwise and alternative != "two-sided":
            raise ParameterError(
                f"{categorical.names[position]!r} has {len(names)} groups, which have no direction; name two with "
                "groups=, or compare every two with method='mannwhitney'"
            )
        if pairwise:
            compared = list(combinations(range(len(names)), 2)) or compared
        for chosen in compared:
            rows = np.flatnonzero(np.isin(codes, chosen))
            values = numbers.values[rows]
            member = np.searchsorted(chosen, codes[rows])
            if pairwise and len(chosen) == 2:
                result = compare_two_groups(values, member == 0, alternative=alternative)
            else:
                result = compare_groups(values, member, len(chosen))
            elsewhere = left_out + int((codes >= 0).sum()) - len(rows)
            told = _told(result, [names[c] for c in chosen], "mannwhitney" if pairwise else "kruskal", alternative)
            told["n_subjects"] = _subjects_per_column(values, subjects[rows])
            told["left_out"] = elsewhere
            ends = {"i": numbers.numeric, "j": [position] * len(numbers.numeric)}
            parts.append(told.assign(**(ends if not swapped else {"i": ends["j"], "j": ends["i"]})))
    return parts


def _told(result: Comparisons, names: Sequence[str], method: str, alternative: str) -> pd.DataFrame:
    """Return one row per numeric variable compared between groups."""
    import numpy as np
    import pandas as pd

    present = (result.counts > 0).sum(axis=1)
    missing = np.isnan(result.effect)
    few = "fewer than 2 groups are observed" if method == "kruskal" else "a group has no observation"
    alone = "every group has one observation" if method == "kruskal" else "constant"
    enough = present == (2 if method == "mannwhitney" else np.clip(present, 2, None))
    constant = np.where(result.counts.max(axis=1, initial=0) > 1, "constant", alone)
    words = method if alternative == "two-sided" or method == "kruskal" else f"{method}, {alternative}"
    return pd.DataFrame(
        {
            "method": np.where(result.exact, f"{words} (exact)", words),
            "effect_name": EFFECTS[method],
            "effect": result.effect,
            "ci_low": result.ci_low,
            "ci_high": result.ci_high,
            "p": result.p,
            "n_obs": result.counts.sum(axis=1),
            "groups": [", ".join(f"{g} = {n}" for g, n in zip(names, row, strict=True)) for row in result.counts],
            "reason": np.where(~missing, "", np.where(enough, constant, few)),
        }
    )


def category_pairs(
    left: Variables, right: Variables, method: str, groups: Groups | None, subjects: Any
) -> list[pd.DataFrame]:
    """Return the pairs of two categorical variables."""
    import numpy as np
    import pandas as pd

    rows = []
    for i, x in left.categories.items():
        for j, y in right.categories.items():
            x_codes, _ = _codes(x, None, left.names[i])
            y_codes, _ = _codes(y, groups, right.names[j])
            left_out = _left_out(y, y_codes)
            keep = np.flatnonzero((x_codes >= 0) & (y_codes >= 0))
            found = compare_categories(x_codes[keep], y_codes[keep], method=method)
            fisher = method == "fisher" or (method == "auto" and found.counts.shape == (2, 2))
            if method == "fisher" and found.counts.shape != (2, 2) and not np.isnan(found.effect):
                raise ParameterError(
                    f"'fisher' needs two by two categories; {left.names[i]!r} × {right.names[j]!r} is "
                    f"{' × '.join(map(str, found.counts.shape))}; use method='chi2'"
                )
            reason = "" if found.well_filled or fisher else "expected counts below 5: the p-value is approximate"
            rows.append(
                {
                    "i": i,
                    "j": j,
                    "method": "fisher" if fisher else "chi2",
                    "effect_name": EFFECTS["chi2"],
                    "effect": found.effect,
                    "ci_low": np.nan,
                    "ci_high": np.nan,
                    "p": found.p,
                    "n_obs": len(keep),
                    "n_subjects": len(np.unique(subjects[keep])),
                    "left_out": left_out,
                    "groups": " × ".join(map(str, found.counts.shape)),
                    "reason": "a variable has one category only" if np.isnan(found.effect) else reason,
                }
            )
    return [pd.DataFrame(rows)]


def _codes(column: pd.Series[Any], groups: Groups | None, name: str) -> tuple[Any, list[str]]:
    """Return the position of each unit's group, -1 for missing or left out, and the groups' names."""
    import numpy as np

    observed = [str(category) for category in column.cat.remove_unused_categories().cat.categories]
    asked = groups if isinstance(groups, Mapping) else {g: [g] for g in (observed if groups is None else groups)}
    place: dict[str, int] = {}
    for position, members in enumerate(asked.values()):
        for category in map(str, members):
            if category not in observed:
                raise ParameterError(f"no unit has {name} = {category!r}; {closest(category, observed)}")
            if place.setdefault(category, position) != position:
                raise ParameterError(f"{name} = {category!r} stands in two groups; name it once")
    codes = [place.get(str(value), -1) if known else -1 for value, known in zip(column, column.notna(), strict=True)]
    return np.array(codes, dtype=np.int64), [str(group) for group in asked]


def _left_out(column: pd.Series[Any], codes: Any) -> int:
    """Return the number of units whose category is known and does not take part."""
    return int((column.notna().to_numpy() & (codes < 0)).sum())


def _subjects_per_column(values: Any, subjects: Any) -> Any:
    """Return how many different subjects are observed in each column."""
    import numpy as np

    known = ~np.isnan(values)
    member = np.zeros((subjects.max(initial=-1) + 1, len(subjects)))
    member[subjects, np.arange(len(subjects))] = 1
    return ((member @ known) > 0).sum(axis=0)
