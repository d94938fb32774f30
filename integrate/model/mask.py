"""A mask: every raw spelling a report run met, replaced by what it stands for wherever a report would show it.

A spelling is replaced where it is a whole word, never inside one. One that could as well be a number or a short word is
looked for only where it can be nothing else: as a whole cell of a column of ids, or in quotes.
"""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from integrate.keys import LEVELS
from integrate.model.identity import id_text
from integrate.model.spelling import SPELLINGS_VARIABLE, read_notes
from integrate.model.words import first_word, index_words, replaced, told_apart, words_of

__all__ = ["Mask", "current_mask", "shown_id"]

#: So many first words are looked for at once in each piece of a page; with more, each word of it is looked up.
FEW: Final = 50
_MARKUP = re.compile(r"(<!--.*?-->|<[^<>]*>)", re.DOTALL)
_DATA = re.compile(r"data:([\w/+.-]+);base64,([A-Za-z0-9+/=\s]*)")
_SVG: Final = "image/svg+xml"
_QUOTED_VALUE = re.compile(r"""(?<==)"[^"]*"|(?<==)'[^']*'""")
_LABEL = re.compile(r"\[[^][]+\]")
_NOT_IN_A_LABEL = re.compile(r"[^\w .-]+")
_LEVEL_NAMES: Final = {column: level for level, column in LEVELS.items()}


class Mask:
    """The spellings that a report must not show, and what it shows instead.

    Parameters
    ----------
    notes
        From `integrate.model.spelling.read_notes`, in the order they were made: numbers in labels follow it, so that
        two runs, and the start and the end of one, name people alike.

    Attributes
    ----------
    known, hidden
        How many raw spellings there are, and how many of them cannot be looked for in free text.
    private_ids
        Whether the study's own ids are raw too, so that people are named ``[subject 001]``.
    places
        How many were replaced so far.

    Examples
    --------
    >>> note = {"kind": "raw", "namespace": "hospital", "raw": "4711-0815", "own": "P-07", "subject": "P-07"}
    >>> Mask([note]).text("no file at scan_4711-0815.dcm")
    'no file at scan_[hospital of P-07].dcm'
    """

    def __init__(self, notes: Iterable[Mapping[str, Any]]) -> None:
        notes = list(notes)
        self.places = 0
        self.columns = {str(note["name"]) for note in notes if note["kind"] == "column"}
        self._own = _numbered_ids(notes)
        published = {note["raw"] for note in notes if note["kind"] == "raw" and note.get("public")}
        raw = [n for n in notes if n["kind"] == "raw" and not n.get("public") and n["raw"] not in published]
        headers = [n for n in notes if n["kind"] == "header" and n["patient"] not in published]
        said = [note["value"] for note in notes if note["kind"] == "public_ids"]
        self.private_ids = not all(said) if said else self._ids_are_raw(raw, headers)
        self.labels = self._labels(raw)
        headed = self._headed(raw, headers)
        self.labels = {**headed, **self.labels}
        shown = {own: f"[{name}]" for own, name in self._own.items()} if self.private_ids else {}
        self.labels.update(shown)
        singles = {text for text in headed if text.isalpha()}
        self._words = index_words(self.labels, {}, singles)
        # An id of ours stays, also where a spelling stands in it; most hold none, and need not be looked for.
        holding = {one: "" for one in self._own if one not in self.labels and replaced(one, self._words)[1]}
        self._words = index_words(self.labels, holding, singles) if holding else self._words
        self._first_words = {first_word(text) for text in self.labels} - {""}
        self._shown = set(self.labels.values())
        first = {written[0] for header in headers for _, written in header["told"]}
        self.known = len(self.labels) - len(headed.keys() - first)
        self.hidden = sum(told_apart(text) == "column" for text in self.labels)

    def __bool__(self) -> bool:
        return bool(self.labels)

    def _ids_are_raw(self, raw: Sequence[Mapping[str, Any]], headers: Sequence[Mapping[str, Any]]) -> bool:
        """Say whether our ids hold raw spellings: as a word of theirs, or as the PatientID of a file."""
        if any(header["patient"] in self._own for header in headers):
            return True
        spelled = {note["raw"]: "" for note in raw if note["raw"] not in self._own}
        words = index_words(spelled, spelled, set())
        return any(replaced(own, words)[1] for own in self._own)

    def _name(self, own: str) -> str:
        return self._own.get(own, own) if self.private_ids else own

    def _labels(self, raw: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Return what replaces each spelling: the id it was read as; both where it stands for two people."""
        read: dict[str, dict[str, str]] = {}
        unread: dict[str, int] = {}
        unknown: dict[str, str] = {}
        for note in raw:
            text, namespace = note["raw"], _NOT_IN_A_LABEL.sub(" ", note["namespace"])
            if note["own"] is not None:
                person = note["subject"] or note["own"]
                read.setdefault(text, {}).setdefault(person, f"{namespace} of {self._name(note['own'])}")
            elif text not in unknown:
                unread[namespace] = unread.get(namespace, 0) + 1
                unknown[text] = f"[unread {namespace} {unread[namespace]}]"
        found = {text: f"[{' or '.join(names.values())}]" for text, names in read.items()}
        return {text: label for text, label in {**unknown, **found}.items() if text not in self._own}

    def _headed(self, raw: Sequence[Mapping[str, Any]], headers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Return what DICOM headers say, by the person of their PatientID where a rule has read it."""
        whose = {note["raw"]: note["subject"] or note["own"] for note in raw if note["own"] is not None}
        found: dict[str, set[str]] = {}
        for header in headers:
            patient = header["patient"]
            person = whose.get(patient, patient if patient in self._own else None)
            of = "" if person is None else f" of {self._name(person)}"
            for keyword, written in header["told"]:
                for text in written:
                    if text not in self._own:
                        found.setdefault(text, set()).add(f"{keyword}{of}")
        # A given name or a birth date that two people share says of neither.
        return {text: f"[{(min(of) if len(of) == 1 else min(of).partition(' of ')[0])}]" for text, of in found.items()}

    def text(self, text: str, *, numbers: bool = True) -> str:
        """Return a text without raw spellings.

        Parameters
        ----------
        text
            Anything a person reads, ANSI colours included.
        numbers
            Whether to look for spellings that are numbers; not where the columns of a table have settled that.
        """
        masked, found = replaced(text, self._words, numbers=numbers)
        self.places += found
        return masked

    def html(self, text: str, *, numbers: bool = True) -> str:
        """Return HTML or SVG without raw spellings in its text, comments and quoted attributes; tags stay as they are.

        Of embedded files a picture that is SVG is masked too, and no other is looked into.
        """
        embedded = [self._embedded(found) for found in _DATA.finditer(text)]
        text = _DATA.sub("\0", text.replace("\0", "\N{REPLACEMENT CHARACTER}"))
        if held := self._held_in(text):
            parts = _MARKUP.split(text)
            few = re.compile("|".join(map(re.escape, held)), re.IGNORECASE) if len(held) <= FEW else None
            shown = [part if few and not few.search(part) else self._part(part, numbers=numbers) for part in parts]
            text = "".join(shown)
        pieces = text.split("\0") if embedded else [text]
        return "".join(piece for pair in zip_longest(pieces, embedded, fillvalue="") for piece in pair)

    def _embedded(self, found: re.Match[str]) -> str:
        if found[1] != _SVG:
            return found[0]
        picture = base64.b64decode(found[2]).decode("utf-8", "replace")
        masked = self.html(picture)
        coded = base64.b64encode(masked.encode()).decode()
        return found[0] if masked == picture else f"data:{_SVG};base64,{coded}"

    def _part(self, part: str, *, numbers: bool) -> str:
        if part.startswith("<!--"):
            return self.text(part, numbers=numbers)
        if part.startswith("<"):
            return _QUOTED_VALUE.sub(lambda value: self._attribute(value[0], numbers=numbers), part)
        return self._unescaped(part, numbers=numbers, quote=False)

    def _held_in(self, text: str) -> set[str]:
        return self._words.spans.keys() & words_of(html.unescape(text) if "&" in text else text)

    def _unescaped(self, text: str, *, numbers: bool, quote: bool) -> str:
        plain = html.unescape(text) if "&" in text else text
        masked = self.text(plain, numbers=numbers)
        return text if masked == plain else html.escape(masked, quote=quote)

    def _attribute(self, value: str, *, numbers: bool) -> str:
        return f"{value[0]}{self._unescaped(value[1:-1], numbers=numbers, quote=True)}{value[-1]}"

    def value(self, value: Any, *, whole: bool = False) -> Any:
        """Return what JSON holds without raw spellings, keys included; numbers stay.

        Parameters
        ----------
        value
            Mappings, sequences, texts; anything else comes back as it is.
        whole
            Whether a text that is a spelling as a whole is one, however short.
        """
        if isinstance(value, str):
            return self.cell(value, whole=whole)
        if isinstance(value, Mapping):
            return {self.value(key): self.value(item, whole=whole) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return (
                type(value)(self.value(item, whole=whole) for item in value) if type(value) in (list, tuple) else value
            )
        return value

    def cell(self, value: Any, *, whole: bool = False) -> Any:
        """Return one cell: a text that is a spelling becomes its label, another is masked as free text.

        Parameters
        ----------
        value
            Of any type; only texts are changed, unless `whole`.
        whole
            Whether the cell stands in a column of ids, where a spelling of any length, or a number, is one.
        """
        if whole and value is not None and value == value and (label := self.labels.get(id_text(value))):
            self.places += 1
            return label
        if not isinstance(value, str):
            return value
        if value in self.labels and told_apart(value) == "quoted":
            self.places += 1
            return self.labels[value]
        return self.text(value)

    def count(self, text: str) -> int:
        """Return how often something in a text was masked."""
        return sum(found[0] in self._shown for found in _LABEL.finditer(text))

    def may_change(self, text: str) -> bool:
        """Say whether a text has the first word of any spelling, however short; else no cell of it can be one."""
        return not self._first_words.isdisjoint(words_of(text))

    def is_ids(self, numbers: Iterable[Any]) -> bool:
        """Say whether most of some different numbers are raw spellings, so that their column is one of ids."""
        texts = [id_text(number) for number in numbers if number == number]
        return bool(texts) and 2 * sum(t in self.labels and told_apart(t) == "anywhere" for t in texts) > len(texts)


def _numbered_ids(notes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return our ids with the names they get where they are private: their level and a number."""
    counts: dict[str, int] = {}
    names: dict[str, str] = {}
    for note in notes:
        if note["kind"] == "id" and note["own"] not in names:
            level = _LEVEL_NAMES.get(note["column"], "subject")
            counts[level] = counts.get(level, 0) + 1
            names[note["own"]] = f"{level} {counts[level]:03d}"
    return names


_held: list[tuple[str, int, Mask]] = []


def current_mask() -> Mask:
    """Return the mask of what this report run has met so far; an empty one outside a run."""
    path = os.environ.get(SPELLINGS_VARIABLE, "")
    size = os.stat(path).st_size if path and os.path.exists(path) else 0
    if not _held or _held[0][:2] != (path, size):
        _held[:] = [(path, size, Mask(read_notes(Path(path)) if size else []))]
    return _held[0][2]


def shown_id(spelling: str) -> str:
    """Return a source's spelling as a message may show it: itself, in a report run what it stands for."""
    mask = current_mask()
    return str(mask.cell(spelling, whole=True)) if mask else spelling
