"""The cardinality of a source: how many rows a unit may have, as declared, and whether that is so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from integrate.errors import AlignmentError, ParameterError, UnitError, some
from integrate.join.part import CLINICAL, Part
from integrate.keys import LEVELS

__all__ = ["check_cardinality", "expected_cardinality"]

ONE, MANY = "1:1", "m:1"


def expected_cardinality(part: Part, validate: Mapping[str, str] | str | None, *, declared_level: str) -> str:
    """Return what was declared for one source, rows : units.

    Parameters
    ----------
    part
        The source.
    validate
        The argument of `link`; what it says of a source counts.
    declared_level
        Level of the rows as the catalog declares it, ``""`` when it says nothing.

    Returns
    -------
    ``"m:1"`` where a reduction is declared, or clinical rows are declared to be of another level than the one at which
    they describe units; else ``"1:1"``.

    Raises
    ------
    ParameterError
        If `validate` says something else.
    """
    given = validate if isinstance(validate, str) else (validate or {}).get(part.name)
    if given is None:
        finer = part.name == CLINICAL and declared_level not in ("", part.level)
        return MANY if part.steps or finer else ONE
    if given not in (ONE, MANY):
        raise ParameterError(f"validate of {part.name!r} is {given!r}; write '1:1' or 'm:1' (rows : units)")
    return given


def check_cardinality(parts: Sequence[Part], expected: Mapping[str, str], unit: str) -> None:
    """Raise when units have more rows than declared, for every source at once.

    Raises
    ------
    AlignmentError
        If a source that was declared ``"1:1"`` has several rows of a unit.
    UnitError
        If it was not said how several rows become one.
    """
    unexpected, undeclared = [], []
    for part in parts:
        several = part.counts[part.counts > 1]
        if not len(several):
            continue
        if part.name != CLINICAL and not part.steps:
            undeclared.append(_undeclared(part, unit))
        elif expected[part.name] == ONE:
            unexpected.append(
                f"{part.name!r} has {int(part.counts.sum())} rows for {len(part.counts)} {part.level}s, expected one "
                f"each; several in {some(several.index)}; correct it, or say validate={{{part.name!r}: 'm:1'}}"
            )
    if unexpected:
        raise AlignmentError("\n".join([*unexpected, *undeclared]))
    if undeclared:
        raise UnitError("\n".join(undeclared))


def _undeclared(part: Part, unit: str) -> str:
    rows, counts, name = part.rows, part.counts, part.name
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
