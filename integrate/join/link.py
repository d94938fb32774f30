"""The link: measurements, molecular and clinical rows of the same people, one row per unit, nothing lost unlisted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, ParameterError, UnitError, closest, some
from integrate.join.alignment import AlignmentReport, AssayAlignment
from integrate.join.climb import climb
from integrate.join.cohort import MISSING_REASONS, Cohort
from integrate.join.describe import clinical_table, describe_units
from integrate.join.identify import Identified, Registry, describe_unmatched, identify_rows
from integrate.join.reduce import Step, parse_reduce
from integrate.join.rows import Rows, read_rows
from integrate.join.visit import VisitRows, check_visit, rows_of_visit
from integrate.keys import ATTRS, ID_COLUMNS, LEVELS, SUBJECT_ID
from integrate.model.provenance import hash_array, record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.model.study import Study

__all__ = ["link"]

#: Levels a cohort may have.
UNITS: tuple[str, ...] = ("subject", "specimen", "acquisition")
CARDINALITIES: tuple[str, ...] = ("1:1", "m:1")
#: Words that name something else in a cohort.
RESERVED: frozenset[str] = frozenset({"clinical", "missing_reason", "assay", "obs"})


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
        What one row of the cohort is: ``"subject"``, ``"specimen"`` or ``"acquisition"``.
    reduce
        Per assay, how several rows of a unit become one: ``"mean"``, ``"median"``, `Quantile`, `Fraction`,
        `Composition`, a list of them, or `Steps` for a climb in which the units of a middle level weigh equally.
        Required where an assay has more rows than units. ``"clinical"`` reduces numeric clinical variables that vary.
    validate
        Expected cardinality, rows : units, per assay or for all: ``"1:1"`` or ``"m:1"``. Not checked when absent.
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
    A `Cohort` whose rows are all units of the study, in its order, also those without any assay.

    Raises
    ------
    UnitError
        If an assay has more rows than units and `reduce` does not say how they become one, or is coarser than the unit,
        or the study has no such unit.
    AlignmentError
        If rows belong to no unit of the study, or a cardinality is not as expected.
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
    named = {**assays, **({"clinical": clinical} if clinical is not None else {})}
    steps = _check_arguments(unit, reduce or {}, validate, unmatched, assays, named)
    units = study_units(study, unit)
    if not len(units):
        raise UnitError(f"{study.name!r} has no {unit}s; choose another unit, or declare {LEVELS[unit]} in the catalog")
    if visit is not None:
        check_visit(study, visit)
    registry = Registry(study)
    found = {name: read_rows(study, name, given) for name, given in named.items()}
    levels = {name: own_level(rows, unit) if name == "clinical" else unit for name, rows in found.items()}
    identified = {
        name: identify_rows(rows, registry, units=study_units(study, levels[name]).index, unit=levels[name])
        for name, rows in found.items()
    }
    if unmatched == "raise":
        _raise_unmatched(identified, registry, found, levels)
    at_visit = {
        name: VisitRows(one.rows)
        if visit is None or name == "clinical"
        else rows_of_visit(one.rows, study, visit, unit=unit)
        for name, one in identified.items()
    }
    identified = {name: replace(one, rows=at_visit[name].rows) for name, one in identified.items()}
    _check_cardinality(identified, steps, validate, unit)
    linked = {
        name: climb(one.rows, steps.get(name, ()), units.index, unit=unit)
        for name, one in identified.items()
        if name != "clinical"
    }
    reasons = _missing_reasons(study, units, unit, {name: identified[name] for name in linked}, at_visit)
    obs, varying = _described(study, units, unit, clinical, identified, steps, levels)
    parts = tuple(
        _alignment(name, one, found[name], units, levels[name], steps.get(name, ()), reasons, varying, at_visit[name])
        for name, one in identified.items()
    )
    cohort = Cohort(
        name=study.name,
        unit=unit,
        obs=obs,
        assays={name: _to_anndata(rows, obs, unit) for name, rows in linked.items()},
        report=AlignmentReport(study.name, unit, len(units), parts, _study_notes(study, units, unit, visit)),
        missing_reason=reasons,
    )
    _record(cohort, clinical)
    return cohort


def study_units(study: Study, unit: str) -> pd.DataFrame:
    """Return every unit of the study, in its order: index its id, columns its parents' ids."""
    import pandas as pd

    key = LEVELS[unit]
    if unit == "subject":
        return pd.DataFrame(index=study.subjects.index.rename(key))
    table = study.specimens if unit == "specimen" else study.acquisitions
    known = table[table[SUBJECT_ID].isin(study.subjects.index)]
    columns = [column for column in ID_COLUMNS if column in known and known[column].notna().any()]
    return known[columns].rename_axis(key)


def own_level(rows: Rows, unit: str) -> str:
    """Return the level at which rows describe units: the unit's, or the finest coarser one whose ids they carry."""
    order = list(LEVELS)[: list(LEVELS).index(unit) + 1]
    carried = [level for level in order if LEVELS[level] in rows.ids and rows.ids[LEVELS[level]].notna().any()]
    return carried[-1] if carried else unit


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
    expected = validate if isinstance(validate, Mapping) else dict.fromkeys(named, validate) if validate else {}
    for argument, given in (("reduce", reduce), ("validate", expected)):
        for name in given:
            if name not in named:
                raise ParameterError(f"{argument} names {name!r}, which is not linked; {closest(name, named)}")
    for name, cardinality in expected.items():
        if cardinality not in CARDINALITIES:
            raise ParameterError(f"validate of {name!r} is {cardinality!r}; write '1:1' or 'm:1' (rows : units)")
    return {name: parse_reduce(declared, unit=unit, where=name) for name, declared in reduce.items()}


def _raise_unmatched(
    identified: Mapping[str, Identified], registry: Registry, found: Mapping[str, Rows], levels: Mapping[str, str]
) -> None:
    told = [
        describe_unmatched(name, one, registry, unit=levels[name], total=len(found[name].labels))
        for name, one in identified.items()
        if one.unmatched
    ]
    if told:
        raise AlignmentError(
            "\n".join(told) + '\ncorrect the ids, declare a rule in the catalog, or pass unmatched="drop" to leave them'
            " out; they are then listed in the report"
        )


def _check_cardinality(
    identified: Mapping[str, Identified],
    steps: Mapping[str, tuple[Step, ...]],
    validate: Mapping[str, str] | str | None,
    unit: str,
) -> None:
    undeclared, unexpected = [], []
    for name, one in identified.items():
        counts = _rows_per_unit(one.rows, unit)
        several = counts[counts > 1]
        expected = validate if isinstance(validate, str) else (validate or {}).get(name)
        if expected == "1:1" and len(several):
            unexpected.append(
                f"{name!r} has {int(counts.sum())} rows for {len(counts)} {unit}s, expected one each; "
                f"several in {some(several.index)}"
            )
        if len(several) and name not in steps and name != "clinical":
            undeclared.append(_undeclared(name, one.rows, counts, unit))
    if unexpected:
        raise AlignmentError("\n".join(unexpected))
    if undeclared:
        raise UnitError("\n".join(undeclared))


def _undeclared(name: str, rows: Rows, counts: pd.Series[Any], unit: str) -> str:
    what = f"{rows.level}s" if rows.level else "rows"
    text = (
        f"{name!r} has {int(counts.sum())} rows ({what}) for {len(counts)} {unit}s, up to {int(counts.max())} each; "
        f"say how they become one: reduce={{{name!r}: 'mean'}} weighs every row equally"
    )
    for middle in ("acquisition", "specimen"):
        ids = rows.ids.get(LEVELS[middle])
        if ids is not None and ids.notna().all() and len(counts) < ids.nunique() < len(ids):
            text += f", reduce={{{name!r}: Steps({middle}='mean', {unit}='mean')}} weighs every {middle} equally"
            break
    return text


def _rows_per_unit(rows: Rows, unit: str) -> pd.Series[Any]:
    """Return the number of rows of each unit that has any."""
    import pandas as pd

    key = LEVELS[unit]
    return rows.ids[key].value_counts(sort=False) if key in rows.ids else pd.Series(dtype=int)


def _described(
    study: Study,
    units: pd.DataFrame,
    unit: str,
    clinical: str | None,
    identified: Mapping[str, Identified],
    steps: Mapping[str, tuple[Step, ...]],
    levels: Mapping[str, str],
) -> tuple[pd.DataFrame, Mapping[str, tuple[str, ...]]]:
    """Return parents' ids and clinical variables of every unit, and where a variable varies."""
    if clinical is None:
        return units.copy(), {}
    one = identified["clinical"].rows
    table = clinical_table(study, clinical).take(one.origin)
    described = describe_units(table, one, units, unit=unit, level=levels["clinical"], steps=steps.get("clinical", ()))
    obs = units.join(described.frame)
    obs.attrs[ATTRS] = described.frame.attrs[ATTRS]
    return obs, described.varying


def _missing_reasons(
    study: Study,
    units: pd.DataFrame,
    unit: str,
    identified: Mapping[str, Identified],
    at_visit: Mapping[str, VisitRows],
) -> pd.DataFrame:
    """Return why each unit has no row in each assay; ``""`` where it has one."""
    import pandas as pd

    _, not_acquired, not_measured, nothing_found, unmatched, outside, _, superseded = MISSING_REASONS
    key = LEVELS[unit]
    subject = units[SUBJECT_ID] if SUBJECT_ID in units else units.index.to_series()
    table = pd.DataFrame(index=units.index)
    for name, one in identified.items():
        why = pd.Series(not_acquired, index=units.index, dtype=object)
        why[units.index.isin(_listed_units(study, one.rows, key))] = not_measured
        why[units.index.isin([ids[key] for ids in one.rows.empty if key in ids])] = nothing_found
        why[subject.isin(one.dropped_subjects)] = unmatched
        why[units.index.isin(at_visit[name].outside_units)] = outside
        why[units.index.isin(at_visit[name].superseded_units)] = superseded
        why[units.index.isin(_rows_per_unit(one.rows, unit).index)] = ""
        table[name] = why
    return table


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


def _alignment(
    name: str,
    one: Identified,
    found: Rows,
    units: pd.DataFrame,
    level: str,
    steps: tuple[Step, ...],
    reasons: pd.DataFrame,
    varying: Mapping[str, tuple[str, ...]],
    at_visit: VisitRows,
) -> AssayAlignment:
    """Return what happened to one source; `level` is where its rows were matched, the unit's or a coarser one."""
    counts = _rows_per_unit(one.rows, level)
    repeated = tuple(str(owner) for owner in counts.index[counts > 1])
    owner = units.get(LEVELS[level], units.index.to_series())
    without = units.index[~owner.isin(counts.index).to_numpy()]
    why = reasons[name].tolist() if name in reasons else []
    return AssayAlignment(
        assay=name,
        source=found.source,
        level=found.level,
        rows=len(found.labels),
        ids=len(counts) + len(one.unmatched),
        matched=len(units) - len(without),
        without_rows=tuple(map(str, without)),
        unmatched=one.unmatched,
        repeated=repeated,
        most=int(counts.max()) if len(counts) else 0,
        cardinality=f"{'m' if repeated else '1'}:{'m' if LEVELS[level] in units else '1'}",
        reduction="; ".join(step.label for step in steps),
        converted=dict(one.converted),
        reasons={reason: why.count(reason) for reason in MISSING_REASONS[1:] if reason in why},
        varying=varying if name == "clinical" else {},
        superseded=at_visit.superseded,
        outside_window=at_visit.outside,
        notes=one.rows.notes,
    )


def _study_notes(study: Study, units: pd.DataFrame, unit: str, visit: str | None) -> tuple[str, ...]:
    notes = []
    if visit is not None:
        day, before, after = study.visits.loc[visit]
        event = study.declared.get("index_event", "the index event")
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
        uns={ATTRS: {"assay": rows.name, "unit": unit, "source": rows.source}},
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
