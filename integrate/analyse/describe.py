"""The description of a cohort: who is in it by group, what is missing and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from integrate.analyse.associate import associate
from integrate.analyse.grouping import group_codes
from integrate.analyse.unit import check_choice, check_unit
from integrate.analyse.variables import Variables, choose_variables
from integrate.errors import ParameterError
from integrate.keys import ATTRS
from integrate.model.provenance import record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["distributions", "missing_balance", "missingness", "table_one"]

NUMBERS: tuple[str, ...] = ("mean", "median")
#: Column of `missing_balance` that says whether a unit was observed.
OBSERVED = "observed"
QUANTILES = {"min": 0.0, "q1": 0.25, "median": 0.5, "q3": 0.75, "max": 1.0}


def table_one(
    cohort: Cohort,
    variables: str | Sequence[str] = "clinical",
    *,
    unit: str,
    by: str | None = None,
    numbers: str = "mean",
) -> pd.DataFrame:
    """Return the table that comes first in a paper: each variable, of everybody and by group.

    Parameters
    ----------
    cohort
        What `link` returned.
    variables
        Names, as for `associate`; in this order.
    unit
        What one observation is.
    by
        A categorical variable whose groups are the columns; ``None`` gives the column ``all`` only.
    numbers
        How numbers are told: ``"mean"`` (standard deviation) or ``"median"`` [quartiles].

    Returns
    -------
    One row per number, and per category of a categorical variable, after one with the number of units; columns
    ``variable, level, all``, one per group, ``n_missing, smd, p, test``. Categories are ``n (%)`` of those known.
    `smd` is the largest standardised mean difference between two groups; p and test those of `associate`, not adjusted.

    Raises
    ------
    UnitError, DatasetNotFoundError
        As `associate`.
    ParameterError
        If `by` is a number.

    Notes
    -----
    The standardised difference of a categorical variable is that of Yang and Dalton (2012).

    Examples
    --------
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> cohort = link(toy_study(), clinical="clinical", unit="subject")
    >>> print(table_one(cohort, "age", unit="subject", by="response").fillna("").to_string(index=False))
    variable level        all       no       yes  n_missing smd   p                test
           n                3        1         2          0
         age       54.5 (9.2) 61 (nan) 48 (nan)          1     1.0 mannwhitney (exact)
    """
    import pandas as pd

    check_choice("numbers", numbers, NUMBERS)
    check_unit(cohort, unit, independent=by is not None)
    chosen = choose_variables(cohort, variables)
    groups = _group_rows(cohort, by)
    sizes = {name: str(len(rows)) for name, rows in groups.items()}
    first: dict[str, Any] = {"variable": "n", "level": "", **sizes}
    first["n_missing"] = len(cohort.obs) - sum(len(rows) for name, rows in groups.items() if name != "all")
    if by is None:
        first["n_missing"] = 0
    lines: list[dict[str, Any]] = [first]
    tests = _tests(cohort, chosen, by, unit)
    for name, column in _columns(cohort, chosen):
        if name != by:
            lines += _lines(name, column, groups, numbers, tests.get(name, {}))
    settings = {"unit": unit, "by": by, "numbers": numbers}
    record("table_one", study=cohort.name, variables=len(chosen.names), **settings)
    columns = ["variable", "level", *groups, "n_missing", *(["smd", "p", "test"] if by else [])]
    result = pd.DataFrame(lines).reindex(columns=columns)
    result.attrs[ATTRS] = settings
    return result


def distributions(cohort: Cohort, variables: str | Sequence[str], *, unit: str, by: str | None = None) -> pd.DataFrame:
    """Return mean, spread and quantiles of numbers, of everybody or by group, one row each.

    Parameters
    ----------
    cohort, unit
        As for `table_one`.
    variables
        Numbers; categorical ones are left out.
    by
        A categorical variable, or ``None``.

    Returns
    -------
    Columns ``x, group, n_obs, n_subjects, n_missing, mean, sd, min, q1, median, q3, max``.

    Raises
    ------
    UnitError, DatasetNotFoundError, ParameterError
        As `table_one`.

    Examples
    --------
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> cohort = link(toy_study(), clinical="clinical", unit="subject")
    >>> distributions(cohort, "age", unit="subject")[["x", "group", "n_obs", "n_missing", "mean", "median"]]
         x group  n_obs  n_missing  mean  median
    0  age   all      2          1  54.5    54.5
    """
    import numpy as np
    import pandas as pd

    subjects = check_unit(cohort, unit, independent=False)
    chosen = choose_variables(cohort, variables)
    rows = []
    for place, position in enumerate(chosen.numeric):
        for group, members in _group_rows(cohort, by).items():
            if by is not None and group == "all":
                continue
            values = chosen.values[members, place]
            known = values[~np.isnan(values)]
            told = {name: np.quantile(known, q) if len(known) else np.nan for name, q in QUANTILES.items()}
            mean = known.mean() if len(known) else np.nan
            sd = known.std(ddof=1) if len(known) > 1 else np.nan
            owners = subjects[members][~np.isnan(values)]
            counts = {"n_obs": len(known), "n_subjects": len(np.unique(owners)), "n_missing": len(values) - len(known)}
            rows.append({"x": chosen.names[position], "group": group, **counts, "mean": mean, "sd": sd, **told})
    return pd.DataFrame(rows, columns=["x", "group", "n_obs", "n_subjects", "n_missing", "mean", "sd", *QUANTILES])


def missingness(cohort: Cohort, variables: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Return what is missing in a cohort and why: one row per assay and clinical variable, or per variable asked.

    Parameters
    ----------
    cohort
        What `link` returned.
    variables
        Names, as for `associate`; ``None`` takes every assay as a whole and every clinical variable.

    Returns
    -------
    Columns ``x, n_obs, n_missing, share_missing, reasons``; `reasons` counts them: ``"not acquired = 3"``, for values
    missing in a row that is there ``"value missing = 1"``. `Cohort.complete` gives the units that lack nothing.

    Raises
    ------
    DatasetNotFoundError
        If nothing has that name.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> rna = pd.DataFrame({"subject_id": ["P02", "P03"], "CD8A": [7.5, 9.0]})
    >>> missingness(link(toy_study(), rna=rna, clinical="clinical", unit="subject"))
              x  n_obs  n_missing  share_missing            reasons
    0       rna      2          1       0.333333   not acquired = 1
    1       age      2          1       0.333333  value missing = 1
    2  response      3          0       0.000000
    """
    import pandas as pd

    rows = []
    if variables is None:
        rows = [(assay, cohort.missing_reason[assay].astype(str)) for assay in cohort.assays]
        asked = choose_variables(cohort, "clinical") if len(_clinical(cohort)) else None
    else:
        asked = choose_variables(cohort, variables)
    for name, column in _columns(cohort, asked) if asked else ():
        assay = name.partition("/")[0] if "/" in name else ""
        reason = pd.Series("", index=cohort.obs.index)
        if assay in cohort.assays:
            reason = cohort.missing_reason[assay].astype(str)
        rows.append((name, reason.where((reason != "") | column.notna().to_numpy(), "value missing")))
    told = []
    for name, reason in rows:
        counts = reason[reason != ""].value_counts()
        missing = int(counts.sum())
        words = ", ".join(f"{why} = {n}" for why, n in counts.items())
        told.append((name, len(reason) - missing, missing, missing / max(len(reason), 1), words))
    return pd.DataFrame(told, columns=["x", "n_obs", "n_missing", "share_missing", "reasons"])


def missing_balance(cohort: Cohort, x: str, variables: str | Sequence[str] = "clinical", *, unit: str) -> pd.DataFrame:
    """Return how those in whom something was observed differ from those in whom it was not.

    Parameters
    ----------
    cohort
        What `link` returned.
    x
        An assay, a feature or a clinical variable that some units lack.
    variables
        What is compared between them, names as for `associate`.
    unit
        What one observation is.

    Returns
    -------
    The table of `associate` with ``x = "observed"``; effects compare ``no`` with ``yes``.

    Raises
    ------
    ParameterError
        If everybody or nobody was observed.
    UnitError, DatasetNotFoundError
        As `associate`.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> rna = pd.DataFrame({"subject_id": ["P02", "P03"], "CD8A": [7.5, 9.0]})
    >>> cohort = link(toy_study(), rna=rna, clinical="clinical", unit="subject")
    >>> print(missing_balance(cohort, "rna", "response", unit="subject")[["x", "y", "effect", "p"]].round(3))
              x         y  effect      p
    0  observed  response     1.0  0.333
    """
    import pandas as pd

    known = cohort.missing_reason[x] == "" if x in cohort.assays else cohort.values(x).notna()
    if known.all() or not known.any():
        raise ParameterError(f"{x!r} was observed in {'every' if known.all() else 'no'} {unit}; nothing to compare")
    obs = cohort.obs.drop(columns=[c for c in cohort.obs if c == x])
    obs = obs.assign(**{OBSERVED: pd.Categorical(known.map({True: "yes", False: "no"}), ["no", "yes"])})
    marked = replace(cohort, obs=obs)
    chosen = [name for name in choose_variables(marked, variables).names if name not in (OBSERVED, x)]
    return associate(marked, OBSERVED, chosen, unit=unit)


def _clinical(cohort: Cohort) -> list[str]:
    from integrate.keys import ID_COLUMNS

    return [str(c) for c in cohort.obs if c not in ID_COLUMNS]


def _columns(cohort: Cohort, chosen: Variables) -> Iterator[tuple[str, Any]]:
    """Yield names and values in the order asked, missing as missing."""
    import pandas as pd

    numbers = dict(zip(chosen.numeric, chosen.values.T, strict=True))
    for place, name in enumerate(chosen.names):
        if place in numbers:
            yield name, pd.Series(numbers[place], index=cohort.obs.index)
        else:
            yield name, chosen.categories[place]


def _group_rows(cohort: Cohort, by: str | None) -> dict[str, Any]:
    """Return the rows of everybody, then those of each group."""
    import numpy as np

    rows = {"all": np.arange(len(cohort.obs))}
    if by is None:
        return rows
    codes, names = group_codes(cohort, by)
    if "all" in names:
        raise ParameterError(f"a group of {by!r} is called 'all', which is everybody; rename it")
    return rows | {name: np.flatnonzero(codes == place) for place, name in enumerate(names)}


def _tests(cohort: Cohort, chosen: Variables, by: str | None, unit: str) -> dict[str, dict[str, Any]]:
    names = [name for name in chosen.names if name != by]
    if by is None or not names:
        return {}
    found = associate(cohort, by, names, unit=unit, fdr="none")
    return {str(row["y"]): {"p": row["p"], "test": row["method"]} for _, row in found.iterrows()}


def _lines(
    name: str, column: pd.Series[Any], groups: dict[str, Any], numbers: str, test: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one variable; what holds for all of it stands in the first."""
    import numpy as np
    import pandas as pd

    whole = {"n_missing": int(column.isna().sum())}
    apart = [rows for group, rows in groups.items() if group != "all"]
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=float, na_value=np.nan)
        cells = {group: _number_cell(values[rows], numbers) for group, rows in groups.items()}
        smd = [_number_difference(values[a], values[b]) for a, b in combinations(apart, 2)]
        yield {"variable": name, "level": "", **cells, **whole, "smd": _largest(smd), **test}
        return
    categories = column.cat.remove_unused_categories().cat
    codes, levels = categories.codes.to_numpy(), list(map(str, categories.categories))
    shares = [_shares(codes[rows], len(levels)) for rows in apart]
    smd = [_share_difference(a, b) for a, b in combinations(shares, 2)]
    for place, level in enumerate(levels):
        cells = {group: _share_cell(codes[rows], place) for group, rows in groups.items()}
        more = {**whole, "smd": _largest(smd), **test} if not place else {}
        yield {"variable": name if not place else "", "level": level, **cells, **more}


def _number_cell(values: Any, numbers: str) -> str:
    import numpy as np

    known = values[~np.isnan(values)]
    if not len(known):
        return "–"
    if numbers == "mean":
        spread = known.std(ddof=1) if len(known) > 1 else np.nan
        return f"{known.mean():.3g} ({spread:.2g})"
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]"


def _share_cell(codes: Any, place: int) -> str:
    known = int((codes >= 0).sum())
    n = int((codes == place).sum())
    return f"{n} ({100 * n / known:.0f}%)" if known else "–"


def _shares(codes: Any, size: int) -> Any:
    import numpy as np

    counts = np.bincount(codes[codes >= 0], minlength=size)
    return counts / counts.sum() if counts.sum() else np.full(size, np.nan)


def _largest(differences: list[float]) -> float:
    import numpy as np

    known = [one for one in differences if not np.isnan(one)]
    return max(known) if known else np.nan


def _number_difference(first: Any, second: Any) -> float:
    import numpy as np

    first, second = first[~np.isnan(first)], second[~np.isnan(second)]
    if min(len(first), len(second)) < 2:
        return np.nan
    spread = np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2)
    return float(abs(first.mean() - second.mean()) / spread) if spread > 0 else np.nan


def _share_difference(first: Any, second: Any) -> float:
    """Return Yang and Dalton's standardised difference of two distributions over categories."""
    import numpy as np

    a, b = first[1:], second[1:]
    spread = (np.diag(a) - np.outer(a, a) + np.diag(b) - np.outer(b, b)) / 2
    if np.isnan(spread).any() or not len(a):
        return np.nan
    return float(np.sqrt(max((a - b) @ np.linalg.pinv(spread) @ (a - b), 0)))
