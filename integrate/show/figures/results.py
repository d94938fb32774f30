"""The picture that fits a table of results, whichever analysis it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.errors import ParameterError
from integrate.show.figures.effects import plot_forest, plot_volcano
from integrate.show.figures.style import finished, new_figure
from integrate.show.figures.survival import plot_survival
from integrate.show.palette import INK, PALETTE, QUIET

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_result"]

#: More effects than this are drawn as a volcano.
FOREST_ROWS = 40
#: Effects whose names begin so are drawn as ratios.
LOGARITHM = "log "


def plot_result(result: pd.DataFrame, *, title: str | None = None) -> Figure:
    """Draw a table that an analysis returned.

    Parameters
    ----------
    result
        Any table of the analyses: effects are drawn as a forest with their limits (ratios on their own scale), many of
        them as a volcano, tests without an effect by their p-values; survival and incidence as curves, a calibration
        against the diagonal, `distributions` as boxes, `missingness` as bars, `table_one` as standardised differences,
        ``Clusters.stability`` by the number of clusters.
    title
        First line of the title; by default what the table is.

    Returns
    -------
    Figure, whose label says in words what it shows.

    Raises
    ------
    ParameterError
        If the table is none of these, or has nothing to draw.

    Examples
    --------
    >>> from integrate.analyse.cox import cox
    >>> from integrate.datasets.toy import toy_survival
    >>> cohort, outcome = toy_survival()
    >>> print(plot_result(cox(cohort, outcome, "CD8", unit="subject")).get_label())
    cox (Efron): 1 effects; protein/CD8 0.978 (0.917 to 1.04)
    """
    columns = set(result.columns)
    pictures = {
        "survival": lambda: plot_survival(result, title=title),
        "incidence": lambda: _curves(result, title),
        "predicted": lambda: _calibration(result, title),
        "stability": lambda: _stability(result, title),
        "share_missing": lambda: _bars(result.set_index("x")["share_missing"], title or "Missing", "share missing"),
        "q1": lambda: _boxes(result, title),
        "smd": lambda: _differences(result, title),
        "median": lambda: plot_forest(result, effect="median", name="group", title=title or "Median survival"),
        "effect": lambda: _effects(result, title),
    }
    fitting = next((name for name in pictures if name in columns), None)
    if fitting is None or result.empty:
        raise ParameterError(
            f"nothing to draw in a table of {len(result)} rows with columns {', '.join(map(str, columns))}"
        )
    return pictures[fitting]()


def _effects(result: pd.DataFrame, title: str | None) -> Figure:
    """Draw effects with their limits, many effects as a volcano, and tests that have no effect by their p."""
    import numpy as np

    named = result.assign(name=_names(result))
    methods = result["method"].dropna().unique()
    head = title or (methods[0] if len(methods) == 1 else f"{len(methods)} methods")
    known = result["effect"].notna()
    if not known.any() and result["p"].notna().any():
        with np.errstate(divide="ignore"):
            heights = -np.log10(named.set_index("name")["p"])
        return _bars(heights, head, "−log10 p", mark=-float(np.log10(0.05)))
    if not known.any():
        raise ParameterError(f"no effect in {len(result)} rows, because: {result['reason'].iloc[0]}")
    labels = result["effect_name"].dropna().unique()
    label = str(labels[0]) if len(labels) == 1 else "effect"
    if int(known.sum()) > FOREST_ROWS and result["q"].notna().any():
        return plot_volcano(named, name="name", effect_label=label, title=head)
    ratio = all(str(one).startswith(LOGARITHM) for one in labels)
    shown = label.removeprefix(LOGARITHM) if ratio else label
    return plot_forest(named, name="name", ratio=ratio, effect_label=shown, title=head)


def _names(result: pd.DataFrame) -> list[str]:
    """Return a name for each row from what differs between rows: x, y, the groups, the method."""
    asked = [column for column in ("x", "y", "groups", "effect_name", "method") if column in result]
    chosen = [column for column in asked if result[column].nunique() > 1] or asked[:1]
    while len(chosen) > 1 and not result.duplicated(chosen[:-1]).any():
        chosen.pop()
    return [", ".join(str(value) for value in row) for row in result[chosen].itertuples(index=False)]


def _curves(result: pd.DataFrame, title: str | None) -> Figure:
    """Draw cumulative incidences with their limits."""
    figure, axes = new_figure(5.2, 3.6)
    told = []
    for number, (group, curve) in enumerate(result.groupby("group", sort=False)):
        colour = PALETTE[number % len(PALETTE)]
        axes.step(curve["time"], curve["incidence"], where="post", color=colour, lw=1.6, label=str(group))
        axes.fill_between(curve["time"], curve["ci_low"], curve["ci_high"], step="post", color=colour, alpha=0.15, lw=0)
        last = curve.iloc[-1]
        told.append(f"{group} {last['incidence']:.2f} ({last['ci_low']:.2f} to {last['ci_high']:.2f})")
    axes.set_ylim(0, 1)
    axes.set_xlim(left=0)
    axes.set_xlabel("time")
    axes.set_ylabel("share with the event")
    if len(told) > 1:
        axes.legend(frameon=False, fontsize=8)
    head = title or "Cumulative incidence"
    return finished(figure, axes, title=head, words=f"{head} at the end: {'; '.join(told)}")


def _calibration(result: pd.DataFrame, title: str | None) -> Figure:
    """Draw what came against what was predicted."""
    bins = result.dropna(subset=["predicted", "effect"])
    if bins.empty:
        raise ParameterError("no group of units has both a prediction and an outcome")
    figure, axes = new_figure(4.2, 4.0)
    low = min(bins["predicted"].min(), bins["effect"].min())
    high = max(bins["predicted"].max(), bins["effect"].max())
    axes.plot([low, high], [low, high], color=QUIET, lw=0.8, ls="--")
    axes.vlines(bins["predicted"], bins["ci_low"], bins["ci_high"], color=PALETTE[0], lw=1.3)
    axes.plot(bins["predicted"], bins["effect"], "o-", color=PALETTE[0], ms=5, lw=1)
    axes.set_xlabel("predicted")
    axes.set_ylabel(f"observed {bins['effect_name'].iloc[0]}")
    slopes = result[result["x"] == "slope"].dropna(subset=["effect"])
    told = [f"slope {one.effect:.2f} ({one.ci_low:.2f} to {one.ci_high:.2f})" for one in slopes.itertuples()]
    head = title or "Calibration"
    words = "; ".join(
        [*told, *(f"{p:.2f} predicted, {o:.2f} came" for p, o in bins[["predicted", "effect"]].to_numpy())]
    )
    return finished(figure, axes, title="\n".join([head, *told]), words=f"{head}: {words}")


def _stability(result: pd.DataFrame, title: str | None) -> Figure:
    """Draw how stable each number of clusters is."""
    figure, axes = new_figure(4.6, 3.2)
    axes.vlines(result["k"], result["ci_low"], result["ci_high"], color=PALETTE[0], lw=1.3)
    axes.plot(result["k"], result["stability"], "o-", color=PALETTE[0], label="stability")
    axes.plot(result["k"], result["silhouette"], "s--", color=PALETTE[1], label="silhouette")
    axes.set_xticks(list(result["k"]))
    axes.set_xlabel("clusters")
    axes.set_ylim(top=1.02)
    axes.legend(frameon=False, fontsize=8)
    head = title or "Stability of clusters"
    told = ", ".join(f"{int(k)}: {value:.2f}" for k, value in result[["k", "stability"]].to_numpy())
    return finished(figure, axes, title=head, words=f"{head}: {told}")


def _boxes(result: pd.DataFrame, title: str | None) -> Figure:
    """Draw quantiles of each variable and group as boxes from minimum to maximum."""
    known = result.dropna(subset=["median"])
    one_group = known["group"].nunique() == 1
    names = [str(row.x) if one_group else f"{row.x}, {row.group}" for row in known.itertuples()]
    figure, axes = new_figure(5.4, 1.0 + 0.32 * max(len(names), 2))
    keys = {"whislo": "min", "q1": "q1", "med": "median", "q3": "q3", "whishi": "max"}
    boxes: list[dict[str, Any]] = [{key: row[column] for key, column in keys.items()} for _, row in known.iterrows()]
    axes.bxp(boxes, positions=range(len(names)), orientation="horizontal", showfliers=False, medianprops={"color": INK})
    axes.set_yticks(range(len(names)), [f"{name}\nn = {n}" for name, n in zip(names, known["n_obs"], strict=True)])
    axes.invert_yaxis()
    axes.set_xlabel("minimum, quartiles, maximum")
    head = title or "Distributions"
    told = ", ".join(f"{name} median {value:.3g}" for name, value in zip(names, known["median"], strict=True))
    return finished(figure, axes, title=head, words=f"{head}: {told}")


def _differences(result: pd.DataFrame, title: str | None) -> Figure:
    """Draw the standardised differences between groups."""
    known = result[result["smd"].notna()]
    if known.empty:
        raise ParameterError("table_one has no differences to draw; give by=")
    heights = known.set_index("variable")["smd"].astype(float)
    return _bars(heights, title or "Differences between groups", "standardised difference", mark=0.1)


def _bars(values: Any, head: str, label: str, *, mark: float | None = None) -> Figure:
    """Draw a bar for each named value, with a line at a mark."""
    figure, axes = new_figure(5.2, 1.0 + 0.24 * max(len(values), 2))
    axes.barh(range(len(values)), values.to_numpy(dtype=float), color=PALETTE[0], height=0.6)
    if mark is not None:
        axes.axvline(mark, color=QUIET, lw=0.8, ls="--")
    _name_rows(axes, [str(name) for name in values.index])
    axes.set_xlabel(label)
    told = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
    return finished(figure, axes, title=head, words=f"{head}: {label} {told}")


def _name_rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
