"""Static figures in one style: colour-blind safe, readable at report size, drawn without pyplot's shared state.

Each function returns a `matplotlib.figure.Figure` whose label is its description in words; a notebook shows the figure,
and a report also carries the words, for readers who cannot see it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from integrate.analyse.survival import at_risk, median_survival
from integrate.errors import AlignmentError, DatasetNotFoundError, ParameterError, closest, some
from integrate.keys import ATTRS
from integrate.model.image import channel_names, image_ids, pixel_size_um, select_channel
from integrate.model.outcome import TIME_UNITS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "plot_association",
    "plot_availability",
    "plot_cells",
    "plot_heatmap",
    "plot_scatter",
    "plot_survival",
    "plot_volcano",
]

#: Okabe and Ito's colours, which people with any common colour vision tell apart.
PALETTE: Final = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
#: The bright ones of them, for channels that add up on black.
CHANNEL_COLOURS: Final = ("#56B4E9", "#E69F00", "#CC79A7", "#009E73")
INK: Final = "#1F2328"
QUIET: Final = "#6B7580"
MISSING: Final = "#C9CED4"

#: Longest side of a picture in displayed pixels; nothing finer is kept than this needs.
MAX_SIDE: Final = 1200
#: Rows or columns a grid can name.
MAX_NAMED: Final = 50
DPI: Final = 144


def plot_cells(
    image: xr.DataArray,
    labels: xr.DataArray | None = None,
    *,
    channels: Mapping[str, str] | Sequence[str] | None = None,
    crop: tuple[int, int, int, int] | None = None,
    percentiles: tuple[float, float] = (1.0, 99.8),
    title: str | None = None,
) -> Figure:
    """Draw channels of an image, mixed in colour, with the outlines of its cells and a scale bar.

    Parameters
    ----------
    image
        Dims ``(c, y, x)``, from `make_image`; may be Dask-backed. Only the channels and the part shown are read, and a
        part larger than the picture is averaged down chunk by chunk.
    labels
        Dims ``(y, x)`` on the same pixels; the outline of each label is drawn.
    channels
        Up to four names, or colours by name. By default all channels, if there are at most four. An image with the
        channels red, green and blue is shown as it is.
    crop
        Part to show, ``(y_start, y_stop, x_start, x_stop)`` in pixels.
    percentiles
        Intensities of the part shown that become black and full colour, per channel.
    title
        By default the ids the image carries.

    Returns
    -------
    Figure. The scale bar is in micrometres when the pixel size is known, and in pixels, saying so, when it is not.
    Missing pixels are grey.

    Raises
    ------
    ParameterError
        If more than four channels are asked for, or the crop lies outside the image.
    DatasetNotFoundError
        If a channel has another name.
    AlignmentError
        If `labels` are not on the pixels of `image`.

    Examples
    --------
    >>> import numpy as np
    >>> from integrate.model.image import make_image
    >>> image = make_image(np.eye(64)[None], channels=["DNA"], pixel_size_um=None)
    >>> print(plot_cells(image, title="P01").get_label())
    Image P01: DNA; 64 by 64 pixels; pixel size unknown
    """
    colours, natural = _channel_colours(image, channels)
    window = _window(image, crop)
    if labels is not None and (labels.shape != image.shape[1:] or pixel_size_um(labels) != pixel_size_um(image)):
        raise AlignmentError(
            f"labels have {labels.shape} pixels of {pixel_size_um(labels)} um, the image {image.shape[1:]} of "
            f"{pixel_size_um(image)}; resample one to the other first"
        )
    rgb, ranges, missing = _mixed(image, colours, window, percentiles, natural=natural)
    size = pixel_size_um(image)
    figure, axes = _image_axes(rgb.shape[:2], size)
    count = None
    if labels is not None:
        rgb, count = _with_outlines(rgb, labels, window, dark=natural)
    axes.imshow(rgb, extent=(window[2], window[3], window[1], window[0]), interpolation="auto")
    axes.set_aspect(1.0 if size is None else size[0] / size[1])
    _scale_bar(axes, window, size)
    if not natural:
        _channel_legend(axes, colours, ranges)
    title = title if title is not None else " · ".join(image_ids(image).values())
    words = f"Image {title}: {', '.join(colours)}; {window[1] - window[0]} by {window[3] - window[2]} pixels"
    words += "" if count is None else f"; {count} cells outlined"
    words += "; pixel size unknown" if size is None else f"; {size[1]:g} µm per pixel"
    return _finished(figure, axes, title=title + ("\ngrey: no data" if missing else ""), words=words)


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
    figure, axes = _new_figure(1.8 + 0.5 * values.shape[1], height)
    axes.imshow(np.clip(values, 0, 3), cmap=_shades(), vmin=0, vmax=3, aspect="auto", interpolation="nearest")
    if named:
        for row, column in np.argwhere(values > 1):
            axes.text(column, row, f"{values[row, column]:g}", ha="center", va="center", color="white", fontsize=7.5)
        _white_grid(axes, values.shape)
    have = (values > 0).sum(axis=0)
    names = [f"{name}\n{n} of {len(values)}" for name, n in zip(counts.columns, have, strict=True)]
    _name_ticks(axes, counts.index if named else None, names)
    if not named:
        axes.set_ylabel(f"{len(values)} {row_label}, like beside like")
    head = title if title is not None else f"{len(values)} {row_label}, {values.shape[1]} datasets"
    told = ", ".join(f"{name} {n}" for name, n in zip(counts.columns, have, strict=True))
    words = f"Availability for {len(values)} {row_label}: {told}"
    grey = "\ngrey: not known" if np.isnan(values).any() else ""
    return _finished(figure, axes, title=head + grey, words=words)


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

    value_label, group_label = _label(values, value_label, "value"), _label(groups, group_label, "group")
    table = _paired(values, groups)
    placed = table.dropna(subset=["second"])
    kinds = list(order) if order is not None else sorted(pd.unique(placed["second"]), key=str)
    left_out = set(placed["second"]) - set(kinds)
    if left_out:
        raise ParameterError(f"order leaves out the groups {some(left_out)}; name every group")
    parts = [placed.loc[placed["second"] == kind, "first"] for kind in kinds]
    figure, axes = _new_figure(max(3.2, 1.2 + 1.05 * len(kinds)), 3.6)
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
    second = [_test_words(p, q, method), f"{ungrouped} without a group not shown" if ungrouped else ""]
    head = title if title is not None else f"{value_label} by {group_label}"
    told = ", ".join(f"{k} median {x.median():.4g} (n = {x.notna().sum()})" for k, x in zip(kinds, parts, strict=True))
    lines = f"{head}\n{'; '.join(filter(None, second))}"
    return _finished(figure, axes, title=lines, words=f"{head}: {told}. {_test_words(p, q, method)}")


def plot_scatter(
    x: Sequence[float] | pd.Series,
    y: Sequence[float] | pd.Series,
    *,
    x_label: str | None = None,
    y_label: str | None = None,
    groups: Sequence[object] | pd.Series | None = None,
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
    x_label, y_label = _label(x, x_label, "x"), _label(y, y_label, "y")
    table = _paired(x, y)
    if groups is not None:
        table["group"] = _paired(x, groups)["second"].astype(object).fillna("no group")
    shown = table.dropna(subset=["first", "second"])
    figure, axes = _new_figure(4.4, 3.7)
    kinds = [None] if groups is None else sorted(shown["group"].unique(), key=str)
    for number, kind in enumerate(kinds):
        part = shown if kind is None else shown[shown["group"] == kind]
        marker, colour = "osD^vP*X"[number % 8], PALETTE[number % len(PALETTE)]
        axes.scatter(part["first"], part["second"], s=22, marker=marker, color=colour, alpha=0.75, lw=0, label=kind)
    if groups is not None:
        axes.legend(
            title=_label(groups, None, ""),
            loc="upper left",
            bbox_to_anchor=(1, 1),
            frameon=False,
            fontsize=8,
            title_fontsize=8.5,
        )
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    told = _spearman(shown["first"].to_numpy(dtype=float), shown["second"].to_numpy(dtype=float))
    lost = len(table) - len(shown)
    told += f"; {lost} without both values not shown" if lost else ""
    head = title if title is not None else f"{y_label} against {x_label}"
    return _finished(figure, axes, title=f"{head}\n{told}", words=f"{head}: {told}")


def plot_heatmap(
    matrix: pd.DataFrame, *, standardise: bool = True, cluster: bool = True, title: str | None = None
) -> Figure:
    """Draw a matrix of observations by features.

    Parameters
    ----------
    matrix
        Numbers, one row per observation and one column per feature. Missing values are grey.
    standardise
        Show each feature in standard deviations from its mean, so that features of different units share one scale.
    cluster
        Put like rows and like columns side by side (average linkage). For this order alone a missing value counts as
        its feature's mean.
    title
        By default the size of the matrix.

    Returns
    -------
    Figure. More than 50 rows or columns are not named.

    Examples
    --------
    >>> import pandas as pd
    >>> print(plot_heatmap(pd.DataFrame({"area": [1.0, 2.0, None]})).get_label())
    Heat map: 3 observations, 1 features; 1 of 3 values missing
    """
    import numpy as np

    values = matrix.to_numpy(dtype=float)
    if standardise:
        values = _standardised(values)
    rows, columns = np.arange(values.shape[0]), np.arange(values.shape[1])
    if cluster:
        filled = np.nan_to_num(_standardised(values))
        rows, columns = _leaf_order(filled), _leaf_order(filled.T)
    shown = values[np.ix_(rows, columns)]
    width, height = (min(9.0, 2.2 + 0.17 * n) if n <= MAX_NAMED else 7.0 for n in (len(columns), len(rows)))
    figure, axes = _new_figure(max(4.0, width), max(2.6, height))
    limit = 2.5 if standardise else None
    lower = -2.5 if standardise else None
    cmap = _with_missing("RdBu_r" if standardise else "viridis")
    drawn = axes.imshow(shown, cmap=cmap, vmin=lower, vmax=limit, aspect="auto", interpolation="nearest")
    row_names = matrix.index[rows] if len(rows) <= MAX_NAMED else None
    _name_ticks(axes, row_names, matrix.columns[columns] if len(columns) <= MAX_NAMED else None)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.6, aspect=18, extend="both" if standardise else "neither")
    bar.set_label("standard deviations from the mean" if standardise else "value", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    missing = int(np.isnan(values).sum())
    head = title if title is not None else f"{len(rows)} observations, {len(columns)} features"
    lost = f"{missing} of {values.size} values missing"
    return _finished(
        figure, axes, title=f"{head}\n{lost} (grey)" if missing else head, words=f"Heat map: {head}; {lost}"
    )


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
    figure, axes = _new_figure(5.2, 3.4 + 0.2 * len(medians))
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
    second = [_test_words(p, None, method), f"{missing} not shown: no outcome or group" if missing else ""]
    told = "; ".join(
        f"{row['group']} n = {row['n_obs']}, {row['n_events']} events, median "
        + ("not reached" if math.isnan(row["median"]) else f"{row['median']:.4g} {unit}".strip())
        for row in medians.to_dict("records")
    )
    lines = f"{head}\n{'; '.join(filter(None, second))}"
    return _finished(figure, axes, title=lines, words=f"{head}: {told}. {_test_words(p, None, method)}")


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
    figure, axes = _new_figure(5.2, 4.2)
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
    return _finished(figure, axes, title=f"{title or ''}\n{told}".strip(), words=words)


# --- what every figure shares ------------------------------------------------------------------------------------


def _new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    _show_in_notebooks(Figure)
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.set_facecolor("white")
    axes.grid(visible=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(labelsize=8.5, color=QUIET, labelcolor=INK)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(size=9, color=INK)
    return figure, axes


def _finished(figure: Figure, axes: Axes, *, title: str, words: str) -> Figure:
    """Write the title, broken where it would run out of the figure, and keep the description in words."""
    import textwrap

    from matplotlib.text import Text

    width = max(24, round(12.3 * (figure.get_size_inches()[0] - 0.4)))
    lines = [part for line in title.splitlines() for part in textwrap.wrap(line, width)]
    axes.set_title("\n".join(lines), loc="left", fontsize=9.5, color=INK)
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a "$" in a name is a dollar, not a formula
    figure.set_label(" ".join(words.split()))
    return figure


def _show_in_notebooks(figure_class: type[Figure]) -> None:
    """Tell a running IPython how to show a described figure; without pyplot it would print its repr only."""
    module = sys.modules.get("IPython")
    shell = None if module is None else module.get_ipython()
    if shell is not None and shell.display_formatter is not None:
        shell.display_formatter.mimebundle_formatter.for_type(figure_class, _mimebundle)


def _mimebundle(figure: Figure) -> tuple[dict[str, str], dict[str, Any]]:
    import base64
    import io

    words = str(figure.get_label())
    if not words:  # someone else's figure: their own formatter shows it
        return {}, {}
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    width, height = (round(inches * 96) for inches in figure.get_size_inches())
    notes = {"image/png": {"alt": words, "width": width, "height": height}}
    return {"image/png": base64.b64encode(stream.getvalue()).decode("ascii"), "text/plain": words}, notes


# --- images ------------------------------------------------------------------------------------------------------


def _channel_colours(
    image: xr.DataArray, channels: Mapping[str, str] | Sequence[str] | None
) -> tuple[dict[str, str], bool]:
    """Return a colour per channel, and whether the image is an ordinary colour picture."""
    names = channel_names(image)
    if channels is None and [name.lower() for name in names] in (["r", "g", "b"], ["red", "green", "blue"]):
        return dict(zip(names, ("#FF0000", "#00FF00", "#0000FF"), strict=True)), True
    if channels is None and len(names) > len(CHANNEL_COLOURS):
        raise ParameterError(f"the image has {len(names)} channels; name up to 4 to show: {some(names, limit=60)}")
    if isinstance(channels, Mapping):
        return dict(channels), False
    chosen = [channels] if isinstance(channels, str) else list(names if channels is None else channels)
    if len(chosen) > len(CHANNEL_COLOURS):
        raise ParameterError(f"{len(chosen)} channels asked for; more than 4 colours cannot be told apart")
    colours = ("#FFFFFF",) if len(chosen) == 1 else CHANNEL_COLOURS
    return dict(zip(chosen, colours, strict=False)), False


def _window(image: xr.DataArray, crop: tuple[int, int, int, int] | None) -> tuple[int, int, int, int]:
    height, width = image.shape[1:]
    if crop is None:
        return 0, height, 0, width
    y_start, y_stop, x_start, x_stop = crop
    if not (0 <= y_start < y_stop <= height and 0 <= x_start < x_stop <= width):
        raise ParameterError(
            f"crop {crop} is not inside the image of {height} x {width} pixels (y, x); "
            "give (y_start, y_stop, x_start, x_stop)"
        )
    return y_start, y_stop, x_start, x_stop


def _step(window: tuple[int, int, int, int]) -> int:
    return max(1, math.ceil(max(window[1] - window[0], window[3] - window[2]) / MAX_SIDE))


def _mixed(
    image: xr.DataArray,
    colours: Mapping[str, str],
    window: tuple[int, int, int, int],
    percentiles: tuple[float, float],
    *,
    natural: bool,
) -> tuple[np.ndarray, list[tuple[float, float]], bool]:
    """Return the picture ``(y, x, 3)``, the intensities that became black and full, and whether pixels are missing."""
    import numpy as np
    from matplotlib.colors import to_rgb

    for name in colours:
        select_channel(image, name)  # a wrong name is told with the closest
    part = image.sel(c=list(colours)).isel(y=slice(*window[:2]), x=slice(*window[2:]))
    step = _step(window)
    if step > 1:
        part = part.coarsen(y=step, x=step, boundary="trim").mean()
    read = np.asarray(part.data, dtype=np.float32)
    full = float(np.iinfo(image.dtype).max) if image.dtype.kind == "u" else 1.0
    ranges = [(0.0, full) if natural else _contrast(plane, percentiles) for plane in read]
    rgb = np.zeros((*read.shape[1:], 3), dtype=np.float32)
    missing = np.zeros(read.shape[1:], dtype=bool)
    for plane, (low, high), colour in zip(read, ranges, colours.values(), strict=True):
        missing |= np.isnan(plane)
        rgb += np.clip((plane - low) / (high - low), 0, 1)[..., None] * np.asarray(to_rgb(colour), dtype=np.float32)
    rgb[missing] = to_rgb(QUIET)
    return np.clip(rgb, 0, 1), ranges, bool(missing.any())


def _contrast(plane: np.ndarray, percentiles: tuple[float, float]) -> tuple[float, float]:
    import numpy as np

    known = plane[~np.isnan(plane)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(known, percentiles))
    if high <= low:  # so sparse that the percentile misses the signal
        high = float(known.max())
    return low, high if high > low else low + 1.0


def _with_outlines(
    rgb: np.ndarray, labels: xr.DataArray, window: tuple[int, int, int, int], *, dark: bool
) -> tuple[np.ndarray, int | None]:
    """Return the picture with a line inside the border of each label, and how many there are if all can be seen."""
    import numpy as np
    from matplotlib.colors import to_rgb
    from skimage.segmentation import find_boundaries

    step = _step(window)
    part = {
        axis: slice(start + step // 2, stop, step) for axis, start, stop in (("y", *window[:2]), ("x", *window[2:]))
    }
    seen = np.asarray(labels.isel(part).data)[: rgb.shape[0], : rgb.shape[1]]
    finer = max(1, MAX_SIDE // max(seen.shape))  # on a small crop the line stays thin
    large = seen.repeat(finer, axis=0).repeat(finer, axis=1)
    rgb = rgb.repeat(finer, axis=0).repeat(finer, axis=1)
    rgb[find_boundaries(large, mode="inner")] = to_rgb("black" if dark else "white")
    return rgb, len(np.setdiff1d(seen, 0)) if step == 1 else None


def _image_axes(shape: tuple[int, int], size: tuple[float, float] | None) -> tuple[Figure, Axes]:
    height, width = shape if size is None else (shape[0] * size[0], shape[1] * size[1])
    across = 5.6 * min(1.0, 1.25 * width / height)
    figure, axes = _new_figure(max(across, 2.4), max(across * height / width, 1.2) + 0.55)
    axes.set_axis_off()
    return figure, axes


def _scale_bar(axes: Axes, window: tuple[int, int, int, int], size: tuple[float, float] | None) -> None:
    from matplotlib.patheffects import withStroke

    width, height = window[3] - window[2], window[1] - window[0]
    unit = 1.0 if size is None else size[1]
    length = _round_length(width * unit / 4)
    if size is None:
        text = f"{length:g} pixels (size unknown)"
    else:
        text = f"{length:g} µm" if length < 1000 else f"{length / 1000:g} mm"
    x, y = window[2] + 0.03 * width, window[1] - 0.035 * height
    edge = [withStroke(linewidth=3.5, foreground="black")]
    axes.plot([x, x + length / unit], [y, y], color="white", lw=2.5, solid_capstyle="butt", path_effects=edge)
    edge = [withStroke(linewidth=2, foreground="black")]
    axes.text(x, y - 0.02 * height, text, color="white", fontsize=8.5, va="bottom", path_effects=edge)
    axes.set_xlim(window[2], window[3])
    axes.set_ylim(window[1], window[0])


def _round_length(length: float) -> float:
    """Return the largest of 1, 2, 5, 10, 20 … that is not longer; pixels and micrometres read well in these."""
    power = 10.0 ** math.floor(math.log10(length))
    return next(step * power for step in (5.0, 2.0, 1.0) if step * power <= length * (1 + 1e-9))


def _channel_legend(axes: Axes, colours: Mapping[str, str], ranges: Sequence[tuple[float, float]]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colour, edgecolor=QUIET, linewidth=0.5, label=f"{name}  {low:.3g}–{high:.3g}")
        for (name, colour), (low, high) in zip(colours.items(), ranges, strict=True)
    ]
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -0.005), "borderaxespad": 0}
    axes.legend(
        handles=handles, ncols=len(handles), frameon=False, fontsize=8, handlelength=1, columnspacing=1.2, **place
    )


# --- tables ------------------------------------------------------------------------------------------------------


def _paired(first: Any, second: Any) -> pd.DataFrame:
    """Return two columns side by side, never aligned by guessing."""
    import pandas as pd

    if len(first) != len(second):
        raise AlignmentError(f"{len(first)} values against {len(second)}; give one of each per unit")
    if isinstance(first, pd.Series) and isinstance(second, pd.Series) and not first.index.equals(second.index):
        raise AlignmentError("the two Series have different indexes; reindex one like the other first")
    index = first.index if isinstance(first, pd.Series) else None
    return pd.DataFrame({"first": list(first), "second": list(second)}, index=index)


def _label(values: object, given: str | None, otherwise: str) -> str:
    name = getattr(values, "name", None)
    return given if given is not None else otherwise if name is None else str(name)


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


def _test_words(p: float | None, q: float | None, method: str | None) -> str:
    told = [f"{name} {_small(value)}" for name, value in (("p", p), ("q", q)) if value is not None]
    return f"{method}: {', '.join(told)}" if method and told else method or ", ".join(told)


def _small(value: float) -> str:
    if math.isnan(value):
        return "not available"
    return "< 0.0001" if value < 1e-4 else f"= {value:.2g}"


def _spearman(x: np.ndarray, y: np.ndarray) -> str:
    import numpy as np
    from scipy.stats import spearmanr

    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return f"Spearman ρ not defined, n = {len(x)}"
    rho, p = (float(value) for value in spearmanr(x, y))
    if len(x) <= 8:  # the approximation calls any perfect order of four points certain
        p = _permutation_p(x, y, rho)
    return f"Spearman ρ = {rho:.2f}, p {_small(p)}, n = {len(x)}"


def _permutation_p(x: np.ndarray, y: np.ndarray, rho: float) -> float:
    """Return the share of all orders of `y` whose rank correlation with `x` is at least as far from zero."""
    import itertools

    import numpy as np
    from scipy.stats import rankdata

    first, second = rankdata(x) - (len(x) + 1) / 2, rankdata(y) - (len(y) + 1) / 2
    orders = np.array(list(itertools.permutations(second)))
    reached = np.abs(orders @ first) / np.sqrt((first @ first) * (second @ second))
    return float(np.mean(reached >= abs(rho) - 1e-9))


def _standardised(values: np.ndarray) -> np.ndarray:
    """Return each column in standard deviations from its mean; a constant column is 0, an empty one stays missing."""
    import numpy as np

    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    centred = values - np.where(known, values, 0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, centred, 0) ** 2).sum(axis=0) / count)
    return centred / np.where(spread > 0, spread, 1.0)


def _leaf_order(values: np.ndarray) -> np.ndarray:
    import numpy as np
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(values) < 3:
        return np.arange(len(values))
    return np.asarray(leaves_list(linkage(values, method="average", optimal_ordering=len(values) <= 300)))


def _with_missing(name: str) -> Any:
    import matplotlib

    return matplotlib.colormaps[name].with_extremes(bad=MISSING)


def _shades() -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap(["#EEF1F4", "#8FBFDD", "#3C8FC4", "#005A8F"]).with_extremes(bad=MISSING)


def _white_grid(axes: Axes, shape: tuple[int, ...]) -> None:
    axes.set_xticks([i - 0.5 for i in range(shape[1] + 1)], minor=True)
    axes.set_yticks([i - 0.5 for i in range(shape[0] + 1)], minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)


def _name_ticks(axes: Axes, rows: Any, columns: Any) -> None:
    axes.spines[:].set_visible(False)
    axes.set_yticks([] if rows is None else range(len(rows)), None if rows is None else [str(name) for name in rows])
    if columns is None:
        axes.set_xticks([])
        return
    axes.set_xticks(
        range(len(columns)), [str(name) for name in columns], rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.tick_params(length=0, labelsize=8)


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
