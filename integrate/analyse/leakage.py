"""The audit of leakage: what a model that is tested on some units has already seen of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrate.analyse.variables import choose_variables, numbers_only
from integrate.errors import DataError, some
from integrate.keys import ATTRS, SUBJECT_ID
from integrate.model.provenance import record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["audit_leakage", "fitted_steps", "harmonised_with"]

#: Two rows whose standardised features correlate more are the same measurement.
SAME_ROW = 0.999
#: Two pictures are the same when at most this many of 256 comparisons of neighbouring cells differ.
SAME_PICTURE = 12
GRID = 16


def audit_leakage(
    cohort: Cohort,
    split: pd.Series[Any],
    *,
    x: str | Sequence[str] | None = None,
    model: Any = None,
    images: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Return what the parts of a split share that they must not.

    Parameters
    ----------
    cohort
        What `link` returned.
    split
        Part of each unit (``"train"``, ``"test"``, a fold's number), index the units' ids.
    x
        Features that will be used; rows of different parts that are nearly the same are looked for.
    model
        The estimator or pipeline; steps that are fitted already are reported.
    images
        A picture of each unit, arrays (y, x) or (y, x, channel); nearly equal ones in different parts are reported,
        also when brighter, resized or recompressed.

    Returns
    -------
    One row per finding; columns ``kind, found, ids, advice``. No row: nothing was found.

    Raises
    ------
    DataError
        If the split names no unit of the cohort, or a picture is flat.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> fields = pd.DataFrame({"acquisition_id": ["f1", "f2", "f3", "f4"], "CD8": [4.0, 8.0, 12.0, 20.0]})
    >>> cohort = link(toy_study(), fields=fields, unit="acquisition")
    >>> split = pd.Series(["train", "train", "test", "test"], index=cohort.obs.index)
    >>> print(audit_leakage(cohort, split)[["kind", "ids"]].to_string(index=False))
                        kind ids
    subject in several parts P02
    """
    import pandas as pd

    part = split.reindex(cohort.obs.index)
    if not part.notna().any():
        raise DataError("the split names no unit of the cohort; its index holds the cohort's ids")
    owner = cohort.obs.get(SUBJECT_ID, cohort.obs.index.to_series())
    findings = [*_shared_subjects(part, owner), *_seen_before(cohort, model)]
    if x is not None:
        findings += _same_rows(cohort, x, part)
    if images:
        findings += _same_pictures(images, part)
    record("audit_leakage", study=cohort.name, findings=len(findings))
    return pd.DataFrame(findings, columns=["kind", "found", "ids", "advice"])


def fitted_steps(model: Any) -> list[str]:
    """Return the names of the estimators in a model that have been fitted."""
    from sklearn.base import BaseEstimator
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    fitted = []
    steps = [step for _, step in getattr(model, "steps", [])] or ([] if model is None else [model])
    for step in steps:
        if not isinstance(step, BaseEstimator) or not any(name.endswith("_") for name in vars(step)):
            continue
        try:
            check_is_fitted(step)
        except NotFittedError:
            continue
        fitted.append(type(step).__name__)
    return fitted


def harmonised_with(cohort: Cohort) -> dict[str, list[str]]:
    """Return the assays that `harmonise` has changed, and the variables it kept."""
    notes = {name: adata.uns.get(ATTRS, {}).get("harmonise") for name, adata in cohort.assays.items()}
    return {name: list(told["keep"]) for name, told in notes.items() if told}


def _shared_subjects(part: pd.Series[Any], owner: pd.Series[Any]) -> list[tuple[str, str, str, str]]:
    parts = part.groupby(owner.to_numpy()).nunique()
    shared = parts.index[parts > 1]
    if not len(shared):
        return []
    told = f"{len(shared)} of {len(parts)} subjects"
    return [("subject in several parts", told, ", ".join(map(str, shared)), "split by subject_id")]


def _seen_before(cohort: Cohort, model: Any) -> list[tuple[str, str, str, str]]:
    found = [
        ("fitted before the split", step, "", "give an unfitted model; it is fitted inside the folds")
        for step in fitted_steps(model)
    ]
    for assay, kept in harmonised_with(cohort).items():
        told = f"assay {assay!r}" + (f", keeping {some(kept)}" if kept else "")
        found.append(("harmonised before the split", told, "", "put ComBat(batch=...) into the pipeline"))
    return found


def _same_rows(cohort: Cohort, x: str | Sequence[str], part: pd.Series[Any]) -> list[tuple[str, str, str, str]]:
    """Return pairs of rows of different parts whose features correlate almost fully."""
    import numpy as np

    values = numbers_only(choose_variables(cohort, x), "duplicates are looked for in numbers").values
    known = np.flatnonzero(~np.isnan(values).all(axis=1) & part.notna().to_numpy())
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.nanmean(values[known], axis=0)
        standard = (values[known] - centre) / np.nanstd(values[known], axis=0)
    standard = np.nan_to_num(standard)
    if standard.shape[1] < 3:
        return _identical_rows(cohort, values[known], known, part)
    length = np.sqrt((standard**2).sum(axis=1, keepdims=True))
    unit = np.divide(standard, length, out=np.zeros_like(standard), where=length > 0)
    alike = np.triu(unit @ unit.T > SAME_ROW, 1)
    ratio = length / np.maximum(length.T, 1e-300)
    return _told_pairs(cohort, alike & (np.abs(np.log(np.maximum(ratio, 1e-300))) < 0.05), known, part)


def _identical_rows(cohort: Cohort, values: Any, known: Any, part: pd.Series[Any]) -> list[tuple[str, str, str, str]]:
    import numpy as np

    alike = np.triu((values[:, None] == values).all(axis=2), 1)
    return _told_pairs(cohort, alike, known, part)


def _told_pairs(cohort: Cohort, alike: Any, known: Any, part: pd.Series[Any]) -> list[tuple[str, str, str, str]]:
    import numpy as np

    names, parts = cohort.obs.index.to_numpy()[known], part.to_numpy()[known]
    pairs = [(names[i], names[j]) for i, j in np.argwhere(alike) if parts[i] != parts[j]]
    if not pairs:
        return []
    ids = ", ".join(f"{a} = {b}" for a, b in pairs)
    return [("nearly the same row in several parts", f"{len(pairs)} pairs", ids, "keep one, or put them together")]


def _same_pictures(images: Mapping[str, Any], part: pd.Series[Any]) -> list[tuple[str, str, str, str]]:
    names = [name for name in images if name in part.index and not part.isna()[name]]
    prints = {name: _fingerprint(images[name], name) for name in names}
    pairs = [
        (a, b)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if part[a] != part[b] and int((prints[a] != prints[b]).sum()) <= SAME_PICTURE
    ]
    if not pairs:
        return []
    ids = ", ".join(f"{a} = {b}" for a, b in pairs)
    return [("nearly the same picture in several parts", f"{len(pairs)} pairs", ids, "keep one, or put them together")]


def _fingerprint(image: Any, name: str) -> Any:
    """Return whether each cell of a 16 × 16 thumbnail is brighter than its right neighbour (a difference hash)."""
    import cv2
    import numpy as np

    pixels = np.nan_to_num(np.asarray(image, dtype=np.float32))
    grey = pixels.mean(axis=2) if pixels.ndim == 3 else pixels
    if grey.ndim != 2 or np.ptp(grey) == 0:
        raise DataError(f"the picture of {name!r} has shape {pixels.shape} or one value; expected (y, x[, channel])")
    small = cv2.resize(np.ascontiguousarray(grey), (GRID + 1, GRID), interpolation=cv2.INTER_AREA)
    return (small[:, 1:] > small[:, :-1]).ravel()
