"""Pictures of many effects at once: a volcano of all, a forest of some with their limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from integrate.errors import DatasetNotFoundError, closest, some
from integrate.show.figures.style import finished, new_figure
from integrate.show.palette import INK, MISSING, PALETTE, QUIET

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_forest", "plot_volcano"]


def plot_volcano(
    results: pd.DataFrame,
    *,
    effect: str = "effect",
    q: str = "q",
    name: str | None = None,
    threshold: float = 0.05,
    effect_label: str | None = None,
    max_labels: int = 10,
    title: str | None = None,
) -> Figure:
    """Draw effect against adjusted p value for many features, naming the strongest.

    Parameters
    ----------
    results
        One row per feature, as an association gives it.
    effect, q
        Columns with the effect and the adjusted p value.
    name
        Column with the feature's name; by default the index.
    threshold
        Adjusted p value below which a feature is coloured and may be named.
    effect_label
        Title of the axis, with the unit; by default the column.
    max_labels
        How many features are named at most, those with the smallest q.
    title
        First line of the title; the second says how many features pass.

    Returns
    -------
    Figure. A q of exactly 0 is drawn as a triangle at the top edge; rows without effect or q are counted, not drawn.

    Raises
    ------
    DatasetNotFoundError
        If a column is not there; the closest names are given.

    Examples
    --------
    >>> import pandas as pd
    >>> results = pd.DataFrame({"effect": [2.0, 0.1], "q": [0.001, 0.8]}, index=["ERBB2", "ACTB"])
    >>> print(plot_volcano(results).get_label())
    Volcano plot: 1 of 2 features at q < 0.05; smallest q: 'ERBB2'
    """
    import numpy as np

    for column in filter(None, (effect, q, name)):
        if column not in results.columns:
            raise DatasetNotFoundError(f"no column {column!r} in the results; {closest(column, results.columns)}")
    tested = results.dropna(subset=[effect, q])
    sizes, adjusted = tested[effect].to_numpy(dtype=float), tested[q].to_numpy(dtype=float)
    names = [str(label) for label in (tested.index if name is None else tested[name])]
    floor = adjusted[adjusted > 0].min(initial=threshold)
    heights = -np.log10(np.where(adjusted > 0, adjusted, floor / 10))
    figure, axes = new_figure(5.2, 4.2)
    passing = adjusted < threshold
    parts = ((~passing, MISSING), (passing & (sizes < 0), PALETTE[0]), (passing & (sizes >= 0), PALETTE[3]))
    for chosen, colour in parts:
        for exact, marker in ((adjusted > 0, "o"), (adjusted == 0, "^")):
            axes.scatter(sizes[chosen & exact], heights[chosen & exact], s=20, color=colour, marker=marker, lw=0)
    axes.axhline(-math.log10(threshold), color=QUIET, lw=0.8, ls="--")
    axes.axvline(0, color=QUIET, lw=0.8)
    axes.margins(x=0.22, y=0.08)
    axes.set_ylim(bottom=0)
    first = [i for i in np.argsort(adjusted, kind="stable") if passing[i]][:max_labels]
    _name_points(axes, [(sizes[i], heights[i], names[i]) for i in first])
    axes.set_xlabel(effect_label or effect)
    axes.set_ylabel(f"−log10 {q}")
    told = f"{int(passing.sum())} of {len(tested)} features at q < {threshold:g}"
    told += f"; {len(results) - len(tested)} without a result not shown" if len(tested) < len(results) else ""
    strongest = [names[i] for i in first]
    words = f"{title or 'Volcano plot'}: {told}; smallest q: {some(strongest, limit=max_labels)}"
    return finished(figure, axes, title=f"{title or ''}\n{told}".strip(), words=words)


def _name_points(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write names beside points, outwards, pushed down where they would lie on each other."""
    from matplotlib.transforms import offset_copy

    low, high = axes.get_ylim()
    gap, lowest = (high - low) * 0.042, {-1: math.inf, 1: math.inf}
    for x, y, name in sorted(points, key=lambda point: -point[1]):
        side = 1 if x >= 0 else -1
        height = lowest[side] = min(y, lowest[side] - gap)
        beside = offset_copy(axes.transData, axes.get_figure(root=True), x=9 * side, units="points")
        axes.annotate(
            name, (x, y), (x, height), textcoords=beside, ha="left" if side > 0 else "right", va="center",
            fontsize=8, color=INK, arrowprops={"arrowstyle": "-", "color": QUIET, "linewidth": 0.5, "shrinkA": 0},
        )  # fmt: skip


def plot_forest(
    results: pd.DataFrame,
    *,
    effect: str = "effect",
    low: str = "ci_low",
    high: str = "ci_high",
    name: str | None = None,
    ratio: bool = False,
    effect_label: str | None = None,
    max_rows: int = 40,
    title: str | None = None,
) -> Figure:
    """Draw effects with their confidence limits, one row each, in the order given.

    Parameters
    ----------
    results
        One row per effect, as `associate` and `cox` give them.
    effect, low, high
        Columns with the effect and its limits.
    name
        Column with the name of a row; by default ``x`` when there is one, else the index.
    ratio
        Whether effects are logarithms of ratios (log hazard, log odds); they are then drawn as ratios around 1.
    effect_label
        Title of the axis; by default the column, or ``ratio``.
    max_rows
        More rows than this are left out, which the title says.
    title
        First line of the title.

    Returns
    -------
    Figure. Limits that exclude no effect are drawn bold; limits that are unknown are not drawn, and rows without an
    effect are counted.

    Raises
    ------
    DatasetNotFoundError
        If a column is not there; the closest names are given.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"effect": [0.7, -0.1], "ci_low": [0.2, -0.5], "ci_high": [1.2, 0.3]}, index=["CD8", "age"])
    >>> print(plot_forest(rows).get_label())
    Forest plot: 2 effects; CD8 0.7 (0.2 to 1.2), age -0.1 (-0.5 to 0.3)
    """
    import numpy as np

    for column in filter(None, (effect, low, high, name)):
        if column not in results.columns:
            raise DatasetNotFoundError(f"no column {column!r} in the results; {closest(column, results.columns)}")
    known = results.dropna(subset=[effect])
    shown = known.head(max_rows)
    names = [str(one) for one in (shown[name] if name else shown.get("x", shown.index))]
    values = shown[[effect, low, high]].to_numpy(dtype=float)
    values, none = (np.exp(values), 1.0) if ratio else (values, 0.0)
    figure, axes = new_figure(5.6, 1.1 + 0.25 * max(len(names), 2))
    for row, (middle, start, stop) in enumerate(values):
        clear = start > none or stop < none
        colour = PALETTE[3] if clear and middle > none else PALETTE[0] if clear else QUIET
        axes.plot([start, stop], [row, row], color=colour, lw=2.2 if clear else 1.3, solid_capstyle="butt")
        axes.scatter([middle], [row], s=30, marker="s", color=colour, zorder=3)
    axes.axvline(none, color=QUIET, lw=0.8, ls="--")
    if ratio:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(effect_label or ("ratio" if ratio else effect))
    lost = [f"{len(results) - len(known)} without an effect not shown" if len(known) < len(results) else ""]
    lost += [f"{len(known) - len(shown)} more effects not shown" if len(shown) < len(known) else ""]
    told = ", ".join(f"{n} {m:.3g} ({a:.3g} to {b:.3g})" for n, (m, a, b) in zip(names, values, strict=True))
    words = f"{title or 'Forest plot'}: {'; '.join(filter(None, [f'{len(names)} effects', *lost, told]))}"
    return finished(figure, axes, title=f"{title or ''}\n{'; '.join(filter(None, lost))}".strip(), words=words)
