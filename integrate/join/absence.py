"""Absence: why a unit has no row in an assay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from integrate.join.part import Part
from integrate.join.rows import Rows
from integrate.keys import LEVELS, SUBJECT_ID

if TYPE_CHECKING:
    import pandas as pd

    from integrate.model.study import Study

__all__ = ["MISSING_REASONS", "count_reasons", "missing_reasons"]

#: Why a unit has no row in an assay; the position is the code in `Cohort.to_xarray`. `failed QC` awaits QC.
MISSING_REASONS: tuple[str, ...] = (
    "",  # observed
    "not acquired",  # the study lists nothing of this kind for it
    "not measured",  # acquired, but the object that was linked has no row for it
    "nothing found",  # measured, and there was not a single instance
    "unmatched",  # it has rows, but their ids could not be read
    "outside window",  # acquired, but not at the visit that was linked
    "failed QC",
    "superseded",  # acquired at the visit, but another one nearer to its day is used
)


def missing_reasons(study: Study, units: pd.DataFrame, parts: Sequence[Part]) -> pd.DataFrame:
    """Return why each unit has no row in each assay; ``""`` where it has one."""
    import pandas as pd

    table = {part.name: _reasons(study, units, part) for part in parts}
    return pd.DataFrame(table, index=units.index, dtype=object)


def count_reasons(reasons: pd.DataFrame, assay: str) -> dict[str, int]:
    """Return how many units have no row for each reason."""
    why = reasons[assay].tolist() if assay in reasons else []
    return {reason: why.count(reason) for reason in MISSING_REASONS[1:] if reason in why}


def _reasons(study: Study, units: pd.DataFrame, part: Part) -> Any:
    """Return the reason of each unit; one that is said later overrules."""
    import numpy as np

    _, not_acquired, not_measured, nothing_found, unmatched, outside, _, superseded = MISSING_REASONS
    key, own = LEVELS[part.level], units.index
    subject = units[SUBJECT_ID] if SUBJECT_ID in units else own.to_series()
    why = np.full(len(units), not_acquired, dtype=object)
    why[own.isin(_listed_units(study, part.rows, key))] = not_measured
    why[own.isin([ids[key] for ids in part.rows.empty if key in ids])] = nothing_found
    why[subject.isin(part.identified.dropped_subjects).to_numpy()] = unmatched
    why[own.isin(part.visit.outside_units)] = outside
    why[own.isin(part.visit.superseded_units)] = superseded
    why[own.isin(part.counts.index)] = ""
    return why


def _listed_units(study: Study, rows: Rows, key: str) -> set[str]:
    """Return the units that the study lists in the datasets from which the rows come."""
    known = study.sample_map
    if rows.source != "given":
        return set(known.loc[known["assay"] == rows.source, key].dropna())
    finest = next((c for c in ("acquisition_id", "specimen_id") if c in rows.ids and rows.ids[c].notna().any()), None)
    if finest is None:
        return set()
    images = known[known["item"].fillna("") != ""]  # what opens item by item is what was measured
    sources = images.loc[images[finest].isin(rows.ids[finest]), "assay"].unique()
    return set(images.loc[images["assay"].isin(sources), key].dropna())
