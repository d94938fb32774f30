"""The HTML an object shows of itself: cards, tables, badges, grids; escaped, light and dark, without scripts or ids.

A section is an `Html` made here or plain text. Plain text is always escaped, so nothing read from a file can become
markup by accident: joining or slicing an `Html` gives plain text again.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Final

from integrate.errors import ParameterError, some

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["Html", "badge", "card", "escape", "matrix", "rows", "table"]

MAX_COLUMNS: Final = 12
MAX_TEXT: Final = 400
MAX_RUNS: Final = 2000
BADGES: Final = ("ok", "warn", "bad", "plain")

#: Characters that are not text: control codes, and the marks that make a name read backwards.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")

# Colours come from JupyterLab or VS Code when the page has them, else from the reader's light or dark preference.
_STYLE = """<style>
.ig{--a:#1f2328;--b:#59636e;--c:#d5dae0;--d:#fff;--e:#f3f5f8;--no:#e4e8ed;--ac:#0072b2;--on:#fff;--ok:#00704f;\
--warn:#8a5a00;--bad:#b3261e;--fg:var(--jp-ui-font-color1,var(--vscode-foreground,var(--a)));\
--mu:var(--jp-ui-font-color2,var(--vscode-descriptionForeground,var(--b)));\
--bd:var(--jp-border-color2,var(--vscode-panel-border,var(--c)));\
--bg:var(--jp-layout-color0,var(--vscode-editor-background,var(--d)));\
--b2:var(--jp-layout-color2,var(--vscode-sideBar-background,var(--e)));\
font:13px/1.45 var(--jp-ui-font-family,system-ui,sans-serif);color:var(--fg);background:var(--bg);\
border:1px solid var(--bd);border-radius:8px;padding:11px 14px;margin:8px 0;max-width:1000px;box-sizing:border-box}
@media screen and (prefers-color-scheme:dark){.ig{--a:#dfe4ea;--b:#9aa5b1;--c:#3b424b;--d:#16191d;--e:#23282f;\
--no:#2b3138;--ac:#56b4e9;--on:#0b1a24;--ok:#4cc79c;--warn:#e8b84a;--bad:#ff8a7a}}
.ig .t{font-size:14px;font-weight:600}.ig .mu{color:var(--mu);font-weight:400}.ig .s{margin-top:8px}
.ig .x{overflow-x:auto}.ig table{border-collapse:collapse;font-size:12.5px;margin:0;border:0;color:inherit}
.ig caption{caption-side:top;text-align:left;color:var(--mu);padding:0 0 4px}
.ig th,.ig td{padding:3px 9px 3px 0;border:0;border-bottom:1px solid var(--bd);text-align:left;\
vertical-align:top;background:none;white-space:normal;max-width:520px;overflow-wrap:anywhere;unicode-bidi:isolate}
.ig thead th{color:var(--mu);font-weight:500;overflow-wrap:normal}.ig tbody th{font-weight:500;overflow-wrap:normal}
.ig td.n,.ig th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.ig td.na{color:var(--mu)}
.ig .b{display:inline-block;border-radius:9px;padding:0 8px;font-size:11px;line-height:17px;white-space:nowrap;\
border:1px solid var(--bd);background:var(--b2)}
.ig .b.ok{color:var(--ok);border-color:var(--ok)}.ig .b.warn{color:var(--warn);border-color:var(--warn)}
.ig .b.bad{color:var(--bad);border-color:var(--bad)}
.ig svg{max-width:100%;height:auto;display:block}.ig text{font:11px system-ui,sans-serif;fill:var(--fg)}
.ig text.mu{fill:var(--mu)}.ig text.k{fill:var(--on);font-weight:600;text-anchor:middle}.ig text.e{text-anchor:end}
.ig path{fill:none;stroke:var(--ac)}.ig .l0{stroke:var(--no)}.ig .l1{stroke-opacity:.5}.ig .l2{stroke-opacity:.8}
.ig .lx{stroke:var(--mu);stroke-width:1;stroke-dasharray:2 2}
@media print{.ig{break-inside:avoid}}
</style>"""


class Html(str):
    """Text that is HTML already; every other text is escaped before it is shown."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(self)


def escape(value: object) -> Html:
    """Return any value as text that is safe between tags and in quoted attributes; an `Html` passes as it is.

    Examples
    --------
    >>> print(escape("<script>"))
    &lt;script&gt;
    """
    if isinstance(value, Html):
        return value
    # A file name that is not UTF-8 arrives with lone surrogates, and no page can be written with those.
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return Html(html.escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)))


def badge(text: object, kind: str = "plain") -> Html:
    """Return a small rounded label.

    Parameters
    ----------
    text
        What the label says; say it in words, the colour only repeats it.
    kind
        ``"ok"``, ``"warn"``, ``"bad"`` or ``"plain"``.

    Returns
    -------
    Html.

    Raises
    ------
    ParameterError
        If `kind` is none of these.

    Examples
    --------
    >>> print(badge("verified", "ok"))
    <span class="b ok">verified</span>
    """
    if kind not in BADGES:
        raise ParameterError(f"no badge of kind {kind!r}; known: {some(BADGES)}")
    return Html(f'<span class="b {kind}">{escape(text)}</span>')


def card(title: object, *sections: object, subtitle: object = "") -> Html:
    """Return the framed picture an object shows of itself, to be returned from ``_repr_html_``.

    Parameters
    ----------
    title
        What the object is called.
    sections
        `Html` from this module, or text, which is escaped.
    subtitle
        The few numbers that matter, on the line of the title.

    Examples
    --------
    >>> "&lt;b&gt;" in card("Study", "<b>")
    True
    """
    head = f'<div class="t">{escape(title)} <span class="mu">{escape(subtitle)}</span></div>'
    body = "".join(f'<div class="s">{escape(section)}</div>' for section in sections if str(section))
    return Html(f'<div class="ig">{_STYLE}{head}{body}</div>')


def rows(header: Sequence[object], body: Iterable[Sequence[object]], *, caption: object = "") -> Html:
    """Return a table of ready values; every row is shown.

    Parameters
    ----------
    header
        Column titles; a header of empty texts is left out, and then the first column names the rows.
    body
        Rows of values: `Html`, text, numbers; missing values show as an en dash.
    caption
        One line above the table.

    Examples
    --------
    >>> "<td>&lt;x&gt;</td>" in rows(("id", "note"), [("P01", "<x>")])
    True
    """
    body = [tuple(row) for row in body]
    titled = any(str(title) for title in header)
    numeric = [_all_numbers(row[i] for row in body if i < len(row)) for i in range(len(header))]
    head = "".join(_tag("th", title, number=number, scope="col") for title, number in zip(header, numeric, strict=True))
    lines = "".join(f"<tr>{_row(row, numeric, named=not titled)}</tr>" for row in body)
    return _framed(f"<thead><tr>{head}</tr></thead>" if titled else "", lines, caption)


def table(frame: pd.DataFrame, *, max_rows: int = 12, caption: object = "") -> Html:
    """Return the first rows and columns of a table, and how many more there are.

    Parameters
    ----------
    frame
        Any table; a named or non-default index is shown first. Nothing in it is computed or changed.
    max_rows
        Rows shown; at most 12 columns are.
    caption
        One line above the table.

    Returns
    -------
    Html; numbers have 4 significant digits, missing values are an en dash, long texts end in an ellipsis.

    Examples
    --------
    >>> import pandas as pd
    >>> "and 88 more rows" in table(pd.DataFrame({"x": range(100)}))
    True
    """
    part = frame.iloc[:max_rows, :MAX_COLUMNS]
    limit = max(40, 900 // (part.shape[1] + 1))
    named = _has_named_rows(frame)
    titles = [*(_index_titles(frame) if named else []), *(_flat(column) for column in part.columns)]
    lines = part.itertuples(index=False, name=None) if part.columns.size else [()] * len(part)  # pandas gives no lines
    body = [(*(_levels(label) if named else ()), *values) for label, values in zip(part.index, lines, strict=True)]
    shown = rows(titles, [[_cut(value, limit) for value in row] for row in body], caption=caption)
    hidden = [
        f"{n - k} more {what}" for n, k, what in zip(frame.shape, part.shape, ("rows", "columns"), strict=True) if n > k
    ]
    note = f'<div class="mu">… and {" and ".join(hidden)}</div>' if hidden else ""
    return Html(f"{shown}{note}")


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
    names = [_cut(_flat(name), 22) for name in shown.columns]
    words = f"{len(shown)} {row_label} by {len(names)} {column_label}: "
    words += ", ".join(f"{name} {total}" for name, total in zip(names, totals, strict=True))
    draw = _grid if len(shown) <= max_rows else _strips
    size, marks, note = draw(shown, names, totals, row_label)
    if counts.shape[1] > shown.shape[1]:
        note += f" {counts.shape[1] - shown.shape[1]} more {column_label} not shown."
    picture = (
        f'<svg role="img" aria-label="{escape(words)}" viewBox="0 0 {size[0]} {size[1]}" '
        f'width="{size[0]}" height="{size[1]}" xmlns="http://www.w3.org/2000/svg">{marks}</svg>'
    )
    return Html(f'{picture}<div class="mu">{escape(note)}</div>')


def _grid(
    counts: pd.DataFrame, names: list[str], totals: list[str], row_label: str
) -> tuple[tuple[int, int], str, str]:
    """Draw one cell per row and column; cells of one shade share one path."""
    labels = [_cut(_flat(label), 22) for label in counts.index]
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


def _framed(head: str, lines: str, caption: object) -> Html:
    above = f"<caption>{escape(caption)}</caption>" if str(caption) else ""
    return Html(f'<div class="x"><table>{above}{head}<tbody>{lines}</tbody></table></div>')


def _row(values: Sequence[object], numeric: Sequence[bool], *, named: bool) -> str:
    cells = [_cell(value, numeric=number) for value, number in zip(values, numeric, strict=False)]
    if named and cells:
        cells[0] = _tag("th", values[0], scope="row")
    return "".join(cells)


def _cell(value: object, *, numeric: bool) -> str:
    if _is_missing(value):
        return f'<td class="na{" n" if numeric else ""}" title="missing">–</td>'
    return _tag("td", _number(value) if _is_number(value) else _cut(value, MAX_TEXT), number=_is_number(value))


def _tag(name: str, value: object, *, number: bool = False, scope: str = "") -> str:
    attributes = (' class="n"' if number else "") + (f' scope="{scope}"' if scope else "")
    return f"<{name}{attributes}>{escape(value)}</{name}>"


def _is_missing(value: object) -> bool:
    return (
        value is None or type(value).__name__ in {"NAType", "NaTType"} or (isinstance(value, Real) and value != value)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _all_numbers(values: Iterable[object]) -> bool:
    known = [value for value in values if not _is_missing(value)]
    return bool(known) and all(_is_number(value) for value in known)


def _number(value: Any) -> str:
    if isinstance(value, Integral):
        return str(value)
    size = abs(float(value))
    if 1e4 <= size < 1e7:
        return f"{float(value):.0f}"
    return f"{float(value):.4g}"


def _cut(value: Any, limit: int) -> Any:
    """Return long text shortened; numbers, missing values and `Html` as they are."""
    if isinstance(value, Html) or _is_missing(value) or _is_number(value):
        return value
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _has_named_rows(frame: pd.DataFrame) -> bool:
    import pandas as pd

    return frame.index.name is not None or not isinstance(frame.index, pd.RangeIndex)


def _index_titles(frame: pd.DataFrame) -> list[str]:
    return ["" if name is None else str(name) for name in frame.index.names]


def _levels(label: object) -> tuple[object, ...]:
    return label if isinstance(label, tuple) else (label,)


def _flat(label: object) -> str:
    return " · ".join(str(part) for part in _levels(label))
