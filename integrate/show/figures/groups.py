"""Pictures of one variable against another, in groups or as points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, ParameterError, some
from integrate.show.figures.style import finished, label_of, new_figure, words_of_p, words_of_test
from integrate.show.palette import INK, PALETTE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_association", "plot_scatter"]


def plot_association(
    values: Sequence[float] | pd.Series,
    groups: Sequence[object] | pd.Series,
    *,
    value_label: str | None = None,
    group_label: str | None = None,
    order: Sequence[object] | None = None,
    p: float | None = None,
    q: float | None = None,
    method: str | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a feature in groups: a box for each, every value as a point, and how many there are.

    Parameters
    ----------
    values, groups
        One value and one group per unit of analysis, in the same order; two Series must have the same index.
    value_label, group_label
        Axis titles, with the unit; by default the names of the Series.
    order
        Groups from left to right; by default sorted.
    p, q, method
        The result of the test that was made on exactly these values, for the title; nothing is tested here.
    title
        First line; by default "value by group".

    Returns
    -------
    Figure. Units without a value are counted beside n; units without a group are counted in the title.

    Raises
    ------
    AlignmentError
        If values and groups differ in length or index.
    ParameterError
        If `order` leaves out a group.

    Examples
    --------
    >>> figure = plot_association([1.0, 2.0, 6.0], ["no", "no", "yes"], value_label="density", group_label="response")
    >>> print(figure.get_label())
    density by response: no median 1.5 (n = 2), yes median 6 (n = 1).
    """
    import pandas as pd

    value_label, group_label = label_of(values, value_label, "value"), label_of(groups, group_label, "group")
    table = _paired(values, groups)
    placed = table.dropna(subset=["second"])
    kinds = list(order) if order is not None else sorted(pd.unique(placed["second"]), key=str)
    left_out = set(placed["second"]) - set(kinds)
    if left_out:
        raise ParameterError(f"order leaves out the groups {some(left_out)}; name every group")
    parts = [placed.loc[placed["second"] == kind, "first"] for kind in kinds]
    figure, axes = new_figure(max(3.2, 1.2 + 1.05 * len(kinds)), 3.6)
    for position, part in enumerate(parts):
        _box(axes, position, part.dropna().to_numpy(dtype=float), PALETTE[position % len(PALETTE)])
    ticks = [
        f"{kind}\nn = {part.notna().sum()}" + (f"\n({part.isna().sum()} missing)" if part.isna().any() else "")
        for kind, part in zip(kinds, parts, strict=True)
    ]
    axes.set_xticks(range(len(kinds)), ticks)
    axes.set_xlim(-0.6, len(kinds) - 0.4)
    axes.set_xlabel(group_label)
    axes.set_ylabel(value_label)
    ungrouped = len(table) - len(placed)
    second = [words_of_test(p, q, method), f"{ungrouped} without a group not shown" if ungrouped else ""]
    head = title if title is not None else f"{value_label} by {group_label}"
    told = ", ".join(f"{k} median {x.median():.4g} (n = {x.notna().sum()})" for k, x in zip(kinds, parts, strict=True))
    lines = f"{head}\n{'; '.join(filter(None, second))}"
    return finished(figure, axes, title=lines, words=f"{head}: {told}. {words_of_test(p, q, method)}")


def plot_scatter(
    x: Sequence[float] | pd.Series,
    y: Sequence[float] | pd.Series,
    *,
    x_label: str | None = None,
    y_label: str | None = None,
    groups: Sequence[object] | pd.Series | None = None,
    independent: bool = True,
    title: str | None = None,
) -> Figure:
    """Draw one number against another, with Spearman's rank correlation.

    Parameters
    ----------
    x, y
        One value each per unit of analysis, in the same order; two Series must have the same index.
    x_label, y_label
        Axis titles, with the unit; by default the names of the Series.
    groups
        Colours and markers of the points; it does not enter the correlation.
    independent
        Whether each point is an observation of its own, such as a patient. Cells or spots of one section are not, and a
        p value would count them as if they were: it is left out.
    title
        First line; by default "y against x".

    Returns
    -------
    Figure whose title gives rho, its p value and n, and how many pairs lack a value and are not shown.

    Raises
    ------
    AlignmentError
        If the values differ in length or index.

    Examples
    --------
    >>> print(plot_scatter([1, 2, 3, 4], [1, 4, 9, 16], x_label="side", y_label="area").get_label())
    area against side: Spearman ρ = 1.00, p = 0.083, n = 4
    """
    x_label, y_label = label_of(x, x_label, "x"), label_of(y, y_label, "y")
    table = _paired(x, y)
    if groups is not None:
        table["group"] = _paired(x, groups)["second"].astype(object).fillna("no group")
    shown = table.dropna(subset=["first", "second"])
    figure, axes = new_figure(4.4, 3.7)
    kinds = [None] if groups is None else sorted(shown["group"].unique(), key=str)
    for number, kind in enumerate(kinds):
        part = shown if kind is None else shown[shown["group"] == kind]
        marker, colour = "osD^vP*X"[number % 8], PALETTE[number % len(PALETTE)]
        axes.scatter(part["first"], part["second"], s=22, marker=marker, color=colour, alpha=0.75, lw=0, label=kind)
    if groups is not None:
        axes.legend(
            title=label_of(groups, None, ""),
            loc="upper left",
            bbox_to_anchor=(1, 1),
            frameon=False,
            fontsize=8,
            title_fontsize=8.5,
        )
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    told = _spearman(*(shown[one].to_numpy(dtype=float) for one in ("first", "second")), test=independent)
    lost = len(table) - len(shown)
    told += f"; {lost} without both values not shown" if lost else ""
    head = title if title is not None else f"{y_label} against {x_label}"
    return finished(figure, axes, title=f"{head}\n{told}", words=f"{head}: {told}")


def _paired(first: Any, second: Any) -> pd.DataFrame:
    """Return two columns side by side, never aligned by guessing."""
    import pandas as pd

    if len(first) != len(second):
        raise AlignmentError(f"{len(first)} values against {len(second)}; give one of each per unit")
    if isinstance(first, pd.Series) and isinstance(second, pd.Series) and not first.index.equals(second.index):
        raise AlignmentError("the two Series have different indexes; reindex one like the other first")
    index = first.index if isinstance(first, pd.Series) else None
    return pd.DataFrame({"first": list(first), "second": list(second)}, index=index)


def _box(axes: Axes, position: int, values: np.ndarray, colour: str) -> None:
    import numpy as np

    if not values.size:
        return
    line = {"color": INK, "linewidth": 1.0}
    axes.boxplot(
        [values], positions=[position], widths=0.55, showfliers=False, boxprops=line, whiskerprops=line, capprops=line,
        medianprops={"color": INK, "linewidth": 2.0}, manage_ticks=False, zorder=1,
    )  # fmt: skip
    # Spread points by rank with the golden ratio: neighbours in value lie far apart, the same in every run.
    spread = (np.arange(values.size) * 0.6180339887 % 1 - 0.5) * min(0.42, 0.05 * values.size)
    axes.scatter(position + spread, np.sort(values), s=16, color=colour, alpha=0.75, linewidths=0, zorder=2)


def _spearman(x: np.ndarray, y: np.ndarray, *, test: bool) -> str:
    import numpy as np
    from scipy.stats import spearmanr

    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return f"Spearman ρ not defined, n = {len(x)}"
    rho, p = (float(value) for value in spearmanr(x, y))
    if not test:
        return f"Spearman ρ = {rho:.2f}, n = {len(x)}"
    if len(x) <= 8:  # the approximation calls any perfect order of four points certain
        p = _permutation_p(x, y, rho)
    return f"Spearman ρ = {rho:.2f}, p {words_of_p(p)}, n = {len(x)}"


def _permutation_p(x: np.ndarray, y: np.ndarray, rho: float) -> float:
    """Return the share of all orders of `y` whose rank correlation with `x` is at least as far from zero."""
    import itertools

    import numpy as np
    from scipy.stats import rankdata

    first, second = rankdata(x) - (len(x) + 1) / 2, rankdata(y) - (len(y) + 1) / 2
    orders = np.array(list(itertools.permutations(second)))
    reached = np.abs(orders @ first) / np.sqrt((first @ first) * (second @ second))
    return float(np.mean(reached >= abs(rho) - 1e-9))
