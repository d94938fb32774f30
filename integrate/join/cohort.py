"""The cohort: every unit of a study with what was measured, sequenced and recorded of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from integrate.errors import DatasetNotFoundError, ParameterError, closest, some
from integrate.join.absence import MISSING_REASONS
from integrate.join.alignment import AlignmentReport

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["MISSING_REASONS", "Cohort"]


@dataclass(frozen=True, eq=False)
class Cohort:
    """Every unit of a study, its clinical variables, and one matrix per assay; what `link` returns.

    Parameters
    ----------
    name
        Name of the study.
    unit
        What one row is: ``"subject"``, ``"specimen"`` or ``"acquisition"``.
    obs
        One row per unit of the study, also those without any assay; ids of the parents, then clinical variables with
        the dtype of their source.
    assays
        One AnnData per assay: rows are the units that have data, ``X`` is float64, ``layers["n"]`` counts the source
        rows behind each value (0 where it is missing), ``var`` says what each feature is.
    report
        What was matched, converted, reduced and left out.
    missing_reason
        Units × assays: ``""`` where there is a row, else why there is none; one of `MISSING_REASONS`.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> rna = pd.DataFrame({"subject_id": ["P02", "P03"], "CD8A": [7.5, 9.0]})
    >>> cohort = link(toy_study(), rna=rna, clinical="clinical", unit="subject")
    >>> cohort
    <Cohort 'toy': 3 subjects, 2 variables; rna 2 × 1>
    >>> cohort.to_pandas(layout="long")[["subject_id", "feature", "value", "n", "missing_reason"]]
      subject_id feature  value  n missing_reason
    0        P01    CD8A    NaN  0   not acquired
    1        P02    CD8A    7.5  1
    2        P03    CD8A    9.0  1
    """

    name: str
    unit: str
    obs: pd.DataFrame
    assays: Mapping[str, Any]
    report: AlignmentReport
    missing_reason: pd.DataFrame

    @cached_property
    def features(self) -> pd.DataFrame:
        """One row per feature of any assay, index ``assay/feature``; columns assay, feature, then those of ``var``."""
        import pandas as pd

        tables = [
            adata.var.assign(assay=name, feature=adata.var_names).set_axis([f"{name}/{f}" for f in adata.var_names])
            for name, adata in self.assays.items()
        ]
        if not tables:
            return pd.DataFrame(columns=["assay", "feature"], index=pd.Index([], dtype=object, name="name"))
        table = pd.concat(tables)
        return table[["assay", "feature", *(c for c in table if c not in ("assay", "feature"))]].rename_axis("name")

    def find(self, name: str) -> tuple[str, str]:
        """Return ``(assay, feature)`` of a name, or ``("", column)`` of a clinical variable.

        Parameters
        ----------
        name
            ``"cells/HER2_mean"``, ``"HER2_mean"`` or ``"PAM50"``; ``"clinical/PAM50"`` is a clinical variable for sure.

        Raises
        ------
        DatasetNotFoundError
            If nothing is called so; the closest names are given.
        ParameterError
            If several things are.
        """
        found = [("", name)] if name in self.obs else []
        found += [("", str(c)) for c in self.obs if name == f"clinical/{c}"]
        found += [(a, f) for a, f in self._names.get(name, ()) if (a, f) not in found]
        if not found:
            known = [*self.obs.columns, *self.features["feature"]]
            raise DatasetNotFoundError(f"the cohort has no variable {name!r}; {closest(name, known)}")
        if len(found) > 1:
            options = [f"{assay or 'clinical'}/{feature}" for assay, feature in found]
            raise ParameterError(f"{name!r} is the name of {len(found)} variables; write one of {some(options)}")
        return found[0]

    @cached_property
    def _names(self) -> dict[str, list[tuple[str, str]]]:
        names: dict[str, list[tuple[str, str]]] = {}
        for full, assay, feature in zip(
            self.features.index, self.features["assay"], self.features["feature"], strict=True
        ):
            for name in {full, feature}:
                names.setdefault(name, []).append((assay, feature))
        return names

    def values(self, name: str) -> pd.Series[Any]:
        """Return one variable for every unit of the cohort, missing where it was not observed.

        Parameters
        ----------
        name
            A feature (``"HER2_mean"``, ``"cells/HER2_mean"``) or a clinical variable (``"PAM50"``).

        Raises
        ------
        DatasetNotFoundError, ParameterError
            If nothing or more than one thing is called so.
        """
        import pandas as pd

        assay, feature = self.find(name)
        if not assay:
            return self.obs[feature].copy()
        adata = self.assays[assay]
        column = adata.X[:, adata.var_names.get_loc(feature)]
        return pd.Series(column, index=adata.obs_names, name=name).reindex(self.obs.index)

    def to_anndata(self) -> Any:
        """Return one AnnData of all units × all features.

        Returns
        -------
        ``X`` float64, NaN where missing; ``layers["n"]`` with 0 there; ``var`` index ``assay/feature`` with a column
        ``assay``; ``obsm["missing_reason"]``.
        """
        from integrate.join.containers import to_anndata

        return to_anndata(self)

    def to_mudata(self) -> Any:
        """Return a MuData: one modality per assay, with the rows it has.

        Returns
        -------
        ``obs`` holds the clinical variables of every unit, in the cohort's order. The modality ``clinical`` has all
        units and no features: without it MuData would drop those who have no assay. ``obsm["missing_reason"]`` as in
        `to_anndata`. Write it with `integrate.encode_columns`.
        """
        from integrate.join.containers import to_mudata

        return to_mudata(self)

    def to_xarray(self) -> xr.Dataset:
        """Return a Dataset with one variable per assay and per clinical variable.

        Returns
        -------
        Dims: the unit's id, and one ``<assay>_feature`` per assay. NaN is missing; ``<assay>_n`` counts source rows;
        ``missing_reason`` has CF flags. Text and categories are codes whose attributes hold the categories;
        `integrate.model.codec.decode_dataset` brings them back.
        """
        from integrate.join.containers import to_xarray

        return to_xarray(self)

    def to_pandas(self, *, layout: str = "wide") -> pd.DataFrame:
        """Return the cohort as one table.

        Parameters
        ----------
        layout
            ``"wide"``: one row per unit, clinical variables, then one column ``assay/feature`` per feature.
            ``"long"``: one row per unit and feature with ``assay, feature, value, n, unit, missing_reason``; what was
            not observed has its row, with NaN and the reason.

        Raises
        ------
        ParameterError
            If `layout` is neither.
        """
        from integrate.join.containers import to_long, to_wide

        layouts = {"wide": to_wide, "long": to_long}
        if layout not in layouts:
            raise ParameterError(f"no layout {layout!r}; {closest(layout, layouts)}")
        return layouts[layout](self)

    def complete(self, *assays: str) -> pd.Index[Any]:
        """Return the units that have a row in each of the named assays; in all of them when none is named."""
        chosen = self.missing_reason[list(assays) if assays else list(self.assays)]
        return self.obs.index[(chosen == "").all(axis=1).to_numpy()]

    def exclude(self, log: pd.DataFrame) -> Cohort:
        """Return the cohort without some units, with each exclusion and its reason in the report.

        Parameters
        ----------
        log
            The exclusion log: a column ``reason``, and the ids as a column named as the unit's id or as a parent's
            (``subject_id`` takes every specimen of that subject out). Reasons count in the order of the log; who is
            named under two is excluded by the first.

        Returns
        -------
        A cohort of the other units. ``report.consort()`` counts the steps; what the link matched stays as it was.

        Raises
        ------
        ParameterError
            If the log has no reason or no id column, a row lacks one, or an id is not in the cohort.
        """
        from integrate.join.exclude import exclude_units

        return exclude_units(self, log)

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the cohort as a folder of Parquet and h5ad files; the folder appears whole or not at all.

        Parameters
        ----------
        path
            Folder to make.
        overwrite
            Replace a cohort that is there.

        Raises
        ------
        FileExistsError
            If something is there already, and is not to be replaced or is no cohort.
        """
        from integrate.join.store import write_cohort

        write_cohort(self, path, overwrite=overwrite)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {a.n_obs} × {a.n_vars}" for name, a in self.assays.items()) or "no assays"
        return f"<Cohort {self.name!r}: {len(self.obs)} {self.unit}s, {self.obs.shape[1]} variables; {parts}>"

    def _repr_html_(self) -> str:
        from integrate.model.html import badge, card, rows, table
        from integrate.model.matrix import matrix
        from integrate.model.upset import upset

        observed = (self.missing_reason == "").astype(int)
        grid = matrix(observed, row_label=f"{self.unit}s", column_label="assays")
        combined = upset(observed, row_label=f"{self.unit}s", column_label="assays")
        excluded = self._flow() if self.report.exclusions else ""
        body = [
            (
                name,
                a.n_vars,
                badge(f"{a.n_obs} of {len(self.obs)}", "ok" if a.n_obs == len(self.obs) else "warn"),
                self.report[name].reduction or "one row each",
                some(a.var_names, limit=4),
            )
            for name, a in self.assays.items()
        ]
        listed = rows(("assay", "features", f"{self.unit}s", "reduction", ""), body) if body else ""
        clinical = table(self.obs, max_rows=6)
        subtitle = f"{len(self.obs)} {self.unit}s"
        return card(f"Cohort · {self.name}", listed, grid, combined, excluded, clinical, subtitle=subtitle)

    def _flow(self) -> str:
        """Return the picture of who was excluded, and what those who are left have."""
        from integrate.model.flow import flow

        have = [(name, adata.n_obs) for name, adata in self.assays.items()]
        ends = [*have, ("all of them", len(self.complete()))] if len(have) > 1 else have
        return flow(self.report.consort(), label=f"{self.unit}s", ends=ends)
