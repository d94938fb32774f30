"""The picture of survival: Kaplan–Meier curves over the table of who is still followed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from integrate.analyse.survival import at_risk, median_survival
from integrate.errors import ParameterError
from integrate.keys import ATTRS
from integrate.model.outcome import TIME_UNITS
from integrate.show.figures.style import finished, new_figure, words_of_test
from integrate.show.palette import INK, PALETTE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_survival"]


def plot_survival(
    curves: pd.DataFrame,
    *,
    time_label: str | None = None,
    survival_label: str = "share without the event",
    p: float | None = None,
    method: str | None = None,
    title: str | None = None,
) -> Figure:
    """Draw Kaplan–Meier curves with their 95 % limits, and below them how many are still followed.

    Parameters
    ----------
    curves
        What `kaplan_meier` returned.
    time_label, survival_label
        Axis titles; by default the unit of time and the event from which it counts.
    p, method
        The result of a test that was made on these groups, for the title; nothing is tested here.
    title
        First line; by default the variable the groups are of.

    Returns
    -------
    Figure. Small upright strokes are units last seen then without the event.

    Raises
    ------
    ParameterError
        If there are more than eight groups.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.analyse.survival import kaplan_meier
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> from integrate.model.outcome import TimeToEvent
    >>> cohort = link(toy_study(), clinical="clinical", unit="subject")
    >>> table = cohort.obs.assign(months=[3.0, 9.0, 12.0], died=[True, True, False])
    >>> outcome = TimeToEvent.from_columns(table, time="months", event="died", unit="mo", origin="diagnosis")
    >>> print(plot_survival(kaplan_meier(cohort, outcome, unit="subject")).get_label())
    Survival: all n = 3, 2 events, median 9 months.
    """
    from matplotlib.ticker import MaxNLocator

    settings = curves.attrs.get(ATTRS, {})
    medians = median_survival(curves)
    if len(medians) > len(PALETTE):
        raise ParameterError(f"{len(medians)} groups; more than {len(PALETTE)} curves cannot be told apart")
    unit = TIME_UNITS.get(settings.get("time_unit", ""), "")
    figure, axes = new_figure(5.2, 3.4 + 0.2 * len(medians))
    for number, (group, curve) in enumerate(curves.groupby("group", sort=False)):
        _survival_curve(axes, curve, PALETTE[number], "-" if number % 2 == 0 else "--", str(group))
    axes.set_ylim(0, 1.03)
    axes.set_xlim(0, float(curves["time"].max()) * 1.02 or 1.0)
    axes.set_ylabel(survival_label)
    origin = f" since {settings['origin']}" if "origin" in settings else ""
    axes.set_xlabel(time_label if time_label is not None else f"{unit or 'time'}{origin}")
    times = [float(t) for t in MaxNLocator(5).tick_values(0, curves["time"].max()) if 0 <= t <= curves["time"].max()]
    axes.set_xticks(times)
    table = at_risk(curves, times)
    rows = [("still followed", INK, [""] * len(times))]
    colours = PALETTE[: len(table)]
    rows += [(str(g), c, list(table.loc[g])) for g, c in zip(table.index, colours, strict=True)]
    for line, (name, colour, counts) in enumerate(rows):
        _below(axes, line, name, colour, list(zip(times, counts, strict=True)))
    if len(medians) > 1:
        axes.legend(frameon=False, fontsize=8, loc="upper right")
    missing = settings.get("n_missing", 0)
    by = settings.get("by")
    head = title if title is not None else f"Survival by {by}" if by else "Survival"
    second = [words_of_test(p, None, method), f"{missing} not shown: no outcome or group" if missing else ""]
    told = "; ".join(
        f"{row['group']} n = {row['n_obs']}, {row['n_events']} events, median "
        + ("not reached" if math.isnan(row["median"]) else f"{row['median']:.4g} {unit}".strip())
        for row in medians.to_dict("records")
    )
    lines = f"{head}\n{'; '.join(filter(None, second))}"
    return finished(figure, axes, title=lines, words=f"{head}: {told}. {words_of_test(p, None, method)}")


def _survival_curve(axes: Axes, curve: pd.DataFrame, colour: str, line: str, group: str) -> None:
    axes.step(curve["time"], curve["survival"], where="post", color=colour, ls=line, lw=1.6, label=group)
    axes.fill_between(
        curve["time"], curve["ci_low"], curve["ci_high"], step="post", color=colour, alpha=0.15, linewidth=0
    )
    seen = curve[curve["n_censored"] > 0]
    axes.scatter(seen["time"], seen["survival"], marker="|", s=28, color=colour, linewidths=0.9)


def _below(axes: Axes, line: int, name: str, colour: str, counts: list[tuple[float, Any]]) -> None:
    """Write a line of the at-risk table under the time axis."""
    from matplotlib.transforms import blended_transform_factory, offset_copy

    place = blended_transform_factory(axes.transData, axes.transAxes)
    lower = offset_copy(place, axes.get_figure(root=True), y=-46 - 13 * line, units="points")
    style: dict[str, Any] = {"fontsize": 8, "color": colour, "va": "center"}
    for time, count in counts:
        axes.text(time, 0, str(count), transform=lower, ha="center", **style)
    beside = offset_copy(axes.transAxes, axes.get_figure(root=True), x=-12, y=-46 - 13 * line, units="points")
    axes.text(0, 0, name, transform=beside, ha="right", **style)
