"""What every figure shares: one look, a description in words, and how a notebook shows it without pyplot."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Final

from integrate.show.palette import INK, MISSING, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "DPI",
    "MAX_NAMED",
    "finished",
    "label_of",
    "name_ticks",
    "new_figure",
    "with_missing",
    "words_of_p",
    "words_of_test",
]

DPI: Final = 144
#: Rows or columns a grid can name.
MAX_NAMED: Final = 50


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure of our look, in inches, outside pyplot."""
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


def finished(figure: Figure, axes: Axes, *, title: str, words: str) -> Figure:
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


def name_ticks(axes: Axes, rows: Any, columns: Any) -> None:
    """Name the rows and columns of a grid; ``None`` leaves a side without names."""
    axes.spines[:].set_visible(False)
    axes.set_yticks([] if rows is None else range(len(rows)), None if rows is None else [str(name) for name in rows])
    if columns is None:
        axes.set_xticks([])
        return
    axes.set_xticks(
        range(len(columns)), [str(name) for name in columns], rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.tick_params(length=0, labelsize=8)


def with_missing(name: str) -> Any:
    """Return one of matplotlib's colour maps in which a missing value is grey."""
    import matplotlib

    return matplotlib.colormaps[name].with_extremes(bad=MISSING)


def words_of_test(p: float | None, q: float | None, method: str | None) -> str:
    """Return the result of a test in words, empty when there is none."""
    told = [f"{name} {words_of_p(value)}" for name, value in (("p", p), ("q", q)) if value is not None]
    return f"{method}: {', '.join(told)}" if method and told else method or ", ".join(told)


def words_of_p(value: float) -> str:
    """Return a p value as it is written: ``= 0.03``, ``< 0.0001``."""
    if math.isnan(value):
        return "not available"
    return "< 0.0001" if value < 1e-4 else f"= {value:.2g}"


def label_of(values: object, given: str | None, otherwise: str) -> str:
    """Return the given label, else the name of a Series, else another."""
    name = getattr(values, "name", None)
    return given if given is not None else otherwise if name is None else str(name)
