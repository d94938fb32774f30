"""The transformation of shares that add up to one, so that one part's rise is not every other part's fall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from integrate.analyse.unit import check_choice
from integrate.errors import DataError, DatasetNotFoundError, closest, some
from integrate.keys import ATTRS
from integrate.model.provenance import record

if TYPE_CHECKING:
    from integrate.join.cohort import Cohort

__all__ = ["transform_composition"]

METHODS: tuple[str, ...] = ("clr", "arcsine", "proportion")
UNITS = {"clr": "1", "arcsine": "rad", "proportion": "1"}


def transform_composition(
    cohort: Cohort, assay: str, *, features: Sequence[str] | None = None, method: str = "clr"
) -> Cohort:
    """Return the cohort with the shares of an assay transformed.

    Parameters
    ----------
    cohort
        What `link` returned, e.g. with ``reduce={"cells": Composition("cell_type")}``.
    assay
        Name of the assay that holds the parts: shares, or counts.
    features
        The parts; ``None`` takes all features of the assay. Others are left as they are.
    method
        ``"clr"``: logarithm of each part over the geometric mean of all; a part of zero is taken as half an instance,
        taken from the others in proportion. ``"arcsine"``: of the square root. ``"proportion"``: share of the sum.

    Returns
    -------
    A cohort like the one given; the assay's ``layers["before"]`` is what it was, ``uns["integrate"]["composition"]``
    says the method, the parts and ``n_zeros``, how many zeros were replaced. A unit with a part missing, or with
    nothing, is missing in all parts.

    Raises
    ------
    DatasetNotFoundError
        If there is no such assay or feature.
    DataError
        If a part is negative, or there is one part only.

    Notes
    -----
    Aitchison (1986); multiplicative replacement of Martín-Fernández et al. (2003) with 0.5 / n, where n is the number
    of instances behind the shares (``layers["n"]``), or their sum when the parts are counts.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> types = pd.DataFrame({"subject_id": ["P01", "P02"], "T": [10.0, 40.0], "B": [30.0, 40.0], "M": [60.0, 20.0]})
    >>> cohort = link(toy_study(), types=types, unit="subject")
    >>> transform_composition(cohort, "types").assays["types"].X.round(2).tolist()
    [[-0.96, 0.14, 0.83], [0.23, 0.23, -0.46]]
    """
    import numpy as np

    check_choice("method", method, METHODS)
    if assay not in cohort.assays:
        raise DatasetNotFoundError(f"the cohort has no assay {assay!r}; {closest(assay, cohort.assays)}")
    adata = cohort.assays[assay].copy()
    names = list(adata.var_names) if features is None else list(features)
    strange = [name for name in names if name not in adata.var_names]
    if strange:
        raise DatasetNotFoundError(f"{assay!r} has no {some(strange)}; {closest(strange[0], adata.var_names)}")
    places = adata.var_names.get_indexer(names)
    parts = np.asarray(adata.X[:, places], dtype=float)
    if len(names) < 2 or (parts < 0).any():
        told = "one part" if len(names) < 2 else f"negative values in {some(np.array(names)[(parts < 0).any(axis=0)])}"
        raise DataError(f"a composition has two or more parts that are not negative; found {told}")
    total = parts.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = parts / np.where(total > 0, total, np.nan)
    counts = np.where(total > 1.5, total, np.asarray(adata.layers["n"])[:, places].max(axis=1, keepdims=True))
    zeros = shares == 0
    if method == "clr":
        least = np.where(zeros, 0.5 / np.maximum(counts, 1), 0)
        filled = np.where(zeros, least, shares * (1 - least.sum(axis=1, keepdims=True)))
        logs = np.log(filled)
        values = logs - logs.mean(axis=1, keepdims=True)
    else:
        values = np.arcsin(np.sqrt(shares)) if method == "arcsine" else shares
    adata.layers["before"] = adata.X.copy()
    adata.X[:, places] = values
    adata.var.loc[names, "unit"] = UNITS[method]
    told_zeros = int(zeros.sum()) if method == "clr" else 0
    notes = {"method": method, "parts": names, "n_zeros": told_zeros, "n_missing": int(np.isnan(values).any(1).sum())}
    adata.uns[ATTRS] = {**dict(adata.uns.get(ATTRS, {})), "composition": notes}
    record("transform_composition", study=cohort.name, assay=assay, **notes)
    return replace(cohort, assays={**cohort.assays, assay: adata})
