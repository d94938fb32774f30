"""Suggestions: how ids that match nobody may be meant; shown to a person, never applied."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from integrate.errors import IdentityError, some
from integrate.keys import SUBJECT_ID
from integrate.model.identity import IdRule
from integrate.model.mask import shown_id

__all__ = ["Suggestion", "suggest_ids"]

#: What tells the parts of an id apart: first at signs, then also between letters and digits.
PARTS: tuple[str, ...] = (r"[A-Za-z\d]+|[^A-Za-z\d]+", r"[A-Za-z]+|\d+|[^A-Za-z\d]+")
#: A known id must be this long before it is looked for at the start or end of another.
LONG_ENOUGH = 4


@dataclass(frozen=True, slots=True)
class Suggestion:
    r"""One way to read ids that match nobody.

    Parameters
    ----------
    why
        What tells the two spellings apart: ``"letter case"``, ``"separators"``, ``"zero padding"``, ``"beginning"`` or
        ``"further parts"``.
    pairs
        Spelling to the id of the study it may stand for.
    rule
        ``{"pattern": …, "ids": …}`` for ``study.identifiers`` that reads exactly so; empty when no single rule does.
    """

    why: str
    pairs: Mapping[str, str]
    rule: Mapping[str, object]

    def __str__(self) -> str:
        told = some((f"{shown_id(source)} → {own}" for source, own in self.pairs.items()), limit=2)
        declare = f"; declare {dict(self.rule)}" if self.rule else "; no single rule reads them, correct the source"
        return f"{len(self.pairs)} would match but for {self.why} ({told}){declare}"


def suggest_ids(unknown: Iterable[str], known: Iterable[str], *, column: str = SUBJECT_ID) -> list[Suggestion]:
    r"""Return how unknown ids may be meant.

    Parameters
    ----------
    unknown
        Spellings that match nobody.
    known
        The ids of the study.
    column
        Which kind of id they are.

    Returns
    -------
    The most common reading first. A spelling is read only one way; one that can be two people, and two that would
    become one person by the same change, are left out.

    Examples
    --------
    >>> found = suggest_ids(["MB0002", "MB0006"], ["MB-0002", "MB-0006", "MB-0008"])
    >>> found[0].why, found[0].rule
    ('separators', {'pattern': 'MB(\\d{4})', 'ids': {'subject_id': 'MB-\\1'}})
    """
    ours = sorted(set(known))
    left = [spelling for spelling in dict.fromkeys(unknown) if spelling not in set(ours)]
    suggestions = []
    for why, key in _CHANGES.items():
        pairs = _distinct(left, ours, key)
        suggestions += [Suggestion(why, pairs, _rule(pairs, column))] if pairs else []
        left = [spelling for spelling in left if spelling not in pairs]
    for why, pairs in (("its beginning", _ends(left, ours)), ("further parts", _starts(left, ours))):
        pairs = {spelling: own for spelling, own in pairs.items() if spelling in left}
        suggestions += [Suggestion(why, pairs, _rule(pairs, column))] if pairs else []
        left = [spelling for spelling in left if spelling not in pairs]
    return sorted(suggestions, key=lambda one: -len(one.pairs))


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.casefold())


def _unpadded(text: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", text.casefold())


#: Changes that may hide that two spellings are one, each alone and the weaker first.
_CHANGES: dict[str, Callable[[str], str]] = {
    "letter case": lambda text: text.strip().casefold(),
    "separators": _plain,
    "zero padding": lambda text: _plain(_unpadded(text)),
}


def _distinct(unknown: Sequence[str], known: Sequence[str], key: Callable[[str], str]) -> dict[str, str]:
    """Return the pairs with one key; a key that two ids of one side share pairs nothing."""
    ours = _unique(known, key)
    theirs = _unique(unknown, key)
    return {spelling: ours[k] for k, spelling in theirs.items() if k in ours}


def _unique(ids: Sequence[str], key: Callable[[str], str]) -> dict[str, str]:
    grouped: dict[str, list[str]] = {}
    for one in ids:
        grouped.setdefault(key(one), []).append(one)
    return {k: found[0] for k, found in grouped.items() if len(found) == 1 and k}


def _ends(unknown: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Return unknown ids that end, after a sign, in one known id: ``Glioma-TCGA-CS-4941``."""
    ours = _unique(known, _plain)
    found: dict[str, str] = {}
    for spelling in unknown:
        tails = [_plain(spelling[m.end() :]) for m in re.finditer(r"[^A-Za-z\d]+", spelling)]
        hits = {ours[tail] for tail in tails if len(tail) >= LONG_ENOUGH and tail in ours}
        if len(hits) == 1:
            found[spelling] = hits.pop()
    owners = list(found.values())
    return {spelling: own for spelling, own in found.items() if owners.count(own) == 1}


def _starts(unknown: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Return unknown ids that go on, after a sign, where one known id ends: ``TCGA-OR-A5J1-01A``."""
    ours = _unique(known, _plain)
    found = {}
    for spelling in unknown:
        heads = [_plain(spelling[: m.start()]) for m in re.finditer(r"[^A-Za-z\d]+", spelling)]
        hits = {ours[head] for head in heads if len(head) >= LONG_ENOUGH and head in ours}
        if len(hits) == 1:
            found[spelling] = hits.pop()
    return found


def _rule(pairs: Mapping[str, str], column: str) -> dict[str, object]:
    """Return the one rule that reads every pair so, or nothing."""
    for parts in PARTS:
        made = _pattern(pairs, parts)
        if made is None:
            continue
        pattern, template = made
        try:
            rule = IdRule("suggested", pattern, {column: template})
        except IdentityError:
            continue
        if all(rule.resolve(spelling) == {column: own} for spelling, own in pairs.items()):
            return {"pattern": pattern, "ids": {column: template}}
    return {}


def _pattern(pairs: Mapping[str, str], parts: str) -> tuple[str, str] | None:
    """Return pattern and template, when all spellings have the same parts and ours are made of them."""
    sources, targets = ([re.findall(parts, text) for text in side] for side in (pairs, pairs.values()))
    if len({len(one) for one in sources}) != 1 or len({len(one) for one in targets}) != 1:
        return None
    theirs, ours = list(zip(*sources, strict=True)), list(zip(*targets, strict=True))
    template, groups = "", []
    for column in ours:
        if len(set(column)) == 1 and (len(pairs) > 1 or column not in theirs or not re.search(r"\d", column[0])):
            template += column[0].replace("\\", r"\\")
            continue
        place = next((i for i, source in enumerate(theirs) if source == column), None)
        if place is None:
            return None
        if place not in groups:
            groups.append(place)
        template += f"\\{sorted(groups).index(place) + 1}"
    if groups != sorted(groups):  # numbers were given in another order than the groups stand
        return None
    pattern = "".join(
        f"({_shape(column)})" if i in groups else re.escape(column[0]) if len(set(column)) == 1 else _shape(column)
        for i, column in enumerate(theirs)
    )
    return pattern.replace(r"\-", "-"), template


def _shape(column: Sequence[str]) -> str:
    kind = next(
        (kind for kind, whole in ((r"\d", str.isdigit), ("[A-Za-z]", str.isalpha)) if all(map(whole, column))), r"\w"
    )
    if not all(one.isalnum() for one in column):
        kind = "."
    lengths = {len(one) for one in column}
    return f"{kind}{{{lengths.pop()}}}" if len(lengths) == 1 else f"{kind}+"
