"""The HTML an object shows of itself: cards, tables, badges, pictures; escaped, light and dark, without scripts or ids.

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
    import pandas as pd

__all__ = ["Html", "badge", "card", "cut", "escape", "flat", "picture", "rows", "table", "text_mark"]

MAX_COLUMNS: Final = 12
MAX_TEXT: Final = 400
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
border:1px solid var(--bd);border-radius:8px;padding:11px 14px;margin:8px 0;max-width:1000px;box-sizing:border-box;\
overflow-wrap:break-word}
@media screen and (prefers-color-scheme:dark){.ig{--a:#dfe4ea;--b:#9aa5b1;--c:#3b424b;--d:#16191d;--e:#23282f;\
--no:#2b3138;--ac:#56b4e9;--on:#0b1a24;--ok:#4cc79c;--warn:#e8b84a;--bad:#ff8a7a}}
.ig .t{font-size:14px;font-weight:600}.ig .mu{color:var(--mu);font-weight:400}.ig .s{margin-top:8px}
.ig .x{overflow-x:auto}.ig table{border-collapse:collapse;font-size:12.5px;margin:0;border:0;color:inherit}
.ig caption{caption-side:top;text-align:left;color:var(--mu);padding:0 0 4px}
.ig th,.ig td{padding:3px 9px 3px 0;border:0;border-bottom:1px solid var(--bd);text-align:left;\
vertical-align:top;background:none;white-space:normal;max-width:520px;unicode-bidi:isolate}
.ig thead th{color:var(--mu);font-weight:500}.ig tbody th{font-weight:500}
.ig td.n,.ig th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.ig td.na{color:var(--mu)}
.ig .b{display:inline-block;border-radius:9px;padding:0 8px;font-size:11px;line-height:17px;white-space:nowrap;\
border:1px solid var(--bd);background:var(--b2)}
.ig .b.ok{color:var(--ok);border-color:var(--ok)}.ig .b.warn{color:var(--warn);border-color:var(--warn)}
.ig .b.bad{color:var(--bad);border-color:var(--bad)}
.ig svg{max-width:100%;height:auto;display:block}.ig text{font:11px system-ui,sans-serif;fill:var(--fg)}
.ig text.m{text-anchor:middle}\
.ig text.mu{fill:var(--mu)}.ig text.k{fill:var(--on);font-weight:600;text-anchor:middle}.ig text.e{text-anchor:end}
.ig path{fill:none;stroke:var(--ac)}.ig .l0{stroke:var(--no)}.ig .l1{stroke-opacity:.5}.ig .l2{stroke-opacity:.8}
.ig .lx{stroke:var(--mu);stroke-width:1;stroke-dasharray:2 2}
.ig .r{stroke-linecap:round}.ig .ln{stroke:var(--mu);stroke-width:1.2}.ig .bx{stroke:var(--bd);fill:var(--b2)}
@media print{.ig tr,.ig svg{break-inside:avoid}.ig .t{break-after:avoid}}
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
    """Return a table of ready values; every row is shown, and without any the word none.

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
    if titled and not body:
        lines = f'<tr><td class="na" colspan="{len(header)}">none</td></tr>'
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
    titles = [*(_index_titles(frame) if named else []), *(flat(column) for column in part.columns)]
    lines = part.itertuples(index=False, name=None) if part.columns.size else [()] * len(part)  # pandas gives no lines
    body = [(*(_levels(label) if named else ()), *values) for label, values in zip(part.index, lines, strict=True)]
    shown = rows(titles, [[cut(value, limit) for value in row] for row in body], caption=caption)
    hidden = [
        f"{n - k} more {what}" for n, k, what in zip(frame.shape, part.shape, ("rows", "columns"), strict=True) if n > k
    ]
    note = f'<div class="mu">… and {" and ".join(hidden)}</div>' if hidden else ""
    return Html(f"{shown}{note}")


def picture(size: tuple[float, float], marks: str, *, words: str, note: str = "") -> Html:
    """Return marks as an SVG that scales with the page.

    Parameters
    ----------
    size
        Width and height of the drawing.
    marks
        SVG elements, with every text escaped; classes of this module give them their colours.
    words
        What the picture says, for those who do not see it.
    note
        One line below it.

    Examples
    --------
    >>> 'viewBox="0 0 9 9"' in picture((9, 9), '<path class="l3" d="M1 1h7"/>', words="a line")
    True
    """
    width, height = (f"{side:g}" for side in size)
    below = f'<div class="mu">{escape(note)}</div>' if note else ""
    return Html(
        f'<svg role="img" aria-label="{escape(words)}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg">{marks}</svg>{below}'
    )


def text_mark(x: float, y: float, text: object, *, kind: str = "", limit: int = 60) -> str:
    """Return a text of an SVG, cut to `limit` signs; `kind`: ``mu`` pale, ``m`` about x, ``e`` before it."""
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:g}" y="{y:g}">{escape(cut(str(text), limit))}</text>'


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
    return _tag("td", _number(value) if _is_number(value) else cut(value, MAX_TEXT), number=_is_number(value))


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


def cut(value: Any, limit: int) -> Any:
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


def flat(label: object) -> str:
    """Return the label of a row or column as one text, the levels of a nested one side by side."""
    return " · ".join(str(part) for part in _levels(label))
