"""The cells of a notebook as HTML: code folded, figures as light as they can be, formulas without a script."""

from __future__ import annotations

import base64
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["cells_html", "formula", "lighten"]

#: Up to this size a figure is shown as it is; a heavier one is compressed, and its file keeps every pixel.
MAX_FIGURE_BYTES: Final = 150_000
#: All figures of one page together; many figures get less each.
MAX_FIGURES_BYTES: Final = 18_000_000

_ANCHOR = re.compile(r'<a class="anchor-link"[^>]*></a>')  # a heading keeps its id without a link that says nothing
_DOLLARS = re.compile(r"^\s*\$+|\$+\s*$|^\s*\\[\[(]|\\[\])]\s*$")

TEMPLATE: Final = """
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
{%- block output -%}
<div class="out"{% if "<table" in output.get("data", {}).get("text/html", "") %} tabindex="0" role="group" \
aria-label="Table, scrolls sideways"{% endif %}>{{ super() }}</div>
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
<figure><img src="data:{{ notes.get('kind', kind) }};base64,
{#- #}{{ notes.get('data', data) | replace('\\n', '') | escape_html }}"
{#- #} alt="{{ notes.get('alt', '') | escape_html }}"
{%- if notes.get('width') %} width="{{ notes['width'] | int }}"{% endif %}></figure>
{%- endmacro -%}
{%- block data_html scoped -%}{{ output.data['text/html'] }}{%- endblock -%}
{%- block data_markdown scoped -%}{{ output.data['text/markdown'] | markdown2html }}{%- endblock -%}
{%- block data_text scoped -%}<pre>{{ output.data['text/plain'] | ansi2html }}</pre>{%- endblock -%}
{%- block data_latex scoped -%}{{ output.data['text/latex'] | formula }}{%- endblock -%}
"""


def cells_html(notebook: NotebookNode, source: Path) -> str:
    """Return the cells of a notebook as HTML.

    Parameters
    ----------
    notebook
        Prepared for reading, see `integrate.report.page`.
    source
        The author's notebook; pictures its text shows are read beside it.
    """
    from jinja2 import DictLoader, pass_context
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Formulas(IPythonRenderer):
        def inline_math(self, body: str) -> str:
            return formula(body)

        def block_math(self, body: str) -> str:
            return formula(body, block=True)

    class Exporter(HTMLExporter):
        @pass_context
        def markdown2html(self, context: Any, source: str) -> str:
            renderer = Formulas(
                escape=False,
                attachments=context.get("cell", {}).get("attachments", {}),
                embed_images=True,
                path=context.get("resources", {}).get("metadata", {}).get("path", ""),
                anchor_link_text="",
            )
            return str(MarkdownWithMath(renderer=renderer).render(source))

    exporter = Exporter(  # type: ignore[no-untyped-call]
        template_name="basic",
        template_file="page.html.j2",
        extra_loaders=[DictLoader({"page.html.j2": TEMPLATE})],
        filters={"formula": formula},
    )
    exporter.exclude_output_prompt = True
    body, _ = exporter.from_notebook_node(notebook, {"metadata": {"path": str(source.parent), "name": source.stem}})
    return _ANCHOR.sub("", str(body)).strip()


def formula(text: str, *, block: bool = False) -> str:
    """Return TeX as MathML, which browsers draw by themselves; what is no TeX stays as it was written."""
    from latex2mathml.converter import convert

    block = block or text.lstrip().startswith(("$$", "\\["))
    inner = _DOLLARS.sub("", text.strip())
    try:
        return str(convert(inner, display="block" if block else "inline"))
    except _tex_faults():
        return f"<code>{escape(text)}</code>"


def _tex_faults() -> tuple[type[Exception], ...]:
    """Return what the converter raises on text that is no TeX; its own errors have no common parent."""
    from latex2mathml import exceptions

    own = [found for found in vars(exceptions).values() if isinstance(found, type) and issubclass(found, Exception)]
    return (*own, IndexError, KeyError, ValueError, TypeError)


def lighten(png: str, *, figures: int) -> tuple[str, str, bool]:
    """Return kind, base64 data of a figure as a page shows it, and whether pixels were changed.

    Parameters
    ----------
    png
        The figure in base64.
    figures
        How many figures the page has; they share what a page may weigh.
    """
    import imagecodecs
    import numpy as np

    content = base64.b64decode(png)
    limit = min(MAX_FIGURE_BYTES, MAX_FIGURES_BYTES // max(figures, 1))
    pixels = np.asarray(imagecodecs.png_decode(content))
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        return "image/png", png, False
    if pixels.shape[-1] == 4 and (pixels[..., 3] == 255).all():
        pixels = np.ascontiguousarray(pixels[..., :3])
    packed = imagecodecs.webp_encode(pixels, lossless=True)
    exact = len(packed) <= limit
    for quality in () if exact else (90, 80, 70, 60, 50, 40):
        packed = imagecodecs.webp_encode(pixels, level=quality, lossless=False)
        if len(packed) <= limit:
            break
    if len(packed) >= len(content):
        return "image/png", png, False
    return "image/webp", base64.b64encode(packed).decode(), not exact
