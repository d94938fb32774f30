"""The provenance of a number: the files it was made of, the steps between, and what the column means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.errors import ParameterError
from integrate.keys import ATTRS
from integrate.model.trace import Trace, merged, trace_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Provenance", "provenance"]


@dataclass(frozen=True, eq=False)
class Provenance:
    """The story of an object, or of one column of it, back to files.

    Parameters
    ----------
    name
        What it is the story of.
    features
        One row per column: unit, level, definition, tool, hashes of settings and inputs; empty for an image.
    steps
        What was done, in order: ``step, tool, settings, settings_hash``.
    sources
        The files: ``catalog, entry, parameters, reader, location, sha256, bytes``, one row each.
    """

    name: str
    features: pd.DataFrame
    steps: pd.DataFrame
    sources: pd.DataFrame

    def __str__(self) -> str:
        lines = [self.name]
        for feature, row in self.features.head(5).iterrows():
            unit = f" [{row['unit']}]" if row.get("unit") else ""
            lines.append(f"  is {feature}{unit}: {row.get('definition') or 'no definition'}")
        if len(self.features) > 5:
            lines.append(f"  … and {len(self.features) - 5} more columns")
        lines += [f"  by {row['step']}, {row.get('tool', '')}" for _, row in self.steps.iterrows()]
        lines += [f"  from {_told(row)}" for _, row in self.sources.head(5).iterrows()]
        if len(self.sources) > 5:
            lines.append(f"  … and {len(self.sources) - 5} more files")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from integrate.model.html import card, table

        parts = [table(frame, max_rows=8) for frame in (self.features, self.steps, self.sources) if len(frame)]
        return card(f"Provenance · {self.name}", *parts, subtitle=f"{len(self.sources)} files")


def _told(source: pd.Series[Any]) -> str:
    import pandas as pd

    dataset = ": ".join(str(source[key]) for key in ("catalog", "entry") if source.get(key))
    digest = source.get("sha256")
    named = f"sha256 {digest[:12]}…" if isinstance(digest, str) else "not hashed"
    location = source.get("location")
    return f"{dataset or source.get('reader')}, {location if not pd.isna(location) else ''}, {named}"


def provenance(made: Any, name: str | None = None) -> Provenance:
    """Tell where an object comes from, or one variable of a cohort or table.

    Parameters
    ----------
    made
        A cohort, a table of measurements, an image, labels, or a table of the study.
    name
        A feature or clinical variable; the whole object by default.

    Returns
    -------
    Provenance
        Columns, steps and files. An object that no reader or verb of this package made has no files: it says so with
        empty tables. The files are hashed now where that was not done yet.

    Raises
    ------
    DatasetNotFoundError, ParameterError
        If the object has no such variable.

    Examples
    --------
    >>> study = ig.datasets.toy_study()
    >>> tables = [ig.measure(field, ig.segment_nuclei(field, channels="DNA")) for field in study.each("fields")]
    >>> cohort = ig.link(study, cells=tables, clinical="clinical", unit="subject", reduce={"cells": "mean"})
    >>> story = ig.provenance(cohort, "CD8_mean")
    >>> len(story.sources), story.steps["step"].tolist()
    (4, ['segment_nuclei', 'measure'])
    >>> ig.provenance(cohort, "age").sources["location"].tolist()
    ['clinical.csv']
    """
    if hasattr(made, "assays") and hasattr(made, "find"):
        return _of_cohort(made, name)
    var: Any = getattr(made, "var", None)
    is_table = hasattr(made, "obs") and hasattr(var, "columns")
    if name is not None and (not is_table or name not in var.index):
        raise ParameterError(f"{type(made).__name__} has no variable {name!r}; give a cohort or a table that has it")
    chosen = None if not is_table else var if name is None else var.loc[[name]]
    return _provenance(name or type(made).__name__, chosen, trace_of(made))


def _of_cohort(cohort: Any, name: str | None) -> Provenance:
    if name is None:
        told = [trace_of(cohort.obs), *(trace_of(assay) for assay in cohort.assays.values())]
        return _provenance(f"cohort {cohort.name}", cohort.features, merged(told))
    assay, feature = cohort.find(name)
    if assay:
        adata = cohort.assays[assay]
        return _provenance(f"{assay}/{feature}", adata.var.loc[[feature]], trace_of(adata))
    import pandas as pd

    columns = cohort.obs.attrs.get(ATTRS, {}).get("columns", {})
    said = dict(columns.get(feature, {}))
    row = {"unit": said.get("unit", ""), "definition": said.get("description", f"column {feature}")}
    return _provenance(feature, pd.DataFrame([row], index=[feature]), trace_of(cohort.obs))


def _provenance(name: str, features: pd.DataFrame | None, trace: Trace) -> Provenance:
    import pandas as pd

    def frame(entries: Sequence[Any]) -> pd.DataFrame:
        return pd.DataFrame([dict(entry) for entry in entries])

    return Provenance(name, pd.DataFrame() if features is None else features, frame(trace.steps), frame(trace.sources))
