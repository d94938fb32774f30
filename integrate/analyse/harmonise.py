"""The harmonisation of an assay between batches, and how far batches and biology can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from integrate.analyse.associate import associate
from integrate.analyse.unit import check_choice
from integrate.analyse.variables import choose_variables, numeric_matrix
from integrate.errors import DataError, DatasetNotFoundError, ParameterError, closest, some
from integrate.keys import ATTRS
from integrate.model.provenance import hash_settings, record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["confounding", "harmonise"]

#: Column of the batch in the table that is harmonised; no feature may have it.
BATCH = "batch"
METHODS: tuple[str, ...] = ("combat", "mean", "scale", "robust_scale")


def harmonise(
    cohort: Cohort,
    assay: str,
    *,
    batch: str | pd.Series[Any],
    keep: str | Sequence[str] = (),
    method: str = "combat",
) -> Cohort:
    """Return the cohort with the batch effects taken out of one assay.

    Parameters
    ----------
    cohort
        What `link` returned.
    assay
        Name of the assay; its features are harmonised together, each over the units it was observed in.
    batch
        A clinical variable (site, scanner, run), or a Series with the batch of each unit by id.
    keep
        Variables whose effect on the features is biology and is kept. Never what will be predicted: for that put
        `ComBat` into the pipeline that is cross-validated.
    method
        ``"combat"`` (mean and variance, as R's sva), ``"mean"`` (ComBat of the mean only), ``"scale"`` (each batch to
        mean 0 and standard deviation 1) or ``"robust_scale"`` (median, median absolute deviation).

    Returns
    -------
    A cohort like the one given. The assay's ``X`` is harmonised, ``layers["before"]`` is what it was, ``var`` has
    ``harmonised`` (false for features that do not vary within a batch), ``uns["integrate"]["harmonise"]`` the settings,
    the size of each batch, and the number of units whose values are missing because their batch or a variable to keep
    is.

    Raises
    ------
    DatasetNotFoundError
        If there is no such assay or variable.
    ParameterError
        If there is one batch only, a batch has one unit, or batch and a variable to keep are confounded.
    DataError
        If a feature has fewer than two values in a batch.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> rows = [("P01", "a", 1.0, 4.0), ("P02", "b", 7.0, 8.0), ("P03", "b", 9.0, 5.0)]
    >>> protein = pd.DataFrame(rows, columns=["subject_id", "site", "CD8", "CD4"])
    >>> cohort = link(toy_study(), protein=protein[["subject_id", "CD8", "CD4"]], unit="subject")
    >>> harmonise(cohort, "protein", batch=protein.set_index("subject_id")["site"])
    Traceback (most recent call last):
    integrate.errors.ParameterError: batch 'a' has fewer than two rows (with all covariates): its variance cannot be ...
    """
    import numpy as np

    from integrate.analyse.batches import BatchScaler, ComBat

    check_choice("method", method, METHODS)
    if assay not in cohort.assays:
        raise DatasetNotFoundError(f"the cohort has no assay {assay!r}; {closest(assay, cohort.assays)}")
    names = [keep] if isinstance(keep, str) else list(keep)
    if names and method.endswith("scale"):
        raise ParameterError(f"method={method!r} cannot keep the effect of {some(names)}; use method='combat'")
    adata = cohort.assays[assay].copy()
    table, kept = _table(cohort, adata, batch, names)
    tool = (
        BatchScaler(batch=BATCH, robust=method == "robust_scale")
        if method.endswith("scale")
        else ComBat(batch=BATCH, covariates=kept, mean_only=method == "mean")
    )
    lacking = table[[BATCH, *kept]].isna().any(axis=1).to_numpy()
    tool.fit(table)
    adata.layers["before"] = adata.X.copy()
    adata.X = np.full(adata.shape, np.nan)
    adata.X[~lacking] = tool.transform(table[~lacking]).to_numpy()
    adata.var["harmonised"] = ~tool.left_
    settings = {"method": method, "batch": batch if isinstance(batch, str) else str(batch.name), "keep": names}
    adata.var["settings_hash"] = hash_settings(settings)
    sizes = {str(name): int(n) for name, n in table.loc[~lacking, BATCH].value_counts().sort_index().items()}
    told = {**settings, "batches": sizes, "n_missing": int(lacking.sum())}
    adata.uns[ATTRS] = {**dict(adata.uns.get(ATTRS, {})), "harmonise": told}
    record("harmonise", study=cohort.name, assay=assay, **told)
    return replace(cohort, assays={**cohort.assays, assay: adata})


def _table(cohort: Cohort, adata: Any, batch: str | pd.Series[Any], keep: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return features, batch and variables to keep as one table, a row per observed unit, and the latter's columns."""
    import pandas as pd

    batches = cohort.values(batch) if isinstance(batch, str) else batch.reindex(cohort.obs.index)
    if not batches.reindex(adata.obs_names).notna().any():
        raise DataError("no unit of the assay has a batch; give a Series whose index holds the cohort's ids")
    table = pd.DataFrame(adata.X, index=adata.obs_names, columns=[f"feature {n}" for n in range(adata.n_vars)])
    table[BATCH] = batches.reindex(adata.obs_names).to_numpy()
    matrix = numeric_matrix(cohort, keep) if keep else None
    columns = [] if matrix is None else [f"keep {n}" for n in range(matrix.shape[1])]
    kept = pd.DataFrame(matrix, index=cohort.obs.index, columns=columns)
    return table.join(kept.reindex(adata.obs_names)), columns


def confounding(cohort: Cohort, batch: str, variables: str | Sequence[str], *, unit: str) -> pd.DataFrame:
    """Return how far batches differ in other variables, and in which no method could tell batch from biology.

    Parameters
    ----------
    cohort
        What `link` returned.
    batch
        A categorical clinical variable: site, scanner, run.
    variables
        Names, as for `associate`: the outcome, age, stage, ``"clinical"``.
    unit
        What one observation is.

    Returns
    -------
    One row per variable: those of `associate` and ``separable``, false where the variable follows from the batch (each
    batch has one value of it), so that its effect and the batch's cannot be told apart.

    Raises
    ------
    UnitError, DatasetNotFoundError
        As `associate`.
    ParameterError
        If the batch is a number.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> cohort = link(toy_study(), clinical="clinical", unit="subject")
    >>> cohort.obs["site"] = ["a", "b", "b"]
    >>> found = confounding(cohort, "site", ["response"], unit="subject")
    >>> print(found[["x", "y", "effect", "p", "separable"]].to_string(index=False))
       x        y  effect        p  separable
    site response     1.0 0.333333      False
    """
    import numpy as np

    given = choose_variables(cohort, batch)
    if given.numeric:
        raise ParameterError(f"{batch!r} is a number; a batch is a category: make it text first")
    others = [name for name in choose_variables(cohort, variables).names if name not in given.names]
    if not others:
        raise ParameterError(f"nothing to compare between batches beside {batch!r} itself")
    result = associate(cohort, batch, others, unit=unit)
    member = numeric_matrix(cohort, batch)
    separable = {name: _separable(member, numeric_matrix(cohort, name)) for name in others}
    result["separable"] = np.array([separable[name] for name in result["y"]], dtype=bool)
    return result


def _separable(member: Any, columns: Any) -> bool:
    """Return whether columns are no sum of the batches, over the units that know both."""
    import numpy as np

    known = ~np.isnan(np.column_stack([member, columns])).any(axis=1)
    design = np.column_stack([np.ones(known.sum()), member[known]])
    varying = columns[known][:, np.ptp(columns[known], axis=0) > 0] if known.any() else columns[known]
    if not varying.shape[1]:
        return False
    standard = (varying - varying.mean(axis=0)) / varying.std(axis=0)
    both = np.column_stack([design, standard])
    return bool(np.linalg.matrix_rank(both) == np.linalg.matrix_rank(design) + varying.shape[1])
