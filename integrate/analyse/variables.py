"""The variables of an association: what a name in a cohort stands for, as numbers or categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.errors import ParameterError, some
from integrate.keys import ID_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["Variables", "choose_variables", "model_terms", "normal_scores", "numbers_only", "numeric_matrix"]

#: Stands for all clinical variables of a cohort.
CLINICAL = "clinical"


@dataclass(frozen=True)
class Variables:
    """Variables in the order asked for.

    Parameters
    ----------
    names
        Full names: ``"cells/HER2_mean"``, or ``"PAM50"`` for a clinical variable.
    numeric
        Positions of the numeric ones, in the columns of `values`.
    values
        (units, numeric variables) floats, NaN where missing.
    categories
        The categorical ones, by position.
    """

    names: list[str]
    numeric: list[int]
    values: Any
    categories: dict[int, pd.Series[Any]]


def choose_variables(cohort: Cohort, asked: str | Sequence[str]) -> Variables:
    """Return the variables that names stand for.

    Parameters
    ----------
    cohort
        What `link` returned.
    asked
        One or more names: of an assay (all its features), ``"clinical"`` (all clinical variables but ids), a feature,
        or a clinical variable.

    Raises
    ------
    DatasetNotFoundError
        If nothing has that name.
    ParameterError
        If a name has several meanings, or nothing is asked.
    """
    import numpy as np

    given = [asked] if isinstance(asked, str) else list(asked)
    if not given:
        raise ParameterError("no variable is named; give an assay, features or clinical variables")
    blocks: list[Any] = []
    names: list[str] = []
    numeric: list[int] = []
    categories: dict[int, Any] = {}
    seen: set[str] = set()
    for full, column in [pair for name in given for pair in _expanded(cohort, name)]:
        if full in seen:
            continue
        seen.add(full)
        if _is_categorical(column):
            categories[len(names)] = column.astype("category")
        else:
            numeric.append(len(names))
            blocks.append(column.to_numpy(dtype=float, na_value=np.nan))
        names.append(full)
    if not names:
        raise ParameterError(f"{', '.join(given)} has no variables")
    values = np.column_stack(blocks) if blocks else np.empty((len(cohort.obs), 0))
    return Variables(names, numeric, values, categories)


def numeric_matrix(cohort: Cohort, asked: str | Sequence[str]) -> Any:
    """Return covariates as numbers, (units, columns): categories become 0/1 columns, all but the first.

    Missing values are NaN in every column of their variable.
    """
    import numpy as np
    import pandas as pd

    variables = choose_variables(cohort, asked)
    blocks = [variables.values]
    for column in variables.categories.values():
        dummies = pd.get_dummies(column.cat.remove_unused_categories(), dtype=float).to_numpy()[:, 1:]
        dummies[column.isna().to_numpy()] = np.nan
        blocks.append(dummies)
    return np.column_stack(blocks)


def model_terms(variables: Variables) -> tuple[list[str], Any]:
    """Return the terms of a model and their values, (units, terms), NaN where missing."""
    import numpy as np

    names: list[str] = []
    blocks: list[Any] = []
    numbers = dict(zip(variables.numeric, variables.values.T, strict=True))
    for place, name in enumerate(variables.names):
        if place in numbers:
            names.append(name)
            blocks.append(numbers[place])
            continue
        column = variables.categories[place].cat.remove_unused_categories()
        missing = column.isna().to_numpy()
        for category in column.cat.categories[1:]:
            names.append(f"{name}[{category}]")
            blocks.append(np.where(missing, np.nan, (column == category).to_numpy(dtype=float, na_value=np.nan)))
    if not names:
        raise ParameterError(f"{some(variables.names)} has one category only")
    return names, np.column_stack(blocks)


def numbers_only(variables: Variables, purpose: str) -> Variables:
    """Return variables, all numbers.

    Raises
    ------
    ParameterError
        If one is categorical; `purpose` says why it may not.
    """
    if variables.categories:
        names = [variables.names[place] for place in variables.categories]
        raise ParameterError(f"{purpose}, and these are categorical: {some(names)}")
    return variables


def normal_scores(values: Any) -> Any:
    """Return Blom's normal scores of the ranks of each column; NaN stays."""
    import numpy as np
    from scipy import stats

    if not values.size:
        return values
    ranks = stats.rankdata(values, axis=0, nan_policy="omit")
    return stats.norm.ppf((ranks - 0.375) / ((~np.isnan(values)).sum(axis=0) + 0.25))


def _expanded(cohort: Cohort, name: str) -> list[tuple[str, Any]]:
    """Return ``(full name, values)`` of what one name stands for."""
    import pandas as pd

    if name == CLINICAL:
        return [(str(c), cohort.obs[c]) for c in cohort.obs if c not in ID_COLUMNS]
    if name in cohort.assays:
        if name in cohort.obs:
            raise ParameterError(f"{name!r} is an assay and a clinical variable; write 'clinical/{name}' for that")
        adata = cohort.assays[name]
        table = pd.DataFrame(adata.X, index=adata.obs_names).reindex(cohort.obs.index)
        return [(f"{name}/{feature}", table[position]) for position, feature in enumerate(adata.var_names)]
    assay, feature = cohort.find(name)
    return [(f"{assay}/{feature}" if assay else feature, cohort.values(name))]


def _is_categorical(column: pd.Series[Any]) -> bool:
    import pandas as pd

    return not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
