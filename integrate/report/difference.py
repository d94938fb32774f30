"""A difference between two texts, two pictures or two tables, beyond what is tolerated."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Difference", "Tolerance", "compare_pictures", "compare_tables", "compare_texts", "cut_alike", "plain_text"]

_NUMBER = re.compile(
    r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?\.?\d+(?:[eE][-+]?\d+)?(?!\w)|\bnan\b|\binf\b", re.IGNORECASE
)
#: Characters of a value in a sentence.
MAX_TOLD: Final = 80
_TAG = re.compile(r"<style\b.*?</style\s*>|<[^<>]*>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much two runs may differ and still be called the same.

    Parameters
    ----------
    relative, absolute
        Of numbers: ``|a − b| ≤ absolute + relative · max(|a|, |b|)``.
    pixels
        Share of a figure's pixels that may differ.
    """

    relative: float = 1e-6
    absolute: float = 0.0
    pixels: float = 0.0

    def close(self, one: float, other: float) -> bool:
        """Say whether two numbers are the same; missing is the same as missing."""
        if one == other or (one != one and other != other):
            return True
        return abs(one - other) <= self.absolute + self.relative * max(abs(one), abs(other))


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing a reader would see.

    Parameters
    ----------
    where
        Section and output.
    kind
        ``"number"``, ``"text"``, ``"table"``, ``"figure"``, ``"cell"`` or ``"output"``.
    told
        What is different, in words, with the first example.
    """

    where: str
    kind: str
    told: str

    def __str__(self) -> str:
        return f"{self.where}: {self.told}"


def plain_text(kind: str, text: Any) -> str:
    """Return what a reader sees of an output of some kind."""
    return html.unescape(_TAG.sub(" ", str(text))) if kind == "text/html" else str(text)


def compare_texts(place: str, one: str, other: str, tolerance: Tolerance) -> Iterator[Difference]:
    """Yield what differs: the first other words, or how many numbers do."""
    if one == other:
        return
    words, numbers = _split(one)
    their_words, their_numbers = _split(other)
    if words != their_words:
        a, b = next(((a, b) for a, b in zip_longest(words, their_words, fillvalue="") if a != b))
        yield Difference(place, "text", "“{}” became “{}”".format(*cut_alike(a.strip(), b.strip())))
        return
    pairs = list(zip(numbers, their_numbers, strict=True))
    different = [(a, b) for a, b in pairs if not tolerance.close(_value(a), _value(b))]
    if different:
        a, b = different[0]
        yield Difference(place, "number", f"{len(different)} of {len(pairs)} numbers differ, as {a} → {b}")


def cut_alike(one: str, other: str) -> tuple[str, str]:
    """Return two texts for a sentence: long ones are cut to where they differ."""
    if max(len(one), len(other)) <= MAX_TOLD:
        return one, other
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, same - 20)
    return _cut(one, start), _cut(other, start)


def _cut(text: str, start: int) -> str:
    end = start + MAX_TOLD
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


def _split(text: str) -> tuple[list[str], list[str]]:
    """Return the words between the numbers, with any run of blanks as one, and the numbers."""
    return [" ".join(part.split()) for part in _NUMBER.split(text)], _NUMBER.findall(text)


def _value(text: str) -> float:
    return float(text.replace("−", "-").replace(",", "").replace(" ", ""))


def compare_pictures(place: str, one: str, other: str, tolerance: Tolerance) -> Iterator[Difference]:
    """Yield what differs between two pictures in base64: their size, or the share of pixels."""
    if one == other:
        return
    import imagecodecs
    import numpy as np

    a, b = (np.asarray(imagecodecs.imread(base64.b64decode(text))) for text in (one, other))
    if a.shape != b.shape:
        yield Difference(place, "figure", f"figure of {_size(a.shape)} pixels became {_size(b.shape)}")
        return
    share = float((a != b).reshape(*a.shape[:2], -1).any(axis=-1).mean())
    if share > tolerance.pixels:
        yield Difference(place, "figure", f"{share:.3%} of the figure's pixels differ")


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} × {shape[0]}"


def compare_tables(where: str, one: pd.DataFrame, other: pd.DataFrame, tolerance: Tolerance) -> Iterator[Difference]:
    """Yield what differs: columns, the number of rows, row names, or values column by column."""
    if list(one.columns) != list(other.columns):
        changed = sorted({str(name) for name in {*one.columns} ^ {*other.columns}})
        yield Difference(where, "table", f"other columns: {', '.join(changed) or 'in another order'}")
        return
    if len(one) != len(other):
        yield Difference(where, "table", f"{len(one)} rows became {len(other)}")
        return
    if list(one.index) != list(other.index):
        yield Difference(where, "table", "other row names")
    for name in one.columns:
        yield from _column(f"{where}, column {name}", one[name], other[name], tolerance)


def _column(where: str, one: pd.Series[Any], other: pd.Series[Any], tolerance: Tolerance) -> Iterator[Difference]:
    import pandas as pd

    if one.dtype != other.dtype:
        yield Difference(where, "table", f"{one.dtype} became {other.dtype}")
        return
    pairs = list(zip(one.tolist(), other.tolist(), strict=True))
    if pd.api.types.is_numeric_dtype(one.dtype) and not pd.api.types.is_bool_dtype(one.dtype):
        different = [(a, b) for a, b in pairs if not _same_number(a, b, tolerance)]
    else:
        different = [(a, b) for a, b in pairs if repr(a) != repr(b)]
    if different:
        a, b = different[0]
        yield Difference(where, "table", f"{len(different)} of {len(pairs)} values differ, as {a} → {b}")


def _same_number(one: Any, other: Any, tolerance: Tolerance) -> bool:
    import pandas as pd

    if pd.isna(one) or pd.isna(other):
        return bool(pd.isna(one) and pd.isna(other))
    return tolerance.close(one, other)
