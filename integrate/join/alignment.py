"""The alignment report: what a link found on each side, what it matched, and everything it left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from integrate.errors import some
from integrate.join.identify import Unmatched
from integrate.model.mask import shown_id

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AlignmentReport", "AssayAlignment"]

#: Sentences shown in a notebook; a link that leaves out thousands of rows has as many.
MAX_DETAILS = 40


@dataclass(frozen=True, repr=False)
class AssayAlignment:
    """How the rows of one source met the units of the study.

    Parameters
    ----------
    assay
        Name in the cohort, or ``"clinical"``.
    source
        Dataset name, or ``"given"`` for an object handed to `link`.
    level
        What one row of the source is.
    rows, ids
        Rows found, and different units they name.
    matched
        Units of the study that have a row.
    without_rows
        Units of the study that have none.
    unmatched
        Rows that belong to no unit, by id, with their number and the reason; they were left out.
    repeated
        Units with more than one row.
    most
        Rows of the unit that has most.
    expected
        Cardinality as declared, ``"1:1"`` or ``"m:1"`` (rows : units).
    cardinality
        Cardinality as found; ``"1:m"`` where clinical rows describe several units each.
    reduction
        How several rows became one; ``""`` when there was one each.
    converted
        Spellings read as one of our ids.
    reasons
        Number of units per reason why there is no row.
    varying
        For clinical variables: units in which a variable has several values, so that it is missing there.
    superseded, outside_window
        Where a visit was linked: observations of the visit that a nearer one replaces, and those outside its window.
    notes
        What else a reader should know.
    """

    assay: str
    source: str
    level: str
    rows: int
    ids: int
    matched: int
    without_rows: tuple[str, ...] = ()
    unmatched: tuple[Unmatched, ...] = ()
    repeated: tuple[str, ...] = ()
    most: int = 0
    expected: str = "1:1"
    cardinality: str = "1:1"
    reduction: str = ""
    converted: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    varying: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    superseded: tuple[str, ...] = ()
    outside_window: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def unmatched_rows(self) -> int:
        """Number of rows left out."""
        return sum(group.rows for group in self.unmatched)

    def __repr__(self) -> str:
        return f"<AssayAlignment {self.assay!r}: {self.rows} rows of {self.ids} units, {self.matched} matched>"

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> AssayAlignment:
        """Return the alignment that ``asdict`` wrote."""
        names = ("without_rows", "repeated", "superseded", "outside_window", "notes")
        lists = {name: tuple(saved.get(name, ())) for name in names}
        varying = {column: tuple(ids) for column, ids in saved["varying"].items()}
        unmatched = tuple(Unmatched(*group) for group in saved["unmatched"])
        return cls(**{**saved, **lists, "varying": varying, "unmatched": unmatched})


@dataclass(frozen=True)
class AlignmentReport:
    """What a link did, source by source.

    Parameters
    ----------
    study
        Name of the study.
    unit
        Level of the cohort's rows.
    units
        Number of them; all of the study's.
    parts
        One `AssayAlignment` per source; the clinical table last.
    notes
        What concerns the whole link.
    exclusions
        Units taken out of the cohort after the link, in the order of the steps: reason and ids.
    """

    study: str
    unit: str
    units: int
    parts: tuple[AssayAlignment, ...]
    notes: tuple[str, ...] = ()
    exclusions: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def consort(self) -> pd.DataFrame:
        """Return the flow of units as a CONSORT diagram counts it.

        Returns
        -------
        One row per step: ``step`` (``"assessed"``, a reason of exclusion, ``"analysed"``), ``n`` (units left
        after it), ``excluded`` and their ``ids``, blank-separated.
        """
        import pandas as pd

        left = self.units
        flow: list[tuple[str, int, int, str]] = [("assessed", left, 0, "")]
        for reason, ids in self.exclusions:
            left -= len(ids)
            flow.append((reason, left, len(ids), " ".join(ids)))
        flow.append(("analysed", left, 0, ""))
        return pd.DataFrame(flow, columns=["step", "n", "excluded", "ids"])

    def __getitem__(self, assay: str) -> AssayAlignment:
        """Return the part of one assay."""
        return {part.assay: part for part in self.parts}[assay]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per source: numbers of rows, units and what was left out; ids as text, blank-separated."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "assay": part.assay,
                    "source": part.source,
                    "level": part.level,
                    "rows": part.rows,
                    "ids": part.ids,
                    "matched": part.matched,
                    "units_without_rows": len(part.without_rows),
                    "rows_without_unit": part.unmatched_rows,
                    "units_repeated": len(part.repeated),
                    "most_rows": part.most,
                    "expected": part.expected,
                    "cardinality": part.cardinality,
                    "reduction": part.reduction,
                    "converted_ids": len(part.converted),
                    "varying": len(part.varying),
                    "superseded": len(part.superseded),
                    "outside_window": len(part.outside_window),
                    "left_only": " ".join(part.without_rows),
                    "right_only": " ".join(shown_id(group.id) for group in part.unmatched),
                }
                for part in self.parts
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> AlignmentReport:
        """Return the report that `to_dict` gave."""
        parts = tuple(AssayAlignment.from_dict(part) for part in saved["parts"])
        exclusions = tuple((reason, tuple(ids)) for reason, ids in saved.get("exclusions", ()))
        return cls(saved["study"], saved["unit"], saved["units"], parts, tuple(saved["notes"]), exclusions)

    def details(self) -> list[tuple[str, str]]:
        """Return ``(assay, sentence)`` for everything that is not an ordinary match."""
        excluded = [f"{len(ids)} {self.unit}s excluded, {reason}: {some(ids)}" for reason, ids in self.exclusions]
        return [(part.assay, line) for part in self.parts for line in _sentences(part, self.unit)] + [
            ("", note) for note in (*self.notes, *excluded)
        ]

    def __repr__(self) -> str:
        head = f"Alignment of {self.study!r}: {self.units} {self.unit}s"
        lines = [
            f"  {part.assay}: {part.rows} rows of {part.ids} {self.unit}s ({part.cardinality}); "
            f"{part.matched} of {self.units} {self.unit}s matched"
            for part in self.parts
        ]
        return "\n".join([head, *lines, *(f"    {assay}: {line}" for assay, line in self.details())])

    def _repr_html_(self) -> str:
        from integrate.model.flow import flow
        from integrate.model.html import badge, card, rows

        header = ("source", "rows", f"{self.unit}s", "matched", "without rows", "left out", "rows : unit", "reduction")
        body = [
            (
                part.assay,
                part.rows,
                part.ids,
                f"{part.matched} of {self.units}",
                len(part.without_rows),
                badge(part.unmatched_rows, "warn" if part.unmatched else "ok"),
                part.cardinality,
                part.reduction or "–",
            )
            for part in self.parts
        ]
        details = self.details()
        hidden = f"… and {len(details) - MAX_DETAILS} more, see details()" if len(details) > MAX_DETAILS else ""
        more = rows(("source", "in particular"), details[:MAX_DETAILS]) if details else ""
        excluded = flow(self.consort(), label=f"{self.unit}s") if self.exclusions else ""
        subtitle = f"{self.units} {self.unit}s"
        return card(f"Alignment · {self.study}", rows(header, body), excluded, more, hidden, subtitle=subtitle)


def _sentences(part: AssayAlignment, unit: str) -> list[str]:
    lines = []
    if part.reduction:
        lines.append(f"{part.reduction} (up to {part.most} rows per {unit})")
    if part.without_rows:
        why = ", ".join(f"{n} {reason}" for reason, n in part.reasons.items())
        lines.append(f"{len(part.without_rows)} {unit}s without rows ({why}): {some(part.without_rows)}")
    lines += [f"left out: {group.rows} rows of {shown_id(group.id)!r}: {group.reason}" for group in part.unmatched]
    if part.superseded:
        lines.append(f"{len(part.superseded)} superseded by one nearer to the visit: {some(part.superseded)}")
    if part.outside_window:
        lines.append(f"{len(part.outside_window)} outside the window of the visit: {some(part.outside_window)}")
    if part.converted:
        lines.append("ids converted: " + some(f"{shown_id(source)} → {own}" for source, own in part.converted.items()))
    if part.varying:
        units = sorted({one for ids in part.varying.values() for one in ids})
        lines.append(
            f"{len(part.varying)} variables vary within {unit} and are missing for the {unit}s concerned: "
            f"{some(part.varying)} in {some(units)}"
        )
    return [*lines, *part.notes]
