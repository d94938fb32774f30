"""The coverage picture: how many people have each dataset at each visit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integrate.model.html import Html, picture, text_mark

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["coverage_grid"]

WIDTH, HEIGHT = 74, 24


def coverage_grid(counts: pd.DataFrame, total: int, *, label: str) -> Html:
    """Return a grid of datasets by visits; a cell is filled as far as people have the dataset at the visit.

    Parameters
    ----------
    counts
        Number of people, datasets × visits, as `Study.coverage` returns it.
    total
        All people of the study.
    label
        What is counted, in the plural.

    Returns
    -------
    Html, one SVG; nothing when there is no visit or no dataset.

    Examples
    --------
    >>> import pandas as pd
    >>> "ct at start: 3 of 4" in coverage_grid(pd.DataFrame({"start": [3]}, index=["ct"]), 4, label="subjects")
    True
    """
    shown = counts.iloc[:40, :15]
    if shown.empty or not total:
        return Html("")
    left = 14 + round(6.3 * max(min(len(str(name)), 22) for name in shown.index))
    empty, full, marks, words = [], [], [], []
    for j, visit in enumerate(shown.columns):
        marks.append(text_mark(left + j * WIDTH + WIDTH / 2 - 2, 13, visit, kind="m", limit=12))
    for i, (name, row) in enumerate(shown.iterrows()):
        y = 20 + i * HEIGHT
        marks.append(text_mark(left - 7, y + 14, name, kind="e", limit=22))
        for j, (at, n) in enumerate(row.items()):
            x = left + j * WIDTH
            empty.append(f"M{x} {y + 10}h{WIDTH - 4}")
            full.append(f"M{x} {y + 10}h{round(int(n) / total * (WIDTH - 4), 1):g}" if n else "")
            marks.append(text_mark(x + WIDTH / 2 - 2, y + 14, int(n), kind="m"))
            words.append(f"{name} at {at}: {int(n)} of {total}")
    bars = (
        f'<path class="l0" stroke-width="{HEIGHT - 4}" d="{"".join(empty)}"/>'
        f'<path class="l1" stroke-width="{HEIGHT - 4}" d="{"".join(full)}"/>'
    )
    note = f"{label.capitalize()} with the dataset at the visit, of {total}; observations in its window only."
    hidden = counts.size - shown.size
    note += f" {hidden} more cells are not drawn." if hidden else ""
    size = (left + shown.shape[1] * WIDTH + 6, 24 + len(shown) * HEIGHT)
    return picture(size, bars + "".join(marks), words="; ".join(words[:40]), note=note)
