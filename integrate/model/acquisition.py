"""The record of an acquisition: what device made it, how and with which steps, as its files and its catalog say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, some
from integrate.keys import ACQUISITION_ID
from integrate.model.audit import Finding, listed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MADE", "SPACING", "Acquisition", "gather_records", "of_harvest"]

#: Steps along each axis, in the unit of the column ``spacing_unit``.
SPACING: tuple[str, ...] = ("spacing_z", "spacing_y", "spacing_x")
#: Columns in which asset tables, catalogs and studies say how an acquisition was made.
MADE: tuple[str, ...] = ("device", "software", "batch", "stain", "body_part", "channels", *SPACING, "spacing_unit")


@dataclass(frozen=True)
class Acquisition:
    """What the files of one acquisition say of how it was made; ``None`` and empty: they do not say.

    Parameters
    ----------
    modality
        DICOM code where there is one (``"CT"``, ``"SM"``), else that of the catalog.
    manufacturer, model, software
        Of the device, and of what wrote the file.
    axes, shape
        Of the array, coarser levels not counted.
    spacing
        Step along ``z``, ``y``, ``x``, as far as they are known, in `unit`.
    unit
        ``"mm"``, ``"um"`` or ``"px"``.
    channels
        Names, in order.
    stain
        Of a slide, as the catalog says.
    body_part
        As DICOM names it.
    magnification
        Of the objective.
    """

    modality: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    software: str | None = None
    axes: str = ""
    shape: tuple[int, ...] = ()
    spacing: dict[str, float] = field(default_factory=dict)
    unit: str | None = None
    channels: tuple[str, ...] = ()
    stain: str | None = None
    body_part: str | None = None
    magnification: float | None = None


def of_harvest(records: pd.DataFrame) -> pd.DataFrame:
    """Return a table of records (`integrate.harvest`) in the columns of a study.

    Parameters
    ----------
    records
        A row per item: ``dataset``, ``item`` and the fields of `Acquisition`.

    Returns
    -------
    ``assay, item`` and the columns `MADE`, but ``batch``, which no file says; missing where a file does not say.

    Raises
    ------
    ParameterError
        If a column is absent.
    """
    import pandas as pd

    absent = [c for c in ("dataset", "item", *Acquisition.__dataclass_fields__) if c not in records]
    if absent:
        raise ParameterError(f"the table of records has no columns {some(absent)}; give what integrate.harvest returns")
    makers = zip(records["manufacturer"], records["model"], strict=True)
    stepped = zip(records["unit"], records["spacing"], strict=True)
    told: dict[str, list[Any]] = {
        "assay": records["dataset"].tolist(),
        "item": records["item"].tolist(),
        "device": [" ".join(str(part) for part in parts if part) or None for parts in makers],
        "channels": [";".join(names) or None for names in records["channels"]],
        "spacing_unit": [unit if step else None for unit, step in stepped],
    }
    told |= {name: [value or None for value in records[name]] for name in ("software", "stain", "body_part")}
    told |= {f"spacing_{axis}": [step.get(axis) for step in records["spacing"]] for axis in "zyx"}
    return _typed(pd.DataFrame(told, columns=["assay", "item", *(name for name in MADE if name in told)], dtype=object))


def gather_records(
    stated: Iterable[pd.DataFrame], sample_map: pd.DataFrame
) -> tuple[pd.DataFrame | None, list[Finding]]:
    """Return how each acquisition of a study was made.

    Parameters
    ----------
    stated
        Tables with ``assay``, ``item`` and some of the columns `MADE`; what an earlier one says counts.
    sample_map
        Says which item is of which acquisition.

    Returns
    -------
    Table with those of the columns `MADE` that say anything, index ``acquisition_id``; ``None`` when none does. A
    finding for each column of which two sources say different things.

    Raises
    ------
    DataError
        If a step is no number.
    """
    import pandas as pd

    placed = sample_map.dropna(subset=[ACQUISITION_ID, "item"])[["assay", "item", ACQUISITION_ID]].drop_duplicates()
    rows = [_typed(frame).merge(placed, on=["assay", "item"]) for frame in stated if len(frame)]
    table = pd.concat(rows, ignore_index=True) if rows else placed.iloc[:0]
    said = {name: table.dropna(subset=[name]) for name in MADE if name in table}
    findings = [one for name, part in said.items() for one in _differing(part, name)]
    first = {name: part.groupby(ACQUISITION_ID)[name].first() for name, part in said.items() if len(part)}
    return (pd.DataFrame(first).rename_axis(ACQUISITION_ID) if first else None), findings


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with steps as numbers and empty texts missing."""
    import pandas as pd

    texts = {name: frame[name].where(frame[name].notna() & (frame[name] != ""), None) for name in MADE if name in frame}
    steps = {name: pd.to_numeric(texts[name], errors="coerce").astype(float) for name in SPACING if name in texts}
    for name, step in steps.items():
        wrong = texts[name][texts[name].notna() & step.isna()]
        if len(wrong):
            raise DataError(
                f"{name} of {len(wrong)} items is no number: {some(wrong.unique())}; write it without its unit"
            )
    return frame.assign(**(texts | steps))


def _differing(said: pd.DataFrame, name: str) -> list[Finding]:
    values = said[name].round(6) if name in SPACING else said[name]
    pairs = said.assign(**{name: values})[[ACQUISITION_ID, name]].drop_duplicates()
    several = pairs[ACQUISITION_ID][pairs[ACQUISITION_ID].duplicated()].unique()
    if not len(several):
        return []
    sources = " ".join(sorted(said["assay"][said[ACQUISITION_ID].isin(several)].unique()))
    text = f"{len(several)} acquisitions have two {name}, e.g. {some(several)}; what their files say first is taken"
    return [Finding("warning", "contradictory record", sources, text, listed(several))]
