"""Reliability: whether measuring the same thing again, or by somebody else, gives the same number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from integrate.analyse.fdr import adjust_p_values
from integrate.analyse.results import Z_95, result_table
from integrate.analyse.unit import check_choice
from integrate.errors import DataError, DatasetNotFoundError, closest, some
from integrate.keys import ID_COLUMNS, INSTANCE_ID, SUBJECT_ID, VISIT

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMS", "icc", "repeatability"]

#: Shrout and Fleiss (1979): other raters for each target (1), a sample of raters (2), just these (3); one or their mean
FORMS: tuple[str, ...] = ("ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)")


class Squares(NamedTuple):
    """Mean squares of a two-way table per feature: between targets, between raters, within targets, residual."""

    targets: Any
    raters: Any
    within: Any
    residual: Any


class Ratings(NamedTuple):
    """What was measured: (targets, raters, features), which targets have every rating of a feature, and who they are.

    Parameters
    ----------
    names
        Features.
    values
        Floats; NaN for the targets that lack a rating of that feature.
    complete
        (targets, features) booleans.
    subjects
        Subject of each target as integers.
    """

    names: list[str]
    values: Any
    complete: Any
    subjects: Any


def icc(
    table: pd.DataFrame,
    *,
    of: str,
    by: str,
    features: str | Sequence[str] | None = None,
    form: str | Sequence[str] = "ICC(2,1)",
) -> pd.DataFrame:
    """Return the intraclass correlation of every feature: the share of its variance that is between what is measured.

    Parameters
    ----------
    table
        One row per measurement, e.g. a lesion outlined by one reader; columns are features.
    of
        Column that says what was measured: lesion, subject, region.
    by
        Column that says by whom or when: reader, session, scanner.
    features
        Columns; ``None`` takes all numbers that are no ids.
    form
        One or more of ``"ICC(1,1)"``, ``"ICC(2,1)"`` (absolute agreement of single ratings by a sample of raters),
        ``"ICC(3,1)"`` (consistency of just these raters), and those of the mean of all raters, ``"ICC(1,k)"``,
        ``"ICC(2,k)"``, ``"ICC(3,k)"``.

    Returns
    -------
    A result, one row per feature and form, with ``n_targets, n_raters``. `p` is of the test that the correlation is 0;
    the family of `q` (Benjamini–Hochberg) is all features in one form. ``n_missing`` counts targets without a rating by
    everybody; they are left out, per feature.

    Raises
    ------
    DatasetNotFoundError
        If a column is not there.
    DataError
        If something was measured twice by the same rater, or there is one rater only.
    ParameterError
        If there is no such form.

    Notes
    -----
    Shrout and Fleiss (1979), McGraw and Wong (1996) for the limits of ICC(2,·): the numbers of R's ``psych::ICC``.
    Targets count as independent; several of one subject make the limits too narrow.

    Examples
    --------
    >>> import pandas as pd
    >>> readers = pd.DataFrame({"lesion": list("abcabc"), "reader": [1, 1, 1, 2, 2, 2], "mm": [4.0, 9, 6, 5, 9, 7]})
    >>> found = icc(readers, of="lesion", by="reader", features="mm", form=["ICC(2,1)", "ICC(3,1)"])
    >>> print(found[["x", "method", "effect", "n_targets", "n_raters"]].round(3).to_string(index=False))
     x   method  effect  n_targets  n_raters
    mm ICC(2,1)   0.938          3         2
    mm ICC(3,1)   0.968          3         2
    """
    import pandas as pd

    forms = [form] if isinstance(form, str) else list(form)
    for one in forms:
        check_choice("form", one, FORMS)
    ratings = _ratings(table, of, by, features)
    n, k = ratings.complete.sum(axis=0), ratings.values.shape[1]
    squares = _squares(ratings)
    parts = []
    for one in forms:
        effect, low, high, p = _coefficient(squares, n, k, one)
        part = _counts(ratings).assign(
            method=one, effect=effect, effect_name="intraclass correlation", ci_low=low, ci_high=high, p=p,
            reason=_reasons(squares, n), q=adjust_p_values(p), family=one,
        )  # fmt: skip
        parts.append(part)
    rows = pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)
    return result_table("icc", rows, study="", settings={"of": of, "by": by, "form": forms})


def repeatability(
    table: pd.DataFrame, *, of: str, by: str, features: str | Sequence[str] | None = None
) -> pd.DataFrame:
    """Return how far two measurements of the same thing lie apart, per feature and in its own unit.

    Parameters
    ----------
    table, of, by, features
        As for `icc`.

    Returns
    -------
    A result, one row per feature; the effect is the standard deviation within what was measured. With ``mean``;
    ``repeatability_coefficient`` (two measurements of the same thing differ by less in 95 of 100); ``within_cv``
    (effect / mean; NaN when the mean is not positive); ``bias, bias_low, bias_high`` of the difference last - first in
    the order of `by`, which `p` and `q` test; ``limit_low, limit_high`` (Bland and Altman's limits of agreement);
    ``n_targets, n_raters``. Bias and limits are NaN for more than two measurements.

    Raises
    ------
    DatasetNotFoundError, DataError
        As `icc`.

    Notes
    -----
    Bland and Altman (1999); the limits of the effect are of chi-squared.

    Examples
    --------
    >>> import pandas as pd
    >>> scans = pd.DataFrame({"subject_id": list("abcabc"), "scan": [1, 1, 1, 2, 2, 2], "ml": [4.0, 9, 6, 5, 9, 7]})
    >>> repeatability(scans, of="subject_id", by="scan")[["x", "effect", "bias", "n_targets"]].round(3)
        x  effect   bias  n_targets
    0  ml   0.577  0.667          3
    """
    import numpy as np
    from scipy import stats

    ratings = _ratings(table, of, by, features)
    n, k = ratings.complete.sum(axis=0), ratings.values.shape[1]
    squares = _squares(ratings)
    within, freedom = np.sqrt(squares.within), np.maximum(n * (k - 1), 1)
    result = _counts(ratings)
    with np.errstate(invalid="ignore", divide="ignore"):
        result["mean"] = np.nansum(ratings.values, axis=(0, 1)) / (n * k)
        result["effect"] = within
        result["ci_low"] = within * np.sqrt(freedom / stats.chi2.ppf(0.975, freedom))
        result["ci_high"] = within * np.sqrt(freedom / stats.chi2.ppf(0.025, freedom))
        result["repeatability_coefficient"] = Z_95 * np.sqrt(2) * within
        result["within_cv"] = np.where(result["mean"] > 0, within / result["mean"], np.nan)
    for name, column in _differences(ratings, n).items():
        result[name] = column
    result["reason"] = np.where(n < 2, "fewer than 2 complete targets", "")
    result = result.assign(method="repeatability", effect_name="standard deviation within", family="bias")
    result["q"] = adjust_p_values(result["p"].to_numpy(dtype=float))
    return result_table("repeatability", result, study="", settings={"of": of, "by": by})


def _ratings(table: pd.DataFrame, of: str, by: str, features: str | Sequence[str] | None) -> Ratings:
    import numpy as np
    import pandas as pd

    asked = [features] if isinstance(features, str) else features
    for name in (of, by, *(asked or ())):
        if name not in table:
            raise DatasetNotFoundError(f"no column {name!r}; {closest(name, table.columns)}")
    ids = {of, by, *ID_COLUMNS, INSTANCE_ID, VISIT}
    numbers = [c for c in table if c not in ids and pd.api.types.is_numeric_dtype(table[c])]
    names: list[Any] = list(asked or numbers)
    texts = [name for name in names if not pd.api.types.is_numeric_dtype(table[name])]
    if texts or not names:
        raise DataError(f"reliability is of numbers; found {some(texts) if texts else 'no numeric column'}")
    given = table.dropna(subset=[of, by])
    again = given[given.duplicated([of, by])]
    if len(again):
        raise DataError(
            f"{len(again)} rows measure the same {of} by the same {by} again, e.g. {some(again[of].unique(), limit=3)};"
            " reduce them first, or name what tells them apart"
        )
    rows, targets = pd.factorize(given[of])
    columns, raters = pd.factorize(given[by], sort=True)
    if len(raters) < 2:
        raise DataError(f"{by!r} has {len(raters)} value; reliability needs two measurements of the same {of}")
    values = np.full((len(targets), len(raters), len(names)), np.nan)
    values[rows, columns] = given[names].to_numpy(dtype=float, na_value=np.nan)
    complete = ~np.isnan(values).any(axis=1)
    values[~np.broadcast_to(complete[:, None], values.shape)] = np.nan
    owners = given.groupby(rows)[SUBJECT_ID].first() if SUBJECT_ID in given else targets
    return Ratings([str(name) for name in names], values, complete, pd.factorize(owners)[0])


def _counts(ratings: Ratings) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    n, k = ratings.complete.sum(axis=0), ratings.values.shape[1]
    member = np.eye(ratings.subjects.max(initial=-1) + 1)[ratings.subjects].T
    return pd.DataFrame(
        {
            "x": ratings.names,
            "n_obs": n * k,
            "n_subjects": ((member @ ratings.complete) > 0).sum(axis=0),
            "n_targets": n,
            "n_raters": k,
            "n_missing": len(ratings.complete) - n,
        }
    )


def _squares(ratings: Ratings) -> Squares:
    """Return the mean squares of the analysis of variance of each feature; NaN with fewer than two targets."""
    import numpy as np

    values, n, k = ratings.values, ratings.complete.sum(axis=0), ratings.values.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(values, axis=(0, 1)) / (n * k)
        centred = values - mean
        between = k * np.nansum(centred.mean(axis=1) ** 2, axis=0)
        raters = n * ((np.nansum(centred, axis=0) / n) ** 2).sum(axis=0)
        within = np.nansum((centred - centred.mean(axis=1, keepdims=True)) ** 2, axis=(0, 1))
        enough = np.where(n > 1, 1.0, np.nan)
        residual = np.maximum(within - raters, 0) * enough / ((n - 1) * (k - 1))
        return Squares(between * enough / (n - 1), raters / (k - 1), within * enough / (n * (k - 1)), residual)


def _reasons(squares: Squares, n: Any) -> Any:
    import numpy as np

    return np.select([n < 2, squares.targets + squares.within == 0], ["fewer than 2 complete targets", "constant"], "")


def _coefficient(squares: Squares, n: Any, k: int, form: str) -> tuple[Any, Any, Any, Any]:
    """Return the coefficient, its limits and p."""
    import numpy as np
    from scipy import stats

    one = form[4] == "1"
    against = squares.within if one else squares.residual
    first, second = np.maximum(n - 1, 1), np.maximum(n * (k - 1) if one else (n - 1) * (k - 1), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = squares.targets / against
        p = np.where(np.isnan(ratio), np.nan, stats.f.sf(ratio, first, second))
        if form[4] == "2":
            single = (squares.targets - squares.residual) / (
                squares.targets + (k - 1) * squares.residual + k * (squares.raters - squares.residual) / n
            )
            low, high = _agreement_limits(squares, single, n, k)
        else:
            single = (squares.targets - against) / (squares.targets + (k - 1) * against)
            least, most = ratio / stats.f.ppf(0.975, first, second), ratio * stats.f.ppf(0.975, second, first)
            low, high = (least - 1) / (least + k - 1), (most - 1) / (most + k - 1)
        if form.endswith("k)"):
            single, low, high = (k * r / (1 + (k - 1) * r) for r in (single, low, high))
    return single, low, high, p


def _agreement_limits(squares: Squares, single: Any, n: Any, k: int) -> tuple[Any, Any]:
    """Return McGraw and Wong's limits of ICC(2,1), whose degrees of freedom are Satterthwaite's."""
    import numpy as np
    from scipy import stats

    raters = squares.raters / squares.residual
    part = n * (1 + (k - 1) * single) - k * single
    above = (k - 1) * (n - 1) * (k * single * raters + part) ** 2
    freedom = above / ((n - 1) * k**2 * single**2 * raters**2 + part**2)
    first = np.maximum(n - 1, 1)
    upper, lower = stats.f.ppf(0.975, first, freedom), stats.f.ppf(0.975, freedom, first)
    rest = k * squares.raters + (k * n - k - n) * squares.residual
    low = n * (squares.targets - upper * squares.residual) / (upper * rest + n * squares.targets)
    high = n * (lower * squares.targets - squares.residual) / (rest + n * lower * squares.targets)
    return low, high


def _differences(ratings: Ratings, n: Any) -> dict[str, Any]:
    """Return bias and limits of agreement of the second minus the first; NaN when there are more than two."""
    import numpy as np
    from scipy import stats

    names = ("bias", "bias_low", "bias_high", "p", "limit_low", "limit_high")
    if ratings.values.shape[1] != 2:
        return dict.fromkeys(names, np.nan)
    apart = ratings.values[:, 1] - ratings.values[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        bias = np.nansum(apart, axis=0) / n
        sd = np.sqrt(np.nansum((apart - bias) ** 2, axis=0) / np.where(n > 1, n - 1, np.nan))
        error, freedom = sd / np.sqrt(n), np.maximum(n - 1, 1)
        half = stats.t.ppf(0.975, freedom) * error
        p = 2 * stats.t.sf(np.abs(bias / error), freedom)
    columns = (bias, bias - half, bias + half, p, bias - Z_95 * sd, bias + Z_95 * sd)
    return dict(zip(names, columns, strict=True))
