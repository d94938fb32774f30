"""The association of variables of a cohort: one row per pair, with effect, uncertainty and what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from integrate.analyse.fdr import METHODS as ADJUSTMENTS
from integrate.analyse.fdr import adjust_p_values, permutation_q_values
from integrate.analyse.grouping import strata_codes
from integrate.analyse.odds import odds_pairs
from integrate.analyse.pairs import category_pairs, group_pairs, number_pairs
from integrate.analyse.question import EFFECTS, Groups, Question
from integrate.analyse.reduction import reduce_units
from integrate.analyse.results import result_table, title_of
from integrate.analyse.unit import check_choice, check_unit
from integrate.analyse.variables import Variables, choose_variables, numeric_matrix
from integrate.errors import ParameterError
from integrate.model.progress import follow

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["associate"]

#: What each kind of pair can be asked, the first one by ``"auto"``.
FOR_NUMBERS: tuple[str, ...] = ("spearman", "pearson", "ols")
FOR_GROUPS: tuple[str, ...] = ("kruskal", "mannwhitney", "ols", "logistic")
FOR_CATEGORIES: tuple[str, ...] = ("chi2", "fisher", "logistic")
PERMUTATION = "permutation"
ALTERNATIVES: tuple[str, ...] = ("two-sided", "greater", "less")


def associate(
    cohort: Cohort,
    x: str | Sequence[str],
    y: str | Sequence[str],
    *,
    unit: str,
    reduce: str | None = None,
    method: str = "auto",
    groups: Groups | None = None,
    alternative: str = "two-sided",
    adjust: str | Sequence[str] | None = None,
    strata: str | Sequence[str] | None = None,
    fdr: str = "bh",
    family: str | None = None,
    permutations: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how every variable of x goes with every variable of y, one row per pair.

    Parameters
    ----------
    cohort
        What `link` returned.
    x, y
        Names: of an assay (all its features), ``"clinical"`` (all clinical variables), of features or of clinical
        variables. A pair named both ways round is tested once, a variable with itself never.
    unit
        What one observation is. The cohort must have one row per unit: counting fields or cells of one subject as
        independent makes chance look like a finding.
    reduce
        ``"mean"`` or ``"median"``: the rows of one unit become one first, by `reduce_units`.
    method
        ``"auto"``: Spearman for two numbers, Mann–Whitney or Kruskal–Wallis for a number and two or more groups,
        Fisher's exact test (two by two) or chi-squared for two categorical variables. Else one of ``"spearman"``,
        ``"pearson"``, ``"ols"`` (least squares, in the units of y per x; between groups the difference of means),
        ``"mannwhitney"`` (with more than two groups: every two of them), ``"kruskal"``, ``"chi2"``, ``"fisher"``,
        ``"logistic"`` (the odds of the second group of y, per unit of x or of a category against the first).
    groups
        The categories that take part, in the order in which they are compared, or a name for several taken together:
        ``{"Her2": ["Her2"], "others": ["LumA", "Basal"]}``. Units of other categories are left out and are not counted
        as missing.
    alternative
        Of Mann–Whitney: ``"two-sided"``, ``"greater"`` (the first group is larger) or ``"less"``.
    adjust
        Variables whose part is taken out first: partial correlation for numbers, Quade's rank analysis of covariance
        between groups, a covariate for least squares and odds. Two categorical variables: ``method="logistic"`` only.
    strata
        Categorical variables; only units of the same stratum are compared. Numbers by ranks within it, groups by van
        Elteren's test, categories by that of Cochran, Mantel and Haenszel; in models each stratum has its own level.
    fdr
        How p-values become q-values within a family: ``"bh"``, ``"by"``, ``"bonferroni"``, ``"none"``, or
        ``"permutation"``: the share expected by chance, counted with the units of y shuffled (within strata), which
        knows that features go together.
    family
        What was asked together. ``None``: this whole call. ``"x"`` or ``"y"``: each variable of that side by itself.
        Any other text is the name of one family.
    permutations, seed
        How often units are shuffled for ``fdr="permutation"``, and the seed.

    Returns
    -------
    Columns ``x, y, method, effect, effect_name, ci_low, ci_high, p, q, n_obs, n_subjects, n_missing, family, groups,
    reason``. Effects: rho or r (-1 to 1); rank-biserial, P(first group larger) - P(smaller); epsilon² or eta² and
    Cramér's V (0 to 1, without confidence limits); logarithms of odds ratios. ``n_obs`` is pairwise complete,
    ``n_missing`` counts units in which x, y, a covariate or the stratum is missing, ``groups`` the observations per
    group. Where an effect is NaN, ``reason`` says why. Odds of what tells the groups apart would be infinite: they are
    estimated by Firth's penalised likelihood, which method and reason say.

    Raises
    ------
    UnitError
        If the cohort has more rows than units, or is coarser than the unit.
    DatasetNotFoundError
        If nothing has that name.
    ParameterError
        If a name has several meanings, or the method does not fit a pair.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> protein = pd.DataFrame({"subject_id": ["P01", "P02", "P03"], "CD8": [40.0, 100.0, 200.0]})
    >>> cohort = link(toy_study(), protein=protein, clinical="clinical", unit="subject")
    >>> result = associate(cohort, "CD8", "response", unit="subject")
    >>> print(result[["x", "y", "method", "effect", "p", "groups"]].round(3).to_string(index=False))
              x        y              method  effect     p          groups
    protein/CD8 response mannwhitney (exact)    -1.0 0.667 no = 1, yes = 2
    """
    if reduce is not None:
        cohort = reduce_units(cohort, unit=unit, how=reduce)
    question = _question(
        cohort, unit=unit, method=method, groups=groups, alternative=alternative, adjust=adjust, strata=strata
    )
    check_choice("fdr", fdr, (*ADJUSTMENTS, PERMUTATION))
    left, right = choose_variables(cohort, x), choose_variables(cohort, y)
    _check_kinds(left, right, question)
    _check_groups(left, right, question)
    table = _asked(left, right, question)
    table["family"] = _families(table, family, title_of(x), title_of(y))
    if fdr == PERMUTATION:
        table["q"] = _permuted(table, left, right, question, permutations, seed)
    else:
        table["q"] = _per_family(table, lambda places, p: adjust_p_values(p, method=fdr))
    settings = {"unit": unit, "reduce": reduce, "x": x, "y": y, "method": method, "groups": groups}
    settings |= {"alternative": alternative, "adjust": adjust, "strata": strata, "fdr": fdr, "family": family}
    return result_table("associate", table, study=cohort.name, settings=settings)


def _question(
    cohort: Cohort,
    *,
    unit: str,
    method: str,
    groups: Groups | None,
    alternative: str,
    adjust: str | Sequence[str] | None,
    strata: str | Sequence[str] | None,
) -> Question:
    """Return what is asked of every pair, after checking the choices."""
    subjects = check_unit(cohort, unit)
    check_choice("method", method, ("auto", *EFFECTS))
    check_choice("alternative", alternative, ALTERNATIVES)
    covariates = None if adjust is None else numeric_matrix(cohort, adjust)
    layers = None if strata is None else strata_codes(cohort, strata)
    return Question(method, groups, alternative, covariates, layers, subjects)


def _asked(left: Variables, right: Variables, question: Question) -> pd.DataFrame:
    """Return the rows of all pairs."""
    parts = [
        number_pairs(left, right, question),
        *group_pairs(left, right, question, swapped=False),
        *group_pairs(right, left, question, swapped=True),
        category_pairs(left, right, question),
        *(odds_pairs(left, right, question) if question.method == "logistic" else ()),
    ]
    return _assembled(parts, left, right, units=len(question.subjects))


def _permuted(
    table: pd.DataFrame, left: Variables, right: Variables, question: Question, permutations: int, seed: int
) -> Any:
    """Return q-values from how many p-values are as small when the units of y are shuffled."""
    import numpy as np

    if question.adjust is not None:
        raise ParameterError("units cannot be shuffled where covariates are adjusted for; use fdr='bh', or strata=")
    orders = _shuffles(len(question.subjects), question.strata, permutations, seed)
    watched = follow(orders, "permutations", total=permutations)
    null = [_asked(left, _reordered(right, order), question)["p"].to_numpy(dtype=float) for order in watched]
    shuffled = np.stack(null)
    return _per_family(table, lambda places, p: permutation_q_values(p, shuffled[:, places]))


def _check_kinds(left: Variables, right: Variables, question: Question) -> None:
    method = question.method
    mixed = bool((left.numeric and right.categories) or (left.categories and right.numeric))
    kinds = {
        "two numbers": (bool(left.numeric and right.numeric), FOR_NUMBERS),
        "a number and groups": (mixed, FOR_GROUPS),
        "two categorical variables": (bool(left.categories and right.categories), FOR_CATEGORIES),
    }
    for kind, (present, methods) in kinds.items():
        if present and method not in ("auto", *methods):
            raise ParameterError(f"{method!r} does not fit {kind}; use method='auto' or one of {', '.join(methods)}")
    if method == "logistic" and right.numeric:
        raise ParameterError("'logistic' explains a categorical y; give the number as x, and the groups as y")
    crossed = bool(left.categories and right.categories)
    if crossed and question.adjust is not None and method != "logistic":
        raise ParameterError("two categorical variables are adjusted by method='logistic', or compared within strata=")
    if crossed and question.strata is not None and method == "fisher":
        raise ParameterError("'fisher' knows no strata; use method='auto' (Cochran-Mantel-Haenszel)")


def _check_groups(left: Variables, right: Variables, question: Question) -> None:
    groups, alternative, method = question.groups, question.alternative, question.method
    if groups is not None and not (left.categories or right.categories):
        raise ParameterError("groups= chooses categories, but no variable is categorical")
    crossed = (left.numeric and right.numeric) or (left.categories and right.categories)
    if alternative != "two-sided" and (crossed or method not in ("auto", "mannwhitney", "kruskal")):
        raise ParameterError("alternative= belongs to the comparison of a number between groups; ask that by itself")


def _assembled(parts: list[pd.DataFrame], left: Variables, right: Variables, *, units: int) -> pd.DataFrame:
    """Return all pairs in the order of x, then y, each once."""
    import numpy as np
    import pandas as pd

    filled = [part for part in parts if len(part)]
    table = pd.concat(filled, ignore_index=True) if len(filled) > 1 else filled[0]
    x, y = np.array(left.names, dtype=object), np.array(right.names, dtype=object)
    table["x"], table["y"] = x[table["i"].to_numpy(dtype=int)], y[table["j"].to_numpy(dtype=int)]
    shared = set(left.names) & set(right.names)
    if shared:
        both = table["x"].isin(shared) & table["y"].isin(shared)
        position = {name: place for place, name in enumerate(left.names)}
        later = table["x"].map(position) >= table["y"].map(position)
        table = table[~(both & later)]
    if len(filled) > 1:
        table = table.sort_values(["i", "j"], kind="stable")
    table = table.reset_index(drop=True)
    table["n_missing"] = units - table["n_obs"] - table["left_out"]
    return table.drop(columns=["i", "j", "left_out"])


def _families(result: pd.DataFrame, family: str | None, x: str, y: str) -> Any:
    if family in ("x", "y"):
        return result[family]
    return f"{x} × {y}" if family is None else family


def _per_family(result: pd.DataFrame, adjusted: Callable[[Any, Any], Any]) -> Any:
    """Return what a function of the places and p-values of a family gives, for each family."""
    import numpy as np

    q = np.full(len(result), np.nan)
    for places in result.groupby("family", sort=False).indices.values():
        q[places] = adjusted(places, result["p"].to_numpy(dtype=float)[places])
    return q


def _shuffles(n: int, layers: Any, permutations: int, seed: int) -> Iterator[Any]:
    """Yield random orders of the units, within strata when there are any."""
    import numpy as np

    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(layers == one) for one in np.unique(layers)] if layers is not None else [np.arange(n)]
    for _ in range(permutations):
        order = np.arange(n)
        for members in groups:
            order[members] = rng.permutation(members)
        yield order


def _reordered(variables: Variables, order: Any) -> Variables:
    categories = {place: column.iloc[order] for place, column in variables.categories.items()}
    return Variables(variables.names, variables.numeric, variables.values[order], categories)
