"""The UpSet picture: how many have which combination of things."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from integrate.model.html import Html, picture, text_mark

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["combinations_of", "upset"]

MAX_COMBINATIONS: Final = 24
MAX_SETS: Final = 24
#: Distances in the drawing: between combinations, between sets; height of the bars above, length of those beside.
STEP, LINE, TOP, SIDE = 24, 18, 84, 70


def combinations_of(has: pd.DataFrame) -> pd.DataFrame:
    """Return how many rows have exactly which columns, the most frequent combination first.

    Parameters
    ----------
    has
        True where a row has a column's thing.

    Returns
    -------
    One row per combination that occurs: the columns, true/false, and ``n``.

    Examples
    --------
    >>> import pandas as pd
    >>> found = combinations_of(pd.DataFrame({"ct": [True, True, False], "rna": [True, True, True]}))
    >>> found.values.tolist()
    [[True, True, 2], [False, True, 1]]
    """
    import numpy as np
    import pandas as pd

    rows, n = np.unique(has.to_numpy(dtype=bool), axis=0, return_counts=True)
    order = np.lexsort((-rows.sum(axis=1), -n))
    found = pd.DataFrame(rows[order], columns=has.columns)
    return found.assign(n=n[order])


def upset(counts: pd.DataFrame, *, row_label: str, column_label: str) -> Html:
    """Return the picture of which combinations of columns rows have.

    Parameters
    ----------
    counts
        How many (or whether) of each column a row has; 0 or missing is none.
    row_label, column_label
        What rows and columns are, in the plural, e.g. ``"subjects"`` and ``"datasets"``.

    Returns
    -------
    Html, one SVG: a bar per combination with its number of rows, dots for what it has, and a bar per column. The
    24 most frequent combinations are drawn and the rest is counted in a note. Empty for fewer than two columns.

    Examples
    --------
    >>> import pandas as pd
    >>> counts = pd.DataFrame({"ct": [1, 0, 2], "rna": [1, 2, 1]})
    >>> "2 subjects have ct, rna" in upset(counts, row_label="subjects", column_label="datasets")
    True
    """
    has = counts.iloc[:, :MAX_SETS] > 0
    if has.shape[1] < 2 or not len(has):
        return Html("")
    totals = has.sum()
    has = has[totals.sort_values(ascending=False, kind="stable").index]
    found = combinations_of(has)
    drawn = found.head(MAX_COMBINATIONS)
    names = [str(name) for name in has.columns]
    left = 38 + SIDE + round(6.6 * max(min(len(name), 22) for name in names))
    size = (left + STEP * len(drawn) + 16, TOP + LINE * len(names) + 14)
    marks = [*_sets(names, totals[has.columns].tolist(), left), *_bars(drawn["n"].tolist(), left)]
    marks += _dots(drawn.drop(columns="n").to_numpy(), left)
    rest = found["n"].iloc[MAX_COMBINATIONS:]
    note = f"Number of {row_label} with exactly the marked {column_label}, and of each of the {column_label}."
    if len(rest):
        note += f" {len(rest)} rarer combinations of {int(rest.sum())} {row_label} are not drawn."
    if counts.shape[1] > MAX_SETS:
        note += f" {counts.shape[1] - MAX_SETS} more {column_label} are not looked at."
    return picture(size, "".join(marks), words=_words(drawn, names, row_label), note=note)


def _words(drawn: pd.DataFrame, names: list[str], row_label: str) -> str:
    told = []
    for *has, n in drawn.head(8).itertuples(index=False, name=None):
        own = ", ".join(name for name, one in zip(names, has, strict=True) if one) or "nothing"
        told.append(f"{n} {row_label} have {own}")
    return "; ".join(told)


def _sets(names: list[str], totals: list[int], left: int) -> list[str]:
    """Draw the name of each set and a bar of its size, towards the left."""
    most = max(*totals, 1)
    marks, bars = [], []
    name_end = left - 14
    bar_end = 14 + SIDE
    for j, (name, total) in enumerate(zip(names, totals, strict=True)):
        y = TOP + j * LINE
        length = round(total / most * (SIDE - 24), 1)
        bars.append(f"M{bar_end} {y + 9}h{-length:g}")
        marks.append(text_mark(bar_end - length - 4, y + 13, total, kind="mu e"))
        marks.append(text_mark(name_end, y + 13, name, kind="e", limit=22))
    return [f'<path class="l2" stroke-width="10" d="{"".join(bars)}"/>', *marks]


def _bars(sizes: list[int], left: int) -> list[str]:
    most = max(*sizes, 1)
    bars, marks = [], []
    for i, n in enumerate(sizes):
        x, height = left + i * STEP + 8, max(1, round(n / most * (TOP - 26), 1))
        bars.append(f"M{x} {TOP - 8}v{-height:g}")
        marks.append(text_mark(x, TOP - 12 - height, n, kind="m"))
    return [f'<path class="l3" stroke-width="14" d="{"".join(bars)}"/>', *marks]


def _dots(has: Any, left: int) -> list[str]:
    """Draw a dot per combination and set, strong where the combination has the set, and a line through these."""
    strong, pale, lines = [], [], []
    for i, row in enumerate(has):
        x = left + i * STEP + 8
        places = [TOP + j * LINE + 9 for j in range(len(row))]
        mine = [y for y, one in zip(places, row, strict=True) if one]
        strong += [f"M{x} {y}h0" for y in mine]
        pale += [f"M{x} {y}h0" for y, one in zip(places, row, strict=True) if not one]
        lines += [f"M{x} {mine[0]}V{mine[-1]}"] if len(mine) > 1 else []
    return [
        f'<path class="{kind}" stroke-width="{width}" d="{"".join(d)}"/>'
        for kind, width, d in (("l0 r", 9, pale), ("l3", 2, lines), ("l3 r", 9, strong))
    ]
