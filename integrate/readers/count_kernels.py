"""The compiled loop behind a text of dense counts: names of rows, and the counts that are not zero."""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray

__all__ = ["BAD_COUNT", "BAD_ROW", "scan_rows"]

#: Faults: a row of another number of columns, and a value that is no number from 0.
BAD_ROW, BAD_COUNT = 1, 2
TAB, NEWLINE, RETURN, QUOTE, PLUS, MINUS, POINT, NOUGHT, NINE = 9, 10, 13, 34, 43, 45, 46, 48, 57


@njit(nogil=True, cache=True)
def scan_rows(
    text: NDArray[Any],
    separator: int,
    columns: int,
    names: NDArray[Any],
    starts: NDArray[Any],
    indices: NDArray[Any],
    values: NDArray[Any],
) -> tuple[int, int]:
    """Fill where each row's name begins and ends, and its counts as compressed rows; whole lines only.

    Returns
    -------
    The number of rows, and 0 or the fault of the row after them.
    """
    row, found, at = 0, 0, 0
    starts[0] = 0
    while at < len(text):
        if text[at] == NEWLINE or (text[at] == RETURN and text[at + 1] == NEWLINE):  # an empty line
            at += 1
            continue
        names[row, 0] = at
        closing = QUOTE if text[at] == QUOTE else separator
        at += 1 if closing == QUOTE else 0
        while text[at] != closing and text[at] != NEWLINE:
            at += 1
        at += 1 if text[at] == QUOTE and closing == QUOTE else 0
        names[row, 1] = at
        for column in range(columns):
            if text[at] != separator:
                return row, BAD_ROW
            if text[at + 1] == NOUGHT and text[at + 2] == separator:  # nearly all are
                at += 2
                continue
            value, at = _number(text, at + 1, separator)
            if value < 0:
                return row, BAD_COUNT
            if value > 0:
                indices[found], values[found] = column, value
                found += 1
        at += 1 if text[at] == RETURN else 0
        if text[at] != NEWLINE:
            return row, BAD_ROW
        at += 1
        row += 1
        starts[row] = found
    return row, 0


@njit(nogil=True, inline="always")
def _number(text: NDArray[Any], at: int, separator: int) -> tuple[float, int]:
    """Return the number from 0 that begins at a place, -1 where there is none, and where it ends."""
    value, power, digits = 0.0, 0, 0
    while NOUGHT <= text[at] <= NINE:
        value, digits, at = value * 10 + (text[at] - NOUGHT), digits + 1, at + 1
    if text[at] == POINT:
        at += 1
        while NOUGHT <= text[at] <= NINE:
            value, digits, power, at = value * 10 + (text[at] - NOUGHT), digits + 1, power - 1, at + 1
    if digits and text[at] | 32 == 101:  # e or E, as R writes 100000
        at, sign, stated, digits = at + 1, 1, 0, 0
        if text[at] == PLUS or text[at] == MINUS:
            at, sign = at + 1, 1 if text[at] == PLUS else -1
        while NOUGHT <= text[at] <= NINE and stated < 400:
            stated, digits, at = stated * 10 + (text[at] - NOUGHT), digits + 1, at + 1
        power += sign * stated
    ended = text[at] == separator or text[at] == NEWLINE or text[at] == RETURN
    if not digits or not ended:
        return -1.0, at
    return value * 10.0**power if power else value, at
