"""The page of a report: one HTML file that asks nothing of any other place."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from integrate.model.html import Html, badge, card, escape, rows
from integrate.report.cells import cells_html, lighten
from integrate.report.manifest import STACK
from integrate.report.openers import OPENERS
from integrate.report.style import STYLE

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Failure", "cell_headings", "notebook_title", "notebook_warnings", "page_frame", "render_page"]

MAX_LOADS: Final = 200
_TOLD_VERSIONS: Final = {"python", "platform", "integrate source", *STACK}

#: The browser itself refuses scripts and anything from outside, whatever an output contains.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; form-action 'none'"

_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$", re.MULTILINE)
_SCRIPT = re.compile(r"<script\b.*?(?:</script\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_WARNING = re.compile(r"^.*?\b(\w*Warning: .+)$", re.MULTILINE)
_SECTION = re.compile(r'<h2 id="([^"]+)">(.*?)</h2>', re.DOTALL)
_IMAGES: Final = ("image/png", "image/jpeg", "image/svg+xml")
_NOTES: Final = "integrate_page"
_SEEN: Final = (
    "Past the catalogs, files are listed as Python itself, a subprocess or one of these opens them: "
    f"{', '.join(sorted({name.partition('.')[0] for name in OPENERS}, key=str.lower))}. "
    "What other libraries open in C is not seen."
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Where a run stopped, and why.

    Parameters
    ----------
    index
        Position of the cell in the executed notebook.
    where
        The cell in words.
    reason
        The exception's name and message.
    """

    index: int
    where: str
    reason: str


def render_page(
    notebook: NotebookNode,
    *,
    facts: Mapping[str, Any],
    defaults: Mapping[str, Any],
    source: Path,
    failure: Failure | None = None,
) -> str:
    """Return the page of an executed, canonical notebook.

    Parameters
    ----------
    notebook
        From `canonical_notebook`.
    facts
        The reproducible part of the manifest, from `describe_run`.
    defaults
        What the parameters are when nobody changes them.
    source
        The author's notebook; pictures its text shows are read beside it and become part of the page.
    failure
        Where the run stopped; then the failing cell comes first.

    Returns
    -------
    HTML text, the same for the same arguments. Figures are inside it; scripts in outputs are left out, and the page
    tells the browser to refuse any request.
    """
    warned = notebook_warnings(notebook)
    title = notebook_title(notebook, Path(facts["notebook"]["name"]).stem)
    prepared = _prepared(notebook, title, failure)
    compressed = _light(prepared)
    body = cells_html(prepared, source)
    before = filter(None, [_header(title, facts, defaults, warned), _alert(prepared, failure), _contents(body)])
    return page_frame(title, *before, f"<main>\n{body}\n</main>", _footer(facts, warned, compressed))


def notebook_title(notebook: NotebookNode, otherwise: str) -> str:
    """Return the text of the first heading of level one, or `otherwise`."""
    found = (m[2] for cell in _markdown(notebook) for m in _HEADING.finditer(cell.source) if len(m[1]) == 1)
    return next(found, otherwise)


def cell_headings(notebook: NotebookNode) -> list[str]:
    """Return, for each cell, the heading it stands under; empty before the first."""
    headings, current = [], ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            current = next((m[2] for m in reversed(list(_HEADING.finditer(cell.source)))), current)
        headings.append(current)
    return headings


def notebook_warnings(notebook: NotebookNode) -> list[tuple[str, str]]:
    """Return heading and text of each warning the cells wrote to stderr; other text there counts once per cell."""
    found = []
    for cell, heading in zip(notebook.cells, cell_headings(notebook), strict=True):
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr" and output.text.strip():
                texts = _WARNING.findall(output.text) or [output.text.strip().splitlines()[0]]
                found += [(heading, text) for text in texts]
    return found


def _markdown(notebook: NotebookNode) -> Iterator[NotebookNode]:
    return (cell for cell in notebook.cells if cell.cell_type == "markdown")


def _prepared(notebook: NotebookNode, title: str, failure: Failure | None) -> NotebookNode:
    """Return a copy made for reading: title only once, figures with words, no scripts, state of each cell."""
    notebook = copy.deepcopy(notebook)
    headings, figures = cell_headings(notebook), 0
    for cell in _markdown(notebook):
        first = _HEADING.search(cell.source)
        if first and len(first[1]) == 1 and first[2] == title:
            cell.source = cell.source[: first.start()] + cell.source[first.end() :]
            break
    for index, (cell, heading) in enumerate(zip(notebook.cells, headings, strict=True)):
        tags = cell.metadata.get("tags", [])
        cell.metadata[_NOTES] = {"state": _state(index, failure), "hidden": "injected-parameters" in tags}
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/html" in data:
                data["text/html"] = _SCRIPT.sub('<p class="mu">(script left out)</p>', data["text/html"])
            for kind in _IMAGES:
                if kind in data:
                    figures += 1
                    notes = output.setdefault("metadata", {}).setdefault(kind, {})
                    notes.setdefault("alt", f"Figure {figures}" + (f", in section “{heading}”" if heading else ""))
    return notebook


def _light(notebook: NotebookNode) -> int:
    """Make the figures as light as a page needs; return how many lost detail that only their files have."""
    shown = [o for cell in notebook.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    compressed = 0
    for output in shown:
        kind, data, changed = lighten(output.data["image/png"], figures=len(shown))
        output.metadata["image/png"].update(kind=kind, data=data)
        compressed += changed
    return compressed


def _state(index: int, failure: Failure | None) -> str:
    if failure is None or index < failure.index:
        return ""
    return "failed" if index == failure.index else "pending"


def page_frame(title: str, *parts: str) -> str:
    """Return a whole page: the head that keeps it to itself, and its parts."""
    head = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="generator" content="integrate">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>"
    )
    return "\n".join([head, *parts, "</body>", "</html>", ""])


def _header(
    title: str, facts: Mapping[str, Any], defaults: Mapping[str, Any], warned: Sequence[tuple[str, str]]
) -> str:
    told = f"Notebook {facts['notebook']['name']} · integrate {facts['versions'].get('integrate', '')}"
    if warned:
        told += f" · {len(warned)} {'warning' if len(warned) == 1 else 'warnings'}, listed at the end"
    changed = facts["parameters_changed"]
    chosen = [
        (name, repr(value), f"set for this run; the notebook says {defaults[name]!r}" if name in changed else "")
        for name, value in facts["parameters"].items()
    ]
    box = card("Parameters", rows(("name", "value", ""), chosen)) if chosen else ""
    return f'<header>\n<h1>{escape(title)}</h1>\n<p class="mu">{escape(told)}</p>\n{box}\n</header>'


def _alert(notebook: NotebookNode, failure: Failure | None) -> str:
    if failure is None:
        return ""
    from nbconvert.filters import ansi2html

    cell = notebook.cells[failure.index]
    lines = [line for o in cell.get("outputs", []) if o.output_type == "error" for line in o.traceback]
    traceback = ansi2html("\n".join(lines))  # type: ignore[no-untyped-call]
    told = f"<pre>{traceback}</pre>" if lines else ""
    return (
        f'<section class="alert" role="alert"><h2>This run stopped: {escape(failure.reason)}</h2>\n'
        f"<p>In {escape(failure.where)}. Cells after it were not run; no number below is from a finished report.</p>\n"
        f"<pre><code>{escape(cell.source)}</code></pre>\n{told}</section>"
    )


def _contents(body: str) -> str:
    """Return links to the sections, when there are enough to need them."""
    sections = _SECTION.findall(body)
    if len(sections) < 3:
        return ""
    items = "".join(f'<li><a href="#{name}">{text}</a></li>' for name, text in sections)
    return f'<nav aria-label="Sections"><ul>{items}</ul></nav>'


def _footer(facts: Mapping[str, Any], warned: Sequence[tuple[str, str]], compressed: int) -> str:
    boxes = [_provenance(facts)]
    if compressed:
        told = f"{compressed} large {'figure is' if compressed == 1 else 'figures are'} shown compressed"
        boxes.append(Html(f'<p class="mu">{told}; the folder “figures” beside this page holds every pixel.</p>'))
    if warned:
        boxes.insert(0, card("Warnings", rows(("section", "warning"), warned), subtitle=f"{len(warned)}"))
    return f'<footer aria-label="Provenance">\n{"".join(boxes)}\n</footer>'


def _provenance(facts: Mapping[str, Any]) -> Html:
    identity = [("report id", facts["report_id"]), ("notebook", facts["notebook"]["name"])]
    identity.append(("notebook sha256", facts["notebook"]["sha256"]))
    identity += [(name if "seed" in name else f"seed of {name}", str(value)) for name, value in facts["seeds"].items()]
    loads = [_load_row(load) for load in facts["loads"]]
    loaded: object = "No dataset was loaded through a catalog."
    if loads:
        loaded = rows(("dataset", "parameters", "file", "sha256"), loads[:MAX_LOADS], caption="Data loaded")
    more = f"… and {len(loads) - MAX_LOADS} more, in manifest.json" if len(loads) > MAX_LOADS else ""
    return card("Provenance", rows(("", ""), identity), loaded, more, *_past_catalogs(facts), _versions(facts))


def _past_catalogs(facts: Mapping[str, Any]) -> list[Html]:
    """Return what was read without a catalog: the code and tables the notebook opened itself, and hosts."""
    boxes = []
    if files := [(file["name"], file["sha256"]) for file in facts.get("files", ())]:
        boxes.append(rows(("file", "sha256"), files[:MAX_LOADS], caption="Opened past the catalogs"))
    if hosts := facts.get("hosts"):
        boxes.append(Html(f"<p>Read from {escape(', '.join(hosts))}.</p>"))
    boxes.append(Html(f'<p class="mu">{escape(_SEEN)}</p>'))
    if told := facts.get("privacy"):
        boxes.append(Html(f'<p class="mu">{escape(told["told"])}</p>'))
    return boxes


def _versions(facts: Mapping[str, Any]) -> str:
    """Return the versions that can change a number; the manifest has all."""
    told = [f"{name} {number}" for name, number in facts["versions"].items() if name in _TOLD_VERSIONS]
    others = len(facts["versions"]) - len(told)
    return f"Versions: {', '.join(told)}" + (f", and {others} more in manifest.json" if others else "")


def _load_row(load: Mapping[str, Any]) -> tuple[object, ...]:
    asked = ", ".join(f"{name}={value}" for name, value in (load.get("parameters") or {}).items())
    name = f"{load['catalog']}: {load.get('entry', '')}" if load.get("catalog") else load.get("entry", "")
    return name, asked, load.get("location", ""), load.get("sha256") or badge("not hashed", "warn")
