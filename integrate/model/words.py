"""Spellings as words of a text: which can be told from numbers and other words there, and where each stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["Words", "first_word", "index_words", "replaced", "told_apart", "words_of"]

#: So short a spelling is looked for only in columns of ids.
QUOTED_SIGNS: Final = 4
#: A run of digits as short as this may be a count.
NUMBER_SIGNS: Final = 6
_WORD = re.compile(r"\x1b\[[0-9;]*m|[^\W_]+")
#: What a whole number may be followed by when it was read as a decimal one, and what makes it another number.
_FRACTION = re.compile(r"(?:\.0+(?!\d))?")
_DECIMALS = re.compile(r"\.0*[1-9]")
_ESCAPE = re.compile(r"\\[abfnrtv]|%[0-9A-Fa-f]{2}")


class _Known(NamedTuple):
    """One spelling as it is looked for, and what replaces it."""

    exact: str  # only this very spelling; "" where letter case does not matter
    label: str | None  # None: an id of ours, which stays
    needs: str  # "quotes" around it, "capital" first letter, or nothing
    is_number: bool


class Words(NamedTuple):
    """All spellings, found by their first word in a time that does not grow with their number.

    `spans` are the places a spelling may have about its first word: how far before it starts, and its length, the
    longest first; `known` has the spellings by their text in lower case.
    """

    spans: dict[str, list[tuple[int, int]]]
    known: dict[str, list[_Known]]


@lru_cache(maxsize=1 << 17)
def told_apart(spelling: str) -> str:
    """Return where a spelling can be told from a number or a word: ``"anywhere"``, ``"quoted"`` or ``"column"``.

    Examples
    --------
    >>> [told_apart(spelling) for spelling in ("4711-0815", "0007", "4711", "12", "S7a", "1e5")]
    ['anywhere', 'anywhere', 'quoted', 'column', 'anywhere', 'column']
    """
    signs = [sign for sign in spelling if sign.isalnum()]
    if len(signs) >= QUOTED_SIGNS and spelling.isdigit():
        return "anywhere" if len(signs) >= NUMBER_SIGNS or spelling.startswith("0") else "quoted"
    if _is_number(spelling) or spelling.lower() in ("true", "false", "none", "null"):
        return "quoted" if len(signs) >= QUOTED_SIGNS else "column"
    if all(sign.isdigit() for sign in signs):
        return "anywhere" if len(signs) >= NUMBER_SIGNS else "column"
    needed = 3 if any(sign.isdigit() for sign in signs) else 4
    return "anywhere" if len(signs) >= needed else "column"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def index_words(labels: Mapping[str, str], own: Mapping[str, str], singles: set[str]) -> Words:
    """Return what is looked for; an id of ours comes before a spelling like it."""
    words = Words({}, {})
    for text in {**labels, **dict.fromkeys(own)}:
        where, is_single = told_apart(text), text in singles
        if where == "column" and not is_single:
            continue
        needs = "capital" if is_single else "quotes" if where == "quoted" else ""
        known = _Known(text if text in own else "", labels.get(text), needs, text.isdigit())
        _add(words, text.lower(), known)
        if text.isdigit() and text.startswith("0") and told_apart(short := text.lstrip("0")) == "anywhere":
            _add(words, short, known._replace(exact=""))
    for spans in words.spans.values():
        spans.sort(key=lambda span: -span[1])
    for several in words.known.values():
        several.sort(key=lambda one: not one.exact)
    return words


def _add(words: Words, key: str, known: _Known) -> None:
    first = _WORD.search(key)
    if first is not None:
        spans = words.spans.setdefault(first[0], [])
        spans += [span for span in [(first.start(), len(key))] if span not in spans]
        words.known.setdefault(key, []).append(known)


def words_of(text: str) -> set[str]:
    """Return every word of a text in lower case; behind an escape such as of a new line, also what follows it."""
    folded = text.lower()
    words = set(_WORD.findall(folded))
    return words | set(_WORD.findall(_ESCAPE.sub(" ", folded))) if "\\" in folded or "%" in folded else words


def replaced(text: str, words: Words, *, numbers: bool = True) -> tuple[str, int]:
    """Return a text with each known spelling replaced, and how many were."""
    if not words.spans or words.spans.keys().isdisjoint(words_of(text)):
        return text, 0
    pieces: list[str] = []
    done = count = 0
    for word in _WORD.finditer(text):
        if word.start() < done:
            continue
        for start in _starts(text, word):
            found = _found(text, start, word.end(), words, numbers=numbers)
            if found is None:
                continue
            begin, end, label = found
            if label is not None:
                pieces += [text[done:begin], label]
                count += 1
            else:
                pieces.append(text[done:end])
            done = end
            break
    return "".join([*pieces, text[done:]]), count


def _starts(text: str, word: re.Match[str]) -> list[int]:
    """Return where a word may begin: behind a backslash or a percent sign, also after the escape."""
    start = word.start()
    before = text[start - 1 : start]
    if before == "\\" and text[start] in "abfnrtv":
        return [start, start + 1]
    return [start, start + 2] if before == "%" and len(word[0]) > 2 else [start]


def _found(text: str, start: int, stop: int, words: Words, *, numbers: bool) -> tuple[int, int, str | None] | None:
    """Return start, end and label of the longest spelling whose first word is this one."""
    for offset, length in words.spans.get(text[start:stop].lower(), ()):
        begin, end = start - offset, start - offset + length
        piece = text[max(begin, 0) : end]
        if begin < 0 or (piece[-1].isalnum() and text[end : end + 1].isalnum()):
            continue
        for known in words.known.get(piece.lower(), ()):
            if _fits(known, text, begin, end, numbers=numbers):
                return begin, _end(text, end) if known.is_number else end, known.label
    return None


def _end(text: str, end: int) -> int:
    fraction = _FRACTION.match(text, end)
    return end if fraction is None else fraction.end()


def _fits(known: _Known, text: str, begin: int, end: int, *, numbers: bool) -> bool:
    """Say whether what stands in a text is this spelling, and neither another's nor a part of a number."""
    if known.exact and text[begin:end] != known.exact:
        return False
    before, after = text[max(begin - 1, 0) : begin], text[end : end + 1]
    if known.needs == "capital" and not text[begin].isupper():
        return False
    if known.needs == "quotes" and not (before and after and before in "'\"" and after in "'\""):
        return False
    if not known.is_number:
        return True
    is_decimal = before == "." and text[max(begin - 2, 0) : begin - 1].isdigit()
    return numbers and not is_decimal and not _DECIMALS.match(text, end)


def first_word(text: str) -> str:
    """Return the first word of a text in lower case, ``""`` where it has none."""
    found = _WORD.search(text)
    return "" if found is None else found[0].lower()
