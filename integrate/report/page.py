"""The page of a report: one HTML file that asks nothing of any other place."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from integrate.model.html import Html, badge, card, escape, rows

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Failure", "cell_headings", "notebook_title", "notebook_warnings", "render_page"]

MAX_LOADS: Final = 200

#: The browser itself refuses scripts and anything from outside, whatever an output contains.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; form-action 'none'"

_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$", re.MULTILINE)
_SCRIPT = re.compile(r"<script\b.*?(?:</script\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_WARNING = re.compile(r"^.*?\b(\w*Warning: .+)$", re.MULTILINE)
_ANCHOR = re.compile(r'<a class="anchor-link"[^>]*></a>')  # a heading keeps its id without a link that says nothing
_SECTION = re.compile(r'<h2 id="([^"]+)">(.*?)</h2>', re.DOTALL)
_IMAGES: Final = ("image/png", "image/jpeg", "image/svg+xml")
_NOTES: Final = "integrate_page"

_TEMPLATE: Final = """
{%- extends 'display_priority.j2' -%}
{%- block codecell -%}
{%- set notes = cell.metadata.get('integrate_page', {}) -%}
<section class="cell {{ notes.get('state', '') }}">
{%- if cell.source.strip() and not notes.get('hidden') %}
<details class="code"{% if notes.get('state') == 'failed' %} open{% endif %}><summary>Code</summary>
{{ cell.source | highlight_code(metadata=cell.metadata) }}</details>
{%- endif %}
{%- if cell.outputs %}{{ super() }}{% endif %}
</section>
{% endblock codecell %}
{%- block input_group -%}{%- endblock input_group -%}
{%- block output -%}<div class="out">{{ super() }}</div>
{% endblock output %}
{%- block markdowncell scoped -%}
<section class="prose">{{ cell.source | markdown2html }}</section>
{% endblock markdowncell %}
{%- block rawcell -%}{%- endblock rawcell -%}
{%- block unknowncell -%}{%- endblock unknowncell -%}
{%- block execute_result -%}
{%- block data_priority scoped -%}{{ super() }}{%- endblock -%}
{%- endblock execute_result -%}
{%- block stream_stdout -%}<pre>{{ output.text | ansi2html }}</pre>{%- endblock stream_stdout -%}
{%- block stream_stderr -%}
<details class="stderr"><summary>Messages on stderr</summary><pre>{{ output.text | ansi2html }}</pre></details>
{%- endblock stream_stderr -%}
{%- block error -%}<pre class="error">{{ super() }}</pre>{%- endblock error -%}
{%- block traceback_line -%}{{ line | ansi2html }}
{% endblock traceback_line %}
{%- block data_svg scoped -%}
{{ figure('image/svg+xml', output.data['image/svg+xml'] | text_base64, output) }}
{%- endblock -%}
{%- block data_png scoped -%}{{ figure('image/png', output.data['image/png'], output) }}{%- endblock -%}
{%- block data_jpg scoped -%}{{ figure('image/jpeg', output.data['image/jpeg'], output) }}{%- endblock -%}
{%- macro figure(kind, data, output) -%}
{%- set notes = output.metadata.get(kind, {}) -%}
<figure><img src="data:{{ kind }};base64,{{ data | replace('\\n', '') | escape_html }}"
{#- #} alt="{{ notes.get('alt', '') | escape_html }}"
{%- if notes.get('width') %} width="{{ notes['width'] | int }}"{% endif %}></figure>
{%- endmacro -%}
{%- block data_html scoped -%}{{ output.data['text/html'] }}{%- endblock -%}
{%- block data_markdown scoped -%}{{ output.data['text/markdown'] | markdown2html }}{%- endblock -%}
{%- block data_text scoped -%}<pre>{{ output.data['text/plain'] | ansi2html }}</pre>{%- endblock -%}
{%- block data_latex scoped -%}<pre>{{ output.data['text/latex'] | escape_html }}</pre>{%- endblock -%}
"""

_STYLE: Final = """
:root{color-scheme:light dark;--fg:#1f2328;--mu:#59636e;--bd:#d5dae0;--bg:#fff;--b2:#f3f5f8;--link:#0064a8;
--kw:#a0157a;--str:#0b6b3a;--num:#7a4b00;--com:#68727d;--fn:#0057a8;--bad:#b3261e;--badbg:#fdecea}
@media screen and (prefers-color-scheme:dark){:root{--fg:#dfe4ea;--mu:#9aa5b1;--bd:#3b424b;--bg:#16191d;--b2:#23282f;
--link:#7cc0f2;--kw:#f09ad6;--str:#86d6a5;--num:#e8b84a;--com:#919ba6;--fn:#8fc7f5;--bad:#ff8a7a;--badbg:#3a1f1d}}
:root{--jp-content-font-color0:var(--fg);--jp-content-font-color1:var(--fg);--jp-content-font-color2:var(--mu);
--jp-content-font-color3:var(--mu);--jp-ui-font-color0:var(--fg);--jp-ui-font-color1:var(--fg);
--jp-ui-font-color2:var(--mu);--jp-ui-font-color3:var(--mu);--jp-border-color0:var(--bd);--jp-border-color1:var(--bd);
--jp-border-color2:var(--bd);--jp-border-color3:var(--bd);--jp-layout-color0:var(--bg);--jp-layout-color1:var(--bg);
--jp-layout-color2:var(--b2);--jp-layout-color3:var(--b2);--jp-rendermime-table-row-background:var(--b2);
--xr-background-color:var(--bg);--xr-background-color-row-odd:var(--b2);--xr-background-color-row-even:var(--bg)}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.5rem 3rem;max-width:66rem;background:var(--bg);color:var(--fg);
font:16px/1.6 system-ui,-apple-system,"Segoe UI",sans-serif}
header,nav{border-bottom:1px solid var(--bd);padding-bottom:1rem;margin-bottom:1.5rem}
h1{font-size:1.9rem;line-height:1.25;margin:0 0 .4rem}h2{font-size:1.4rem;margin:2.2rem 0 .6rem}
h3{font-size:1.12rem;margin:1.6rem 0 .4rem}h1,h2,h3{text-wrap:balance}
a{color:var(--link)}.mu{color:var(--mu)}nav ul{columns:2;margin:0;padding-left:1.2rem}
.prose{max-width:46rem}.prose img{max-width:100%}
.prose p code,.prose li code{background:var(--b2);border-radius:3px;padding:0 .25em}
code,pre{font:.82rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
pre{margin:.3rem 0;white-space:pre-wrap;overflow-wrap:anywhere}
.cell{margin:.5rem 0 1.1rem}.out{overflow-x:auto;margin:.4rem 0}
details.code,details.stderr{margin:.3rem 0}summary{cursor:pointer;color:var(--mu);font-size:.8rem}
details.code pre,.prose pre{background:var(--b2);border-radius:6px;padding:.6rem .8rem;overflow-x:auto}
.highlight :is(.k,.kn,.kc,.kd,.ow){color:var(--kw)}.highlight :is(.s,.s1,.s2,.sa,.sd,.si,.se){color:var(--str)}
.highlight :is(.mi,.mf,.mh,.mb){color:var(--num)}.highlight :is(.nf,.nc,.nd,.fm){color:var(--fn)}
.highlight :is(.c,.c1,.cm){color:var(--com);font-style:italic}
figure{margin:.6rem 0}figure img{max-width:100%;height:auto;background:#fff;border-radius:6px;display:block}
.out table.dataframe,table[id^=T_],.prose table{border-collapse:collapse;font-size:.82rem;border:0}
table[id^=T_]{background:#fff;color:#1f2328}
.dataframe th,.dataframe td,table[id^=T_] th,table[id^=T_] td,.prose th,.prose td{\
border:0;border-bottom:1px solid var(--bd);padding:.25rem .7rem;text-align:right}
.prose th,.prose td{text-align:left}.dataframe caption{text-align:left;color:var(--mu)}
.failed{border-left:4px solid var(--bad);padding-left:1rem}.pending{opacity:.6}
.alert{border:1px solid var(--bad);background:var(--badbg);border-radius:8px;padding:.8rem 1rem;margin:1rem 0}
.alert h2{margin:.1rem 0 .4rem;color:var(--bad);font-size:1.15rem}.alert pre{max-height:32rem;overflow:auto}
.ansi-red-fg,.ansi-red-intense-fg{color:var(--bad)}.ansi-green-fg,.ansi-green-intense-fg{color:var(--str)}
.ansi-blue-fg,.ansi-cyan-fg,.ansi-blue-intense-fg,.ansi-cyan-intense-fg{color:var(--fn)}
.ansi-yellow-fg,.ansi-yellow-intense-fg{color:var(--num)}.ansi-magenta-fg{color:var(--kw)}.ansi-bold{font-weight:700}
footer{margin-top:3rem;border-top:1px solid var(--bd);padding-top:1rem}
@media print{body{max-width:none;padding:0;font-size:10.5pt}details.code,nav{display:none}
figure,tr,.ig{break-inside:avoid}h2,h3{break-after:avoid}.out{overflow:visible}}
"""


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
    title = notebook_title(notebook, source.stem)
    prepared = _prepared(notebook, title, failure)
    body = _body(prepared, source)
    parts = [_header(title, facts, defaults, warned), _alert(prepared, failure), _contents(body)]
    middle = f"<main>\n{body}\n</main>"
    return "\n".join([_head(title), *filter(None, parts), middle, _footer(facts, warned), "</body>", "</html>", ""])


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


def _state(index: int, failure: Failure | None) -> str:
    if failure is None or index < failure.index:
        return ""
    return "failed" if index == failure.index else "pending"


def _body(notebook: NotebookNode, source: Path) -> str:
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="basic",
        template_file="page.html.j2",
        extra_loaders=[DictLoader({"page.html.j2": _TEMPLATE})],
        embed_images=True,
        anchor_link_text="",
    )
    exporter.exclude_output_prompt = True
    body, _ = exporter.from_notebook_node(notebook, {"metadata": {"path": str(source.parent), "name": source.stem}})
    return _ANCHOR.sub("", str(body)).strip()


def _head(title: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="generator" content="integrate">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>"
    )


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


def _footer(facts: Mapping[str, Any], warned: Sequence[tuple[str, str]]) -> str:
    boxes = [_provenance(facts)]
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
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return card("Provenance", rows(("", ""), identity), loaded, more, f"Versions: {versions}")


def _load_row(load: Mapping[str, Any]) -> tuple[object, ...]:
    asked = ", ".join(f"{name}={value}" for name, value in (load.get("parameters") or {}).items())
    name = f"{load['catalog']}: {load.get('entry', '')}" if load.get("catalog") else load.get("entry", "")
    return name, asked, load.get("location", ""), load.get("sha256") or badge("not hashed", "warn")
