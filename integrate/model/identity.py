"""Who is who: declared rules that turn each source's spelling of an id into ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from integrate.errors import IdentityError, closest, some
from integrate.keys import ID_COLUMNS
from integrate.model.pattern import LONGEST_TEXT, SlowPatternError, compile_pattern

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["IDENTIFIER_COLUMNS", "IdRule", "id_text", "identifier_table", "parse_rules"]

IDENTIFIER_COLUMNS: tuple[str, ...] = ("namespace", "source_id", "entity", "entity_id", "rule", "source")


@dataclass(frozen=True, slots=True)
class IdRule:
    r"""How one namespace (the spelling system of one source) is read.

    Parameters
    ----------
    namespace
        Name of the spelling system, e.g. ``"dicom_patient"``.
    pattern
        Regular expression that must match a whole source id.
    ids
        Id column to template, e.g. ``{"subject_id": r"SIM-\1", "specimen_id": r"SIM-\1-S\2"}``.
    public
        Whether these spellings are published or made up. Reports show no others, see `integrate.model.mask`.

    Raises
    ------
    IdentityError
        If the pattern is not a regular expression or some text could make it slow, a template refers to a group that
        is not there, or an id column is unknown.

    Examples
    --------
    >>> rule = IdRule("slide", r"sim(\d{3})_s(\d)", {"subject_id": r"SIM-\1", "specimen_id": r"SIM-\1-S\2"})
    >>> rule.resolve("sim007_s1")
    {'subject_id': 'SIM-007', 'specimen_id': 'SIM-007-S1'}
    >>> rule.resolve("slide 7") is None
    True
    """

    namespace: str
    pattern: str
    ids: Mapping[str, str]
    public: bool = False
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            compiled = compile_pattern(self.pattern)
        except re.error as error:
            raise IdentityError(f"rule {self.namespace!r}: {self.pattern!r} is not a pattern: {error}") from error
        except SlowPatternError as error:
            raise IdentityError(f"rule {self.namespace!r}: {error}") from error
        for column, template in self.ids.items():
            if column not in ID_COLUMNS:
                raise IdentityError(f"rule {self.namespace!r}: no id named {column!r}; {closest(column, ID_COLUMNS)}")
            if any(not escaped.isdigit() for escaped in re.findall(r"\\(.?)", template)):
                raise IdentityError(f"rule {self.namespace!r}: {template!r} is not plain; write groups as \\1, \\2 …")
            if any(number > compiled.groups for number in _groups(template)):
                raise IdentityError(
                    f"rule {self.namespace!r}: {template!r} refers to a group that {self.pattern!r} does not have"
                )
        object.__setattr__(self, "_compiled", compiled)

    def resolve(self, source_id: str) -> dict[str, str] | None:
        """Return our ids for one source id, or ``None`` when the pattern does not match all of it.

        No id has more than `LONGEST_TEXT` characters: a longer one matches nothing.
        A template that refers to an optional part the source id does not have gives no id.
        """
        match = self._compiled.fullmatch(source_id) if len(source_id) <= LONGEST_TEXT else None
        if match is None:
            return None
        ids = {
            column: match.expand(template)
            for column, template in self.ids.items()
            if all(match[number] is not None for number in _groups(template))
        }
        return ids or None


def _groups(template: str) -> list[int]:
    return [int(number) for number in re.findall(r"\\(\d+)", template)]


def id_text(value: object) -> str:
    """Return an id as text; a whole number that missing neighbours turned into 7.0 is '7'.

    Examples
    --------
    >>> id_text(7.0), id_text("007")
    ('7', '007')
    """
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    integral = getattr(value, "is_integer", None)
    return str(int(value)) if integral is not None and integral() else str(value)  # type: ignore[call-overload]


def parse_rules(declared: Mapping[str, Mapping[str, Any]]) -> dict[str, IdRule]:
    """Return the rules of a catalog's ``study.identifiers``, with the identity rule of every id column.

    A source that already spells ``subject_id`` as we do needs no rule of its own.

    Raises
    ------
    IdentityError
        If a rule has no pattern or ids, or is not well formed.
    """
    rules = {column: IdRule(column, r"(?s)(.+)", {column: r"\1"}) for column in ID_COLUMNS}
    for namespace, rule in declared.items():
        if not isinstance(rule, Mapping) or not rule.get("pattern") or not rule.get("ids"):
            raise IdentityError(f"rule {namespace!r} needs `pattern` and `ids`; found {rule!r}")
        public = rule.get("public") is True
        rules[namespace] = IdRule(namespace, str(rule["pattern"]), dict(rule["ids"]), public)
    return rules


def identifier_table(rule: IdRule, source_ids: Iterable[str], *, source: str) -> pd.DataFrame:
    r"""Return how each distinct source id became ours: one row per source id and entity.

    Parameters
    ----------
    rule
        The namespace's rule.
    source_ids
        Spellings found in one source; repeats are allowed.
    source
        Name of the dataset they come from.

    Returns
    -------
    Columns ``namespace, source_id, entity, entity_id, rule, source``. A source id the rule does not match has one row
    whose ``entity_id`` is missing.

    Raises
    ------
    IdentityError
        If two different source ids become the same ids.

    Examples
    --------
    >>> rule = IdRule("imc", r"MB-?(\d{4})", {"subject_id": r"MB-\1"})
    >>> identifier_table(rule, ["MB0002", "MB0006"], source="imc")["entity_id"].tolist()
    ['MB-0002', 'MB-0006']
    """
    import pandas as pd

    from integrate.model.mask import shown_id

    rows: list[tuple[str, str, str, str | None, str, str]] = []
    seen: dict[tuple[str, ...], str] = {}
    collisions: list[str] = []
    for source_id in dict.fromkeys(source_ids):
        ids = rule.resolve(source_id)
        if ids is None:
            rows.append((rule.namespace, source_id, next(iter(rule.ids)), None, rule.pattern, source))
            continue
        other = seen.setdefault(tuple(ids.values()), source_id)
        if other != source_id:
            collisions.append(f"{shown_id(other)} = {shown_id(source_id)} -> {next(iter(ids.values()))}")
        rows += [(rule.namespace, source_id, column, value, rule.pattern, source) for column, value in ids.items()]
    if collisions:
        raise IdentityError(
            f"{len(collisions)} pairs of ids in {source!r} become one by rule {rule.namespace!r}: {some(collisions)}; "
            "correct the source or make the rule keep them apart"
        )
    return pd.DataFrame(rows, columns=list(IDENTIFIER_COLUMNS), dtype=object)
