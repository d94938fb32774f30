"""The link: measurements, molecular and clinical rows of the same people, one row per unit, nothing lost unlisted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrate.errors import ParameterError, UnitError, closest
from integrate.join.absence import count_reasons, missing_reasons
from integrate.join.alignment import AlignmentReport
from integrate.join.cardinality import check_cardinality, expected_cardinality
from integrate.join.climb import climb
from integrate.join.cohort import Cohort
from integrate.join.describe import clinical_table, describe_units
from integrate.join.identify import Registry
from integrate.join.part import CLINICAL, Part, align_part, check_unmatched, read_part
from integrate.join.reduce import Step, parse_reduce
from integrate.join.rows import Rows
from integrate.join.units import UNITS, study_units
from integrate.join.visit import check_visit
from integrate.keys import ACQUISITION_ID, ATTRS, ID_COLUMNS, LEVELS, SUBJECT_ID
from integrate.model.days import event_name
from integrate.model.progress import follow
from integrate.model.provenance import hash_array, record
from integrate.model.trace import TRACE

if TYPE_CHECKING:
    import pandas as pd

    from integrate.model.study import Study

__all__ = ["link"]

#: Words that name something else in a cohort.
RESERVED: frozenset[str] = frozenset({CLINICAL, "missing_reason", "assay", "obs"})


def link(
    study: Study,
    *,
    unit: str,
    reduce: Mapping[str, Any] | None = None,
    validate: Mapping[str, str] | str | None = None,
    unmatched: str = "raise",
    clinical: str | None = None,
    visit: str | None = None,
    **assays: Any,
) -> Cohort:
    """Return every unit of the study with its measurements, molecular profiles and clinical variables.

    Parameters
    ----------
    study
        What `open_study` returns.
    unit
        What one row of the cohort is: ``"subject"``, ``"specimen"``, ``"acquisition"`` or ``"region"``.
    reduce
        Per assay, how several rows of a unit become one: ``"mean"``, ``"median"``, `Quantile`, `Fraction`,
        `Composition`, a list of them, or `Steps` for a climb in which the units of a middle level weigh equally.
        Required where an assay has more rows than units. ``"clinical"`` reduces numeric clinical variables that vary.
    validate
        Expected cardinality, rows : units, per source or for all: ``"1:1"`` or ``"m:1"``. It is always checked: an
        assay that `reduce` does not name is expected to be ``"1:1"``, one that it names ``"m:1"``; clinical rows are
        ``"1:1"`` unless the catalog declares that they are of another level, or `reduce` names them.
    unmatched
        ``"raise"``, or ``"drop"`` to leave out rows that belong to no unit of the study and list them in the report.
    clinical
        Table dataset whose columns describe the units. A variable of a coarser level is repeated; one of a finer
        level is taken where the unit has one value of it, else it is missing and listed in the report.
    visit
        A visit of the study section: of each assay the rows of the day nearest to it are used, if any lies in its
        window. The others are listed in the report, and who has none has the reason ``"outside window"``.
    assays
        Name of the assay in the cohort = a dataset name, an AnnData (for example of `measure`), several AnnData, or a
        table with id columns. Ids may be spelled as in any source of the study.

    Returns
    -------
    A `Cohort` whose rows are all units of the study, in its order, also those without any assay. Where the unit is an
    acquisition or a part of one, its variables include what is known of how that was made: ``device``, ``batch``,
    ``spacing_x`` … (`Study.acquisitions`), so that `harmonise` can take the device out.

    Raises
    ------
    UnitError
        If an assay has more rows than units and `reduce` does not say how they become one, or is coarser than the unit,
        or the study has no such unit.
    AlignmentError
        If rows belong to no unit of the study, or units have more rows than expected.
    IdentityError
        If ids are duplicated or contradict each other.
    ParameterError
        If an argument has a value that has no meaning.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> cells = pd.DataFrame({"acquisition_id": ["f1", "f2", "f3"], "CD8": [40.0, 80.0, 120.0]})
    >>> cohort = link(toy_study(), cells=cells, clinical="clinical", unit="subject", reduce={"cells": "mean"})
    >>> cohort.values("CD8").tolist()
    [40.0, 100.0, nan]
    >>> cohort.report["cells"].without_rows
    ('P03',)
    """
    named = {**assays, **({CLINICAL: clinical} if clinical is not None else {})}
    steps = _check_arguments(unit, reduce or {}, validate, unmatched, assays, named)
    units = study_units(study, unit)
    if not len(units):
        raise UnitError(f"{study.name!r} has no {unit}s; choose another unit, or declare {LEVELS[unit]} in the catalog")
    if visit is not None:
        check_visit(study, visit)
    registry = Registry(study)
    parts = [
        read_part(registry, name, given, unit=unit, steps=steps.get(name, ()), visit=visit)
        for name, given in follow(named.items(), "link", unit="source")
    ]
    if unmatched == "raise":
        check_unmatched(parts, registry)
    expected = {
        part.name: expected_cardinality(part, validate, declared_level=_declared_level(study, part)) for part in parts
    }
    check_cardinality(parts, expected, unit)
    measured = [part for part in parts if part.name != CLINICAL]
    reasons = missing_reasons(study, units, measured)
    obs, varying = _described(study, units, unit, clinical, parts)
    variables = {CLINICAL: varying}
    aligned = tuple(
        align_part(part, units, count_reasons(reasons, part.name), variables.get(part.name, {}), expected[part.name])
        for part in parts
    )
    cohort = Cohort(
        name=study.name,
        unit=unit,
        obs=obs,
        assays={
            part.name: _to_anndata(climb(part.rows, part.steps, units.index, unit=unit), obs, unit)
            for part in follow(measured, "reduce", unit="assay")
        },
        report=AlignmentReport(study.name, unit, len(units), aligned, _study_notes(study, units, unit, visit)),
        missing_reason=reasons,
    )
    _record(cohort, clinical)
    return cohort


def _check_arguments(
    unit: str,
    reduce: Mapping[str, Any],
    validate: Mapping[str, str] | str | None,
    unmatched: str,
    assays: Mapping[str, Any],
    named: Mapping[str, Any],
) -> dict[str, tuple[Step, ...]]:
    """Return the declared steps per assay."""
    if unit not in UNITS:
        raise UnitError(f"no unit {unit!r}; {closest(unit, UNITS)}")
    if unmatched not in ("raise", "drop"):
        raise ParameterError(f"unmatched={unmatched!r}; write 'raise' or 'drop'")
    for name in assays:
        if name in RESERVED or not name.isidentifier():
            raise ParameterError(f"an assay cannot be called {name!r}; choose another name of letters, digits and _")
    for argument, given in (("reduce", reduce), ("validate", validate if isinstance(validate, Mapping) else {})):
        for name in given:
            if name not in named:
                raise ParameterError(f"{argument} names {name!r}, which is not linked; {closest(name, named)}")
    return {name: parse_reduce(declared, unit=unit, where=name) for name, declared in reduce.items()}


def _declared_level(study: Study, part: Part) -> str:
    """Return the level that the catalog declares for a source; nothing for an object that was given."""
    return study.dataset(part.found.source).level if part.found.source in study.datasets else ""


def _described(
    study: Study, units: pd.DataFrame, unit: str, clinical: str | None, parts: Sequence[Part]
) -> tuple[pd.DataFrame, Mapping[str, tuple[str, ...]]]:
    """Return parents' ids and clinical variables of every unit, and where a variable varies."""
    if clinical is None:
        return _with_records(study, units.copy(), unit), {}
    part = next(part for part in parts if part.name == CLINICAL)
    table = clinical_table(study, clinical).take(part.rows.origin)
    described = describe_units(table, part.rows, units, unit=unit, level=part.level, steps=part.steps)
    obs = _with_records(study, units.join(described.frame), unit)
    obs.attrs[ATTRS] = {**described.frame.attrs[ATTRS], TRACE: part.rows.trace}
    return obs, described.varying


def _with_records(study: Study, obs: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Return the units with how their acquisition was made; a clinical variable of the same name stays."""
    if study.made is None or (unit != "acquisition" and ACQUISITION_ID not in obs):
        return obs
    made = study.made[[name for name in study.made if name not in obs]]
    return obs.join(made) if unit == "acquisition" else obs.join(made, on=ACQUISITION_ID)


def _study_notes(study: Study, units: pd.DataFrame, unit: str, visit: str | None) -> tuple[str, ...]:
    notes = []
    if visit is not None:
        day, before, after = study.visits.loc[visit]
        event = event_name(study.declared)
        notes.append(f"visit {visit!r}: day {day} (-{before} to +{after}) since {event}")
    if unit == "subject":
        return tuple(notes)
    without = [subject for subject in study.subjects.index if subject not in set(units[SUBJECT_ID])]
    if without:
        notes.append(f"{len(without)} subjects have no {unit}: {', '.join(map(str, without))}")
    return tuple(notes)


def _to_anndata(rows: Rows, obs: pd.DataFrame, unit: str) -> Any:
    import anndata as ad
    import pandas as pd

    key = LEVELS[unit]
    owners = pd.Index(rows.ids.get(key, []), dtype=object, name=key)
    parents = obs.loc[owners, [column for column in ID_COLUMNS if column in obs]]
    beside = rows.columns.drop(columns=parents.columns, errors="ignore").set_axis(owners)
    return ad.AnnData(
        rows.values,
        obs=pd.concat([parents, beside], axis=1),
        var=rows.var,
        layers={"n": rows.n, **rows.counts},
        uns={ATTRS: {"assay": rows.name, "unit": unit, "source": rows.source, TRACE: rows.trace}},
    )


def _record(cohort: Cohort, clinical: str | None) -> None:
    record(
        "link",
        study=cohort.name,
        unit=cohort.unit,
        units=len(cohort.obs),
        clinical=clinical,
        assays={
            name: {
                "source": cohort.report[name].source,
                "matched": cohort.report[name].matched,
                "left_out": cohort.report[name].unmatched_rows,
                "reduction": cohort.report[name].reduction,
                "values": hash_array(adata.X),
            }
            for name, adata in cohort.assays.items()
        },
    )
