"""The association of variables of a cohort: one row per pair, with effect, uncertainty and what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from integrate.analyse.fdr import METHODS as ADJUSTMENTS
from integrate.analyse.fdr import adjust_p_values, permutation_q_values
from integrate.analyse.pairs import EFFECTS, Groups, category_pairs, group_pairs, number_pairs
from integrate.analyse.survival import strata_codes
from integrate.analyse.unit import check_choice, check_unit
from integrate.analyse.variables import Variables, choose_variables, numeric_matrix
from integrate.errors import ParameterError
from integrate.keys import ATTRS
from integrate.model.progress import follow
from integrate.model.provenance import record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["COLUMNS", "associate"]

COLUMNS: tuple[str, ...] = (
    *("x", "y", "method", "effect", "effect_name", "ci_low", "ci_high", "p", "q"),
    *("n_obs", "n_subjects", "n_missing", "family", "groups", "reason"),
)
#: What each kind of pair can be asked, the first one by ``"auto"``.
FOR_NUMBERS: tuple[str, ...] = ("spearman", "pearson", "ols")
FOR_GROUPS: tuple[str, ...] = ("kruskal", "mannwhitney")
FOR_CATEGORIES: tuple[str, ...] = ("chi2", "fisher")
PERMUTATION = "permutation"
ALTERNATIVES: tuple[str, ...] = ("two-sided", "greater", "less")


def associate(
    cohort: Cohort,
    x: str | Sequence[str],
    y: str | Sequence[str],
    *,
    unit: str,
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
    method
        ``"auto"``: Spearman for two numbers, Mann–Whitney or Kruskal–Wallis for a number and two or more groups,
        Fisher's exact test (two by two) or chi-squared for two categorical variables. Else one of ``"spearman"``,
        ``"pearson"``, ``"ols"`` (least squares, in the units of y per x), ``"mannwhitney"`` (with more than two groups:
        every two of them), ``"kruskal"``, ``"chi2"``, ``"fisher"``.
    groups
        The categories that take part, in the order in which they are compared, or a name for several taken together:
        ``{"Her2": ["Her2"], "others": ["LumA", "Basal"]}``. Units of other categories are left out and are not counted
        as missing.
    alternative
        Of Mann–Whitney: ``"two-sided"``, ``"greater"`` (the first group is larger) or ``"less"``.
    adjust
        Variables whose linear part is removed first (partial correlation); for pairs of numbers only.
    strata
        Categorical variables; numbers are compared within their groups only (ranks within the group for Spearman).
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
    reason``. Effects: rho or r (-1 to 1); rank-biserial, P(first group larger) - P(smaller); epsilon² and Cramér's V
    (0 to 1, without confidence limits). ``n_obs`` is pairwise complete, ``n_missing`` counts units in which x or y is
    missing, ``groups`` the observations per group. Where an effect is NaN, ``reason`` says why.

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
    import numpy as np

    subjects = check_unit(cohort, unit)
    check_choice("method", method, ("auto", *EFFECTS))
    check_choice("alternative", alternative, ALTERNATIVES)
    check_choice("fdr", fdr, (*ADJUSTMENTS, PERMUTATION))
    left, right = choose_variables(cohort, x), choose_variables(cohort, y)
    covariates = None if adjust is None else numeric_matrix(cohort, adjust)
    layers = None if strata is None else strata_codes(cohort, strata)
    if fdr == PERMUTATION and covariates is not None:
        raise ParameterError("units cannot be shuffled where covariates are adjusted for; use fdr='bh', or strata=")
    _check_kinds(left, right, method, adjusted=covariates is not None or layers is not None)
    _check_groups(left, right, groups, alternative)

    def ask(other: Variables) -> pd.DataFrame:
        parts = [
            number_pairs(left, other, method, covariates, subjects, layers),
            *group_pairs(left, other, method, groups, alternative, subjects, swapped=False),
            *group_pairs(other, left, method, groups, alternative, subjects, swapped=True),
            *category_pairs(left, other, method, groups, subjects),
        ]
        return _assembled(parts, left, other, units=len(cohort.obs))

    result = ask(right)
    result["family"] = _families(result, family, _title(x), _title(y))
    if fdr == PERMUTATION:
        orders = _shuffles(len(cohort.obs), layers, permutations, seed)
        watched = follow(orders, "permutations", total=permutations)
        null = np.stack([ask(_reordered(right, order))["p"].to_numpy(dtype=float) for order in watched])
        result["q"] = _per_family(result, lambda places, p: permutation_q_values(p, null[:, places]))
    else:
        result["q"] = _per_family(result, lambda places, p: adjust_p_values(p, method=fdr))
    settings = {
        "unit": unit,
        "method": method,
        "groups": groups,
        "alternative": alternative,
        "adjust": adjust,
        "strata": strata,
        "fdr": fdr,
        "family": family,
    }
    record("associate", study=cohort.name, x=x, y=y, tests=len(result), **settings)
    result = result[list(COLUMNS)]
    result.attrs[ATTRS] = settings
    return result


def _check_kinds(left: Variables, right: Variables, method: str, *, adjusted: bool) -> None:
    mixed = bool((left.numeric and right.categories) or (left.categories and right.numeric))
    kinds = {
        "two numbers": (bool(left.numeric and right.numeric), FOR_NUMBERS),
        "a number and groups": (mixed, FOR_GROUPS),
        "two categorical variables": (bool(left.categories and right.categories), FOR_CATEGORIES),
    }
    for kind, (present, methods) in kinds.items():
        if present and method not in ("auto", *methods):
            raise ParameterError(f"{method!r} does not fit {kind}; use method='auto' or one of {', '.join(methods)}")
        if present and adjusted and methods is not FOR_NUMBERS:
            raise ParameterError(f"adjust= and strata= work for pairs of numbers; here x and y are {kind}")


def _check_groups(left: Variables, right: Variables, groups: Groups | None, alternative: str) -> None:
    if groups is not None and not (left.categories or right.categories):
        raise ParameterError("groups= chooses categories, but no variable is categorical")
    if alternative != "two-sided" and ((left.numeric and right.numeric) or (left.categories and right.categories)):
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
    return table


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


def _title(asked: str | Sequence[str]) -> str:
    return asked if isinstance(asked, str) else ", ".join(asked[:3]) + (" …" if len(asked) > 3 else "")
