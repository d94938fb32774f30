"""Pictures of who has what: a grid of availability, and the sets of those who have the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.show.figures.style import MAX_NAMED, finished, name_ticks, new_figure
from integrate.show.palette import INK, MISSING, PALETTE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_availability", "plot_upset"]


def plot_availability(counts: pd.DataFrame, *, row_label: str = "subjects", title: str | None = None) -> Figure:
    """Draw who has what: rows by columns, darker for more.

    Parameters
    ----------
    counts
        How many of each column a row has; 0 is none, missing is drawn grey and is not counted as none.
    row_label
        What the rows are, in the plural. More than 50 rows are sorted by what they have and not named.
    title
        By default how many rows and columns there are.

    Returns
    -------
    Figure. Below each column stands how many rows have it.

    Examples
    --------
    >>> import pandas as pd
    >>> counts = pd.DataFrame({"ct": [1, 0], "rna": [1, 1]}, index=["P01", "P02"])
    >>> print(plot_availability(counts).get_label())
    Availability for 2 subjects: ct 1, rna 2
    """
    import numpy as np

    values = counts.to_numpy(dtype=float)
    named = len(values) <= MAX_NAMED
    if not named:
        values = values[np.lexsort(-np.nan_to_num(values, nan=-1).T[::-1])]
    height = 1.1 + (0.19 * len(values) if named else 4.0)
    figure, axes = new_figure(1.8 + 0.5 * values.shape[1], height)
    axes.imshow(np.clip(values, 0, 3), cmap=_shades(), vmin=0, vmax=3, aspect="auto", interpolation="nearest")
    if named:
        for row, column in np.argwhere(values > 1):
            axes.text(column, row, f"{values[row, column]:g}", ha="center", va="center", color="white", fontsize=7.5)
        _white_grid(axes, values.shape)
    have = (values > 0).sum(axis=0)
    names = [f"{name}\n{n} of {len(values)}" for name, n in zip(counts.columns, have, strict=True)]
    name_ticks(axes, counts.index if named else None, names)
    if not named:
        axes.set_ylabel(f"{len(values)} {row_label}, like beside like")
    head = title if title is not None else f"{len(values)} {row_label}, {values.shape[1]} datasets"
    told = ", ".join(f"{name} {n}" for name, n in zip(counts.columns, have, strict=True))
    words = f"Availability for {len(values)} {row_label}: {told}"
    grey = "\ngrey: not known" if np.isnan(values).any() else ""
    return finished(figure, axes, title=head + grey, words=words)


def _shades() -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap(["#EEF1F4", "#8FBFDD", "#3C8FC4", "#005A8F"]).with_extremes(bad=MISSING)


def _white_grid(axes: Axes, shape: tuple[int, ...]) -> None:
    axes.set_xticks([i - 0.5 for i in range(shape[1] + 1)], minor=True)
    axes.set_yticks([i - 0.5 for i in range(shape[0] + 1)], minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)


def plot_upset(
    counts: pd.DataFrame, *, row_label: str = "subjects", max_sets: int = 16, title: str | None = None
) -> Figure:
    """Draw how many have exactly the same datasets: a bar for each combination, largest first.

    Parameters
    ----------
    counts
        How many of each column a row has; a missing count is taken as none, and the title says how many were.
    row_label
        What the rows are, in the plural.
    max_sets
        Combinations drawn; the title says how many rows the others have.
    title
        First line of the title.

    Returns
    -------
    Figure. Dots under a bar are the columns that its rows have.

    Examples
    --------
    >>> import pandas as pd
    >>> counts = pd.DataFrame({"ct": [1, 0, 1], "rna": [1, 1, 2]}, index=["P01", "P02", "P03"])
    >>> print(plot_upset(counts).get_label())
    Overlap for 3 subjects: 2 with ct and rna only, 1 with rna only
    """
    have = counts.fillna(0) > 0
    sets = have.groupby(list(have.columns)).size().sort_values(ascending=False, kind="stable")
    drawn = sets.head(max_sets)
    keys = [key if isinstance(key, tuple) else (key,) for key in drawn.index]
    names = [str(name) for name in counts.columns]
    figure, axes = new_figure(1.9 + 0.34 * max(len(keys), 4), 2.1 + 0.24 * len(names))
    top = float(drawn.max())
    step = top * 0.13
    axes.bar(range(len(keys)), drawn, width=0.62, color=PALETTE[0])
    for at, (key, count) in enumerate(zip(keys, drawn, strict=True)):
        axes.text(at, count, str(count), ha="center", va="bottom", fontsize=8, color=INK)
        rows = [-step * (k + 0.9) for k in range(len(names))]
        axes.scatter([at] * len(rows), rows, s=34, color=[INK if one else "#E4E8ED" for one in key], zorder=3)
        on = [row for row, one in zip(rows, key, strict=True) if one]
        if on:
            axes.plot([at, at], [min(on), max(on)], color=INK, lw=1.4)
    axes.spines[["left", "bottom"]].set_visible(False)
    totals = have.sum()
    axes.set_yticks(rows, [f"{name} ({totals.iloc[k]})" for k, name in enumerate(names)])
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.set_ylim(-step * (len(names) + 0.6), top * 1.12)
    unknown = int(counts.isna().sum().sum())
    rest = int(sets.sum() - drawn.sum())
    second = [f"{rest} {row_label} in other combinations not shown" if rest else ""]
    second += [f"{unknown} unknown counts taken as none" if unknown else ""]
    head = title if title is not None else f"{len(counts)} {row_label} by what they have"
    parts = [[name for name, one in zip(names, key, strict=True) if one] for key in keys]
    told = ", ".join(
        f"{count} with {' and '.join(part) or 'nothing'} only" for part, count in zip(parts, drawn, strict=True)
    )
    lines = f"{head}\n{'; '.join(filter(None, second))}"
    return finished(figure, axes, title=lines, words=f"Overlap for {len(counts)} {row_label}: {told}")
