"""The relation of two whole blocks of features: whether units that are alike in one are alike in the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from integrate.analyse.matrices import complete_blocks
from integrate.analyse.results import result_table
from integrate.analyse.unit import check_choice, check_unit

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["cross_modal"]

EFFECTS = {
    "rv": "RV coefficient",
    "mantel": "rho of distances",
    "pls": "r of first latent pair",
    "cca": "first canonical correlation",
}


def cross_modal(
    cohort: Cohort,
    x: str | Sequence[str],
    y: str | Sequence[str],
    *,
    unit: str,
    method: str = "rv",
    n_components: int = 5,
    permutations: int = 999,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how strongly two blocks of features go together as wholes.

    Parameters
    ----------
    cohort
        What `link` returned.
    x, y
        Names, as for `associate`: an assay each, numbers only.
    unit
        What one observation is; a subject may have one row only.
    method
        ``"rv"`` (0 to 1, of the two matrices of similarity), ``"mantel"`` (Spearman's rho of the distances between
        units), ``"pls"`` (the two sums of features with the largest covariance), ``"cca"`` (with the largest
        correlation, among the first principal components of each block).
    n_components
        Principal components of each block that ``"cca"`` takes.
    permutations
        How often units are shuffled for p.
    seed
        Of the permutations.

    Returns
    -------
    A result of one row, with ``expected`` (mean of the shuffled) and ``n_filled``. RV, PLS and CCA are far above 0 by
    chance when there are more features than units: compare with `expected`. They have no limits; `q` repeats `p`.

    Raises
    ------
    UnitError
        If the cohort has more rows than units.
    DataError
        If fewer than three units have both blocks.
    ParameterError
        If a block is categorical, or a choice is not known.

    Notes
    -----
    Robert and Escoufier (1976); Mantel (1967); p counts the observed order among the permutations.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> rna = pd.DataFrame({"subject_id": ["P01", "P02", "P03"], "CD8A": [1.0, 2, 4], "CD3E": [2.0, 4, 9]})
    >>> ct = pd.DataFrame({"subject_id": ["P01", "P02", "P03"], "volume": [9.0, 6, 2]})
    >>> found = cross_modal(link(toy_study(), rna=rna, ct=ct, unit="subject"), "rna", "ct", unit="subject")
    >>> print(found[["x", "y", "method", "effect", "n_obs"]].round(2).to_string(index=False))
      x  y method  effect  n_obs
    rna ct     rv    0.98      3
    """
    import numpy as np
    import pandas as pd

    check_choice("method", method, tuple(EFFECTS))
    check_unit(cohort, unit)
    (first, second), rows = complete_blocks(cohort, [x, y])
    measure = _measure(first.values, second.values, method, n_components)
    rng = np.random.default_rng(seed)
    observed = measure(np.arange(len(rows)))
    null = np.array([measure(rng.permutation(len(rows))) for _ in range(permutations)])
    p = (1 + (null >= observed - 1e-12).sum()) / (1 + permutations) if permutations else np.nan
    columns = {
        "x": first.name,
        "y": second.name,
        "method": method,
        "effect": observed,
        "effect_name": EFFECTS[method],
        "ci_low": np.nan,
        "ci_high": np.nan,
        "expected": null.mean() if permutations else np.nan,
        "p": p,
        "q": p,
        "n_obs": len(rows),
        "n_subjects": len(rows),
        "n_missing": len(cohort.obs) - len(rows),
        "n_filled": first.filled + second.filled,
        "family": f"{first.name} × {second.name}",
    }
    settings = {"unit": unit, "x": x, "y": y, "method": method, "n_components": n_components}
    settings |= {"permutations": permutations, "seed": seed}
    return result_table("cross_modal", pd.DataFrame([columns]), study=cohort.name, settings=settings)


def _measure(first: Any, second: Any, method: str, n_components: int) -> Callable[[Any], float]:
    """Return the function of an order of the second block's units."""
    import numpy as np
    from scipy import stats
    from scipy.spatial.distance import pdist, squareform

    if method == "mantel":
        upper = np.triu_indices(len(first), 1)
        ranks = stats.rankdata(pdist(first))
        other = squareform(stats.rankdata(pdist(second)))
        return lambda order: float(np.corrcoef(ranks, other[np.ix_(order, order)][upper])[0, 1])
    if method == "rv":
        a, b = first @ first.T, second @ second.T
        length = np.linalg.norm(a) * np.linalg.norm(b)
        return lambda order: float((a * b[np.ix_(order, order)]).sum() / length)
    if method == "cca":
        a, b = (_leading(block, n_components) for block in (first, second))
        return lambda order: float(np.linalg.norm(a.T @ b[order], 2))
    return lambda order: _latent(first, second[order])


def _leading(block: Any, n_components: int) -> Any:
    """Return the first principal components of a block, each of length 1."""
    import numpy as np

    left, singular, _ = np.linalg.svd(block, full_matrices=False)
    return left[:, : min(n_components, int((singular > 1e-10 * singular[0]).sum()))]


def _latent(first: Any, second: Any) -> float:
    """Return the correlation of the first pair of latent variables of partial least squares."""
    import numpy as np

    left, _, right = np.linalg.svd(first.T @ second, full_matrices=False)
    return float(np.corrcoef(first @ left[:, 0], second @ right[0])[0, 1])
