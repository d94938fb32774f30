"""The question of an association, and the groups that take part in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.errors import ParameterError, closest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EFFECTS", "Groups", "Question", "chosen_codes"]

#: Name of the effect of each method.
EFFECTS: dict[str, str] = {
    "spearman": "rho",
    "pearson": "r",
    "ols": "slope of y per x",
    "mannwhitney": "rank-biserial",
    "kruskal": "epsilon squared",
    "chi2": "Cramér V",
    "fisher": "Cramér V",
    "logistic": "log odds ratio",
}
#: Categories by name, or several categories under one name.
Groups = Sequence[str] | Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Question:
    """What is asked of every pair.

    Parameters
    ----------
    method, groups, alternative
        As `associate` was asked.
    adjust
        (units, columns) floats whose part is taken out, NaN where missing; or ``None``.
    strata
        Stratum of each unit as integers, -1 where it is missing; or ``None``.
    subjects
        Subject of each unit as integers.
    """

    method: str
    groups: Groups | None
    alternative: str
    adjust: Any
    strata: Any
    subjects: Any

    @property
    def covered(self) -> Any:
        """Which units know their stratum and all covariates."""
        import numpy as np

        covered = np.ones(len(self.subjects), dtype=bool)
        if self.adjust is not None:
            covered &= ~np.isnan(self.adjust).any(axis=1)
        return covered if self.strata is None else covered & (self.strata >= 0)

    def beside(self, rows: Any) -> Any:
        """Return the columns that stand beside a variable in a model of some rows: covariates, and strata as 0/1."""
        import numpy as np

        parts = [np.empty((len(rows), 0))] if self.adjust is None else [self.adjust[rows]]
        if self.strata is not None:
            parts.append((self.strata[rows][:, None] == np.unique(self.strata[rows])[1:]).astype(float))
        return np.column_stack(parts)

    def subjects_of(self, known: Any, rows: Any) -> Any:
        """Return how many different subjects are among the known of some rows, for each column."""
        import numpy as np

        owners = np.unique(self.subjects[rows], return_inverse=True)[1]
        member = np.zeros((owners.max(initial=-1) + 1, len(owners)))
        member[owners, np.arange(len(owners))] = 1
        return ((member @ known) > 0).sum(axis=0)


def chosen_codes(column: pd.Series[Any], groups: Groups | None, name: str) -> tuple[Any, list[str], int]:
    """Return the position of each unit's group, -1 where it has none, the groups' names, and how many are left out.

    Those are left out whose category is known and does not take part.
    """
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
    positions = np.array(codes, dtype=np.int64)
    return positions, [str(group) for group in asked], int((column.notna().to_numpy() & (positions < 0)).sum())
