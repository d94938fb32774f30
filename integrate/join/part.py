"""One source on its way into a cohort: its rows as found, as identified, and as used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError
from integrate.join.alignment import AssayAlignment
from integrate.join.identify import Identified, Registry, describe_unmatched, identify_rows
from integrate.join.read import read_rows
from integrate.join.reduce import Step
from integrate.join.rows import Rows
from integrate.join.units import own_level, study_units
from integrate.join.visit import VisitRows, rows_of_visit
from integrate.keys import LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

__all__ = ["CLINICAL", "Part", "align_part", "check_unmatched", "read_part"]

#: Name of the source whose columns describe the units.
CLINICAL = "clinical"


@dataclass(frozen=True)
class Part:
    """One source of a link.

    Parameters
    ----------
    name
        Name in the cohort, or ``"clinical"``.
    level
        Where its rows are matched: the cohort's unit, for clinical rows perhaps a coarser level.
    steps
        How several rows become one; empty when they may not be several.
    found
        Rows as read.
    identified
        What became of their ids.
    visit
        The rows of the visit that is linked, or all of them, and what that leaves out.
    """

    name: str
    level: str
    steps: tuple[Step, ...]
    found: Rows
    identified: Identified
    visit: VisitRows

    @property
    def rows(self) -> Rows:
        """The rows in use."""
        return self.visit.rows

    @cached_property
    def counts(self) -> pd.Series[Any]:
        """Number of rows of each unit that has any."""
        import pandas as pd

        key = LEVELS[self.level]
        return self.rows.ids[key].value_counts(sort=False) if key in self.rows.ids else pd.Series(dtype=int)


def read_part(
    registry: Registry, name: str, given: Any, *, unit: str, steps: tuple[Step, ...], visit: str | None
) -> Part:
    """Return a source with its rows read, identified, and taken at the visit.

    Parameters
    ----------
    registry
        The study's ids.
    name
        Name in the cohort.
    given
        Dataset name, AnnData, several of them, or a table.
    unit
        Level of the cohort.
    steps
        Declared reductions.
    visit
        Declared visit, or ``None`` for all rows. Clinical rows describe people, not a visit: all are used.
    """
    study = registry.study
    found = read_rows(study, name, given)
    level = own_level(found, unit) if name == CLINICAL else unit
    identified = identify_rows(found, registry, units=study_units(study, level).index, unit=level)
    all_of_them = visit is None or name == CLINICAL
    used = VisitRows(identified.rows) if all_of_them else rows_of_visit(identified.rows, study, str(visit), unit=unit)
    return Part(name, level, steps, found, identified, used)


def check_unmatched(parts: Iterable[Part], registry: Registry) -> None:
    """Raise when rows belong to no unit of the study.

    Raises
    ------
    AlignmentError
        Listing them for every source.
    """
    told = [
        describe_unmatched(part.name, part.identified, registry, unit=part.level, total=len(part.found.labels))
        for part in parts
        if part.identified.unmatched
    ]
    if told:
        raise AlignmentError(
            "\n".join(told) + '\ncorrect the ids, declare a rule in the catalog, or pass unmatched="drop" to leave them'
            " out; they are then listed in the report"
        )


def align_part(
    part: Part, units: pd.DataFrame, reasons: Mapping[str, int], varying: Mapping[str, tuple[str, ...]], expected: str
) -> AssayAlignment:
    """Return what happened to one source.

    Parameters
    ----------
    part
        The source.
    units
        All units of the cohort.
    reasons
        Number of units per reason why there is no row.
    varying
        Clinical variables with several values in a unit.
    expected
        Cardinality that was declared.
    """
    counts, key = part.counts, LEVELS[part.level]
    repeated = tuple(str(owner) for owner in counts.index[counts > 1])
    owner = units.get(key, units.index.to_series())
    without = units.index[~owner.isin(counts.index).to_numpy()]
    return AssayAlignment(
        assay=part.name,
        source=part.found.source,
        level=part.found.level,
        rows=len(part.found.labels),
        ids=len(counts) + len(part.identified.unmatched),
        matched=len(units) - len(without),
        without_rows=tuple(map(str, without)),
        unmatched=part.identified.unmatched,
        repeated=repeated,
        most=int(counts.max()) if len(counts) else 0,
        expected=expected,
        cardinality=f"{'m' if repeated else '1'}:{'m' if key in units else '1'}",
        reduction="; ".join(step.label for step in part.steps),
        converted=dict(part.identified.converted),
        reasons=dict(reasons),
        varying=varying,
        superseded=part.visit.superseded,
        outside_window=part.visit.outside,
        notes=part.rows.notes,
    )
