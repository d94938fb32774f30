"""The mixed model: the effect of a variable on features measured several times in each subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from integrate.analyse.fdr import METHODS as ADJUSTMENTS
from integrate.analyse.fdr import adjust_p_values
from integrate.analyse.results import result_table, title_of
from integrate.analyse.unit import check_choice, check_repeated
from integrate.analyse.variables import choose_variables, model_terms, normal_scores, numbers_only
from integrate.errors import ParameterError, some
from integrate.keys import LEVELS, SUBJECT_ID
from integrate.model.progress import follow

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["mixed_model", "variance_partition"]

METHOD = "mixed model (REML, Satterthwaite)"
#: What may be random, and the levels it stands for, from the outermost.
RANDOM: dict[str, tuple[str, ...]] = {
    "subject": ("subject",),
    "specimen": ("specimen",),
    "subject/specimen": ("subject", "specimen"),
}
TRANSFORMS: dict[str | None, str] = {None: "coefficient", "rank": "coefficient in SD of ranks"}
#: Features between two moves of the bar.
BLOCK = 200


class Fitted(NamedTuple):
    """Fits of many features: one row per feature; see `scan_mixed` for the columns of `variances`."""

    names: list[str]
    terms: list[str]
    beta: Any
    error: Any
    freedom: Any
    variances: Any
    reason: Any
    n: Any
    subjects: Any


def mixed_model(
    cohort: Cohort,
    y: str | Sequence[str],
    x: str | Sequence[str],
    *,
    unit: str,
    random: str = "subject",
    transform: str | None = None,
    fdr: str = "bh",
) -> pd.DataFrame:
    """Return the effects of variables on each of many features, where subjects have several rows.

    Parameters
    ----------
    cohort
        What `link` returned with ``unit="specimen"`` or ``"acquisition"``.
    y
        Numeric features to explain, one model each: an assay (all its features), features or clinical variables.
    x
        Variables that explain, all in every model. Numbers as they are; a categorical one becomes a term per category,
        compared with its first.
    unit
        What a row of the cohort is.
    random
        Whose own level is random, so that rows of one are not counted as independent: ``"subject"``, ``"specimen"``,
        or ``"subject/specimen"`` for both.
    transform
        ``"rank"``: each feature becomes normal scores of its ranks first. ``None``: as it is.
    fdr
        How p-values become q-values. A family is all features asked about one term.

    Returns
    -------
    A result, one row per feature (`y`) and term (`x`), with ``se, df``. Rows lacking the feature, a variable or a group
    are left out and counted in `n_missing`. Where the effect is NaN, `reason` says why. The effect of a variable that
    is the same in all rows of a subject has about as many degrees of freedom as there are subjects.

    Raises
    ------
    UnitError
        If the rows are not what `unit` says, or no subject has two of them.
    ParameterError
        If a feature is categorical, or a term does not vary.

    Notes
    -----
    Random intercepts, restricted maximum likelihood, Satterthwaite's degrees of freedom: the numbers of R's lmerTest.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> fields = {"acquisition_id": ["f1", "f2", "f3", "f4"], "CD8": [4.0, 8.0, 12.0, 20.0], "depth": [1.0, 2, 4, 3]}
    >>> cohort = link(toy_study(), fields=pd.DataFrame(fields), unit="acquisition")
    >>> print(mixed_model(cohort, "CD8", "depth", unit="acquisition")[["x", "y", "effect", "n_subjects"]].round(2))
                  x           y  effect  n_subjects
    0  fields/depth  fields/CD8     2.0           3
    """
    import numpy as np
    import pandas as pd
    from scipy import stats

    check_choice("fdr", fdr, ADJUSTMENTS)
    fits = _fit(cohort, y, x, unit=unit, random=random, transform=transform)
    effect, error, freedom = fits.beta[:, 1:], fits.error[:, 1:], fits.freedom[:, 1:]
    shape = effect.shape
    with np.errstate(invalid="ignore"):
        half = stats.t.ppf(0.975, freedom) * error
        p = 2 * stats.t.sf(np.abs(effect / error), freedom)
    each = {"n_obs": fits.n, "n_subjects": fits.subjects, "n_missing": len(cohort.obs) - fits.n, "reason": fits.reason}
    columns = {
        "x": np.tile(np.array(fits.terms, dtype=object), shape[0]),
        "y": np.repeat(np.array(fits.names, dtype=object), shape[1]),
        "method": METHOD,
        "effect": effect.ravel(),
        "effect_name": TRANSFORMS[transform],
        "ci_low": (effect - half).ravel(),
        "ci_high": (effect + half).ravel(),
        "se": error.ravel(),
        "df": freedom.ravel(),
        "p": p.ravel(),
        "q": np.stack([adjust_p_values(column, method=fdr) for column in p.T], axis=1).ravel(),
        **{name: np.repeat(values, shape[1]) for name, values in each.items()},
    }
    table = pd.DataFrame(columns)
    table["family"] = table["x"] + f" on {title_of(y)}"
    settings = {"unit": unit, "y": y, "x": x, "random": random, "transform": transform, "fdr": fdr}
    return result_table("mixed_model", table, study=cohort.name, settings=settings)


def variance_partition(
    cohort: Cohort,
    y: str | Sequence[str],
    x: str | Sequence[str] = (),
    *,
    unit: str,
    random: str = "subject",
    transform: str | None = None,
) -> pd.DataFrame:
    """Return which share of the variance of each feature lies between subjects, between specimens, and within them.

    Parameters
    ----------
    cohort, y, unit, random, transform
        As for `mixed_model`.
    x
        Variables whose part is told apart from the subjects' own; may be empty.

    Returns
    -------
    A result, one row per feature and part, with ``variance``; `x` is the part: ``"fixed"`` for all of `x` together,
    ``"subject"``, ``"specimen"``, ``"residual"``. The effect is the share, 0 to 1; nothing is tested, and shares have
    no limits.

    Raises
    ------
    UnitError, ParameterError
        As `mixed_model`.

    Notes
    -----
    Nakagawa and Schielzeth (2013): the variance of the fixed part is that of its fitted values.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> fields = pd.DataFrame({"acquisition_id": ["f1", "f2", "f3", "f4"], "CD8": [4.0, 8.0, 9.0, 20.0]})
    >>> cohort = link(toy_study(), fields=fields, unit="acquisition")
    >>> variance_partition(cohort, "CD8", unit="acquisition")[["x", "effect"]].round(3)
              x  effect
    0   subject   0.993
    1  residual   0.007
    """
    import numpy as np
    import pandas as pd

    fits = _fit(cohort, y, x, unit=unit, random=random, transform=transform)
    levels = RANDOM[random]
    parts = {**({"fixed": 3} if fits.terms else {}), **{level: place for place, level in enumerate(levels)}}
    chosen = fits.variances[:, [*parts.values(), 2]]
    names = [*parts, "residual"]
    each = {"n_obs": fits.n, "n_subjects": fits.subjects, "n_missing": len(cohort.obs) - fits.n, "reason": fits.reason}
    table = pd.DataFrame(
        {
            "x": names * len(fits.names),
            "y": np.repeat(np.array(fits.names, dtype=object), len(names)),
            "method": "variance partition (REML)",
            "effect": (chosen / chosen.sum(axis=1, keepdims=True)).ravel(),
            "effect_name": "share of variance",
            **dict.fromkeys(("ci_low", "ci_high", "p", "q"), np.nan),
            "family": title_of(y),
            "variance": chosen.ravel(),
            **{name: np.repeat(values, len(names)) for name, values in each.items()},
        }
    )
    settings = {"unit": unit, "y": y, "x": x, "random": random, "transform": transform}
    return result_table("variance_partition", table, study=cohort.name, settings=settings)


def _fit(
    cohort: Cohort, y: str | Sequence[str], x: str | Sequence[str], *, unit: str, random: str, transform: str | None
) -> Fitted:
    """Return the models of all features of y."""
    import numpy as np

    from integrate.analyse.mixed_kernels import scan_mixed

    check_choice("random", random, tuple(RANDOM))
    if transform not in TRANSFORMS:
        raise ParameterError(f"no transform {transform!r}; use 'rank' or None")
    check_repeated(cohort, unit)
    features = numbers_only(choose_variables(cohort, y), "a mixed model explains numbers")
    terms, matrix = model_terms(choose_variables(cohort, x)) if x else ([], np.empty((len(cohort.obs), 0)))
    groups = _groups(cohort, RANDOM[random])
    used = (groups >= 0).all(axis=1) & ~np.isnan(matrix).any(axis=1)
    if not used.any():
        raise ParameterError(f"no row has all of {some(terms)}")
    flat = [name for name, column in zip(terms, matrix[used].T, strict=True) if np.ptp(column) == 0]
    if flat:
        raise ParameterError(f"terms that do not vary among the {used.sum()} complete rows: {some(flat)}; leave out")
    order = np.flatnonzero(used)[np.lexsort((groups[used, -1], groups[used, 0]))]
    values = normal_scores(features.values[order]) if transform == "rank" else features.values[order]
    design = np.column_stack([np.ones(len(order)), matrix[order]])
    inner, outer = np.ascontiguousarray(groups[order, -1]), np.ascontiguousarray(groups[order, 0])
    nested = groups.shape[1] - 1
    blocks = np.array_split(np.ascontiguousarray(values.T), max(1, -(-values.shape[1] // BLOCK)))
    fits = [scan_mixed(block, design, inner, outer, nested) for block in follow(blocks, "mixed models", unit="block")]
    beta, error, freedom, variances, ended = (np.concatenate(parts) for parts in zip(*fits, strict=True))
    known = ~np.isnan(values)
    subjects = _group_codes(cohort, "subject")[order]
    counts = np.array([len(np.unique(subjects[column])) for column in known.T], dtype=np.int64)
    reason = np.array([_reasons(random)[code] for code in ended], dtype=object)
    n = known.sum(axis=0)
    return Fitted(features.names, terms, beta, error, freedom, variances, reason, n, counts)


def _reasons(random: str) -> dict[int, str]:
    from integrate.analyse.mixed_kernels import COLLINEAR, FLAT, FOUND, NO_FREEDOM, SINGLE

    return {
        FOUND: "",
        FLAT: "constant, or explained to the last digit",
        COLLINEAR: "a variable follows from the others among its rows",
        SINGLE: f"no {random} with several rows beside another one",
        NO_FREEDOM: "not more rows than terms",
    }


def _groups(cohort: Cohort, levels: tuple[str, ...]) -> Any:
    """Return the group of each row at each level as integers, -1 where it is not known."""
    import numpy as np

    groups = np.column_stack([_group_codes(cohort, level) for level in levels])
    for place, level in enumerate(levels):
        sizes = np.bincount(groups[groups[:, place] >= 0, place])
        if not (sizes > 1).any():
            raise ParameterError(
                f"each {level} has one row, so that nothing is random within it; use associate, or link finer rows"
            )
    return groups


def _group_codes(cohort: Cohort, level: str) -> Any:
    import numpy as np
    import pandas as pd

    key = LEVELS[level]
    if cohort.unit == level:
        return np.arange(len(cohort.obs))
    if key not in cohort.obs and key != SUBJECT_ID:
        raise ParameterError(f"the cohort's {cohort.unit}s do not say their {key}; random='subject' does without")
    return pd.factorize(cohort.obs[key])[0]
