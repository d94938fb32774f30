"""The matrix picture: who has what, as a grid for few and as strips for thousands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from integrate.model.html import Html, cut, escape, flat, picture

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["matrix"]

#: Strips of one shade that are drawn; beyond them one of several neighbours stands for all.
MAX_RUNS: Final = 2000


def matrix(counts: pd.DataFrame, *, row_label: str, column_label: str, max_rows: int = 40) -> Html:
    """Return the picture of who has what: a grid for few rows, one strip per column for many.

    Parameters
    ----------
    counts
        How many (or whether) of each column a row has, e.g. subjects × modalities. 0 is none; a missing count is
        drawn as an open dashed cell, never as none.
    row_label, column_label
        What rows and columns are, in the plural, e.g. ``"subjects"`` and ``"modalities"``.
    max_rows
        With more rows than this they are sorted by what they have and drawn as strips, without their names.

    Returns
    -------
    Html, one SVG under 50 kB whatever the number of rows; how many rows have each column is written out as text.

    Examples
    --------
    >>> import pandas as pd
    >>> counts = pd.DataFrame({"ct": [1, 0], "rna": [1, 2]}, index=["P01", "P02"])
    >>> "2 subjects by 2 datasets: ct 1, rna 2" in matrix(counts, row_label="subjects", column_label="datasets")
    True
    """
    shown = counts.iloc[:, :40].astype(float)
    if shown.empty:
        return Html(f'<span class="mu">no {escape(row_label)} or no {escape(column_label)}</span>')
    totals = [str(int(n)) for n in (shown.to_numpy() > 0).sum(axis=0)]
    names = [cut(flat(name), 22) for name in shown.columns]
    words = f"{len(shown)} {row_label} by {len(names)} {column_label}: "
    words += ", ".join(f"{name} {total}" for name, total in zip(names, totals, strict=True))
    draw = _grid if len(shown) <= max_rows else _strips
    size, marks, note = draw(shown, names, totals, row_label)
    if counts.shape[1] > shown.shape[1]:
        note += f" {counts.shape[1] - shown.shape[1]} more {column_label} not shown."
    return picture(size, marks, words=words, note=note)


def _grid(
    counts: pd.DataFrame, names: list[str], totals: list[str], row_label: str
) -> tuple[tuple[int, int], str, str]:
    """Draw one cell per row and column; cells of one shade share one path."""
    labels = [cut(flat(label), 22) for label in counts.index]
    left = 14 + round(6.3 * max(len(label) for label in labels))
    top = 16 + round(4.6 * max(len(name) for name in names))
    width, height = 30, 17
    shades, numbers = _Shades(width - 2), []
    for i, (values, levels) in enumerate(zip(counts.to_numpy(), _shade_levels(counts), strict=True)):
        y, digits = top + i * height, []
        for j, (value, level) in enumerate(zip(values, levels, strict=True)):
            x = left + j * width
            shades.add(level, _box(x, y, width - 2, height - 2) if level < 0 else f"M{x + 14} {y}v{height - 2}")
            if value > 1:
                digits.append((x + 14, f"{value:.0f}"))
        numbers += _row_of_numbers(digits, y + 12)
    bottom = top + len(labels) * height
    sides = [
        f'<text class="e" x="{left - 7}" y="{top + i * height + 12}">{escape(t)}</text>' for i, t in enumerate(labels)
    ]
    heads = [
        f'<text transform="translate({left + j * width + 12} {top - 6}) rotate(-42)">{escape(name)}</text>'
        for j, name in enumerate(names)
    ]
    feet = [
        f'<text class="mu" style="text-anchor:middle" x="{left + j * width + 14}" y="{bottom + 13}">{total}</text>'
        for j, total in enumerate(totals)
    ]
    size = (left + len(names) * width + round(4.9 * len(names[-1])) + 8, bottom + 20)
    note = f"Bottom line: {row_label} with at least one, of {len(labels)}. A number in a cell is how many."
    return size, "".join([*shades.paths(), *numbers, *sides, *heads, *feet]), note


def _strips(
    counts: pd.DataFrame, names: list[str], totals: list[str], row_label: str
) -> tuple[tuple[int, int], str, str]:
    """Draw one strip per column over all rows, equal neighbours merged; so many rows stay a small picture."""
    import numpy as np

    levels = _shade_levels(counts)
    levels = levels[np.lexsort(-levels.T[::-1])]
    step = 1
    if int((np.diff(levels, axis=0) != 0).sum()) > MAX_RUNS:
        # Rows that agree are neighbours by now; a step shows the middle row of its few.
        step = -(-len(levels) * len(names) // MAX_RUNS)
        levels = levels[step // 2 :: step]
    left, top, width, height = 14 + round(6.3 * max(len(name) for name in names)), 4, 560, 17
    scale, shades = width / len(levels), _Shades(height - 3)
    for j in range(len(names)):
        ends = np.flatnonzero(np.diff(levels[:, j], append=-9)) + 1
        for start, end in zip((0, *ends[:-1]), ends, strict=True):
            x, y, run, level = round(left + start * scale, 1), top + j * height, end - start, int(levels[start, j])
            run = round(run * scale, 1)
            shades.add(level, _box(x, y, run, height - 3) if level < 0 else f"M{x} {y + 7}h{run}")
    sides = [
        f'<text class="e" x="{left - 7}" y="{top + j * height + 11}">{escape(name)}</text>'
        f'<text class="mu" x="{left + width + 8}" y="{top + j * height + 11}">{total} of {len(counts)}</text>'
        for j, (name, total) in enumerate(zip(names, totals, strict=True))
    ]
    note = f"{len(counts)} {row_label} from left to right, like beside like; a stronger colour means more."
    if step > 1:
        note += f" One of every {step} is drawn."
    return (left + width + 90, top + len(names) * height + 4), "".join([*shades.paths(), *sides]), note


class _Shades:
    """Marks collected per shade, so that a picture needs one SVG path for each; a thick line is a short rectangle."""

    def __init__(self, thickness: int) -> None:
        self._thickness = thickness
        self._marks: dict[int, list[str]] = {}

    def add(self, level: int, mark: str) -> None:
        self._marks.setdefault(level, []).append(mark)

    def paths(self) -> list[str]:
        return [
            f'<path class="l{level if level >= 0 else "x"}" stroke-width="{self._thickness}" d="{"".join(marks)}"/>'
            for level, marks in sorted(self._marks.items())
        ]


def _box(x: float, y: float, width: float, height: float) -> str:
    return f"M{x} {y}h{width}v{height}h-{width}z"


def _row_of_numbers(numbers: Sequence[tuple[int, str]], y: int) -> list[str]:
    """Write the one-digit numbers of a row as one text with a place for each glyph, longer ones one by one."""
    short = [(x, text) for x, text in numbers if len(text) == 1]
    groups = [(" ".join(str(x) for x, _ in short), "".join(text for _, text in short))] if short else []
    groups += [(str(x), text) for x, text in numbers if len(text) > 1]
    return [f'<text class="k" x="{places}" y="{y}">{text}</text>' for places, text in groups]


def _shade_levels(counts: pd.DataFrame) -> np.ndarray:
    """Return 0 for none, up to 3 for three or more, -1 for a missing count."""
    import numpy as np

    values = counts.to_numpy()
    return np.where(np.isnan(values), -1, np.clip(np.ceil(np.nan_to_num(values)), 0, 3)).astype(int)
