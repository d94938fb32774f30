"""Pages of notebooks nobody has run here: hostile outputs, headings, alternative texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from integrate.report.manifest import read_record
from integrate.report.page import cell_headings, notebook_title, notebook_warnings, render_page

FACTS = {
    "notebook": {"name": "n.ipynb", "sha256": "0" * 64},
    "parameters": {"who": "<script>alert(1)</script>"},
    "parameters_changed": ["who"],
    "loads": [{"catalog": "<u>", "entry": "<b>", "parameters": {"<s>": "<q>"}, "location": "<i>", "sha256": None}],
    "seeds": {},
    "versions": {"integrate": "0"},
    "report_id": "f" * 16,
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def _code(*outputs: NotebookNode, source: str = "x") -> NotebookNode:
    return new_code_cell(source, outputs=list(outputs))


def _page(*cells: NotebookNode, folder: Path = Path()) -> str:
    return render_page(new_notebook(cells=list(cells)), facts=FACTS, defaults={"who": ""}, source=folder / "n.ipynb")


def _shown(**data: str) -> NotebookNode:
    return new_output("display_data", data={kind.replace("_", "/"): value for kind, value in data.items()})


def test_parameters_loads_and_names_are_escaped() -> None:
    page = _page(new_markdown_cell("# <i>Title</i>"))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<h1>&lt;i&gt;Title&lt;/i&gt;</h1>" in page
    for tag in ("<u>", "<b>", "<s>", "<q>", "<i>"):
        assert tag not in page
    assert "&lt;u&gt;: &lt;b&gt;" in page


@pytest.mark.browser
def test_a_hostile_output_reaches_nothing_outside_and_runs_nothing(browser: Any, tmp_path: Path) -> None:
    attack = (
        '<script>document.title = "owned"</script><img src="https://example.org/a.png" onerror="document.title=1">'
        '<link rel="stylesheet" href="https://example.org/a.css"><iframe src="https://example.org"></iframe>'
        '<style>@import url("https://example.org/b.css"); p {background: url(https://example.org/b.png)}</style>'
    )
    markdown = new_markdown_cell(
        "# Safe\n\n![far](https://example.org/c.png) <script>document.title = 'owned'</script>"
    )
    file = tmp_path / "page.html"
    file.write_text(_page(markdown, _code(_shown(text_html=attack)), _code(_shown(text_plain=attack))))
    page = browser.new_page()
    finished: list[str] = []
    page.on("requestfinished", lambda request: finished.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_timeout(300)
    assert [url for url in finished if "example.org" in url] == []
    assert page.title() == "Safe"
    page.close()


@pytest.mark.browser
def test_a_wide_table_fits_on_paper(browser: Any, tmp_path: Path) -> None:
    wide = pd.DataFrame({f"a_long_name_of_column_{i}": [0.123456, 1e9] for i in range(14)})
    file = tmp_path / "page.html"
    file.write_text(_page(_code(_shown(text_html=wide.to_html()))))
    page = browser.new_page(viewport={"width": 720, "height": 900})
    page.goto(file.as_uri())
    right = "document.querySelector('table.dataframe').getBoundingClientRect().right"
    assert page.evaluate(right) > 720, "on the screen it scrolls"
    page.emulate_media(media="print")
    assert page.evaluate(right) <= 720
    page.close()


def test_pictures_beside_the_notebook_become_part_of_the_page(tmp_path: Path) -> None:
    import base64

    (tmp_path / "dot.png").write_bytes(base64.b64decode(PIXEL))
    page = _page(new_markdown_cell("![a dot](dot.png)"), folder=tmp_path)
    assert 'alt="a dot"' in page
    assert f"data:image/png;base64,{PIXEL}" in page.replace("\n", "")


def test_figures_are_numbered_in_words_unless_they_bring_their_own() -> None:
    own = _shown(image_png=PIXEL)
    own.metadata["image/png"] = {"alt": 'cells, "all"', "width": 300}
    page = _page(_code(_shown(image_png=PIXEL)), new_markdown_cell("## Part"), _code(own, _shown(image_png=PIXEL)))
    assert 'alt="Figure 1"' in page
    assert "alt='cells, \"all\"' " in page or 'alt="cells, &quot;all&quot;" ' in page
    assert 'width="300"' in page
    assert 'alt="Figure 3, in section “Part”"' in page


def test_one_output_of_each_kind_is_shown() -> None:
    outputs = [
        _shown(text_html="<b>html</b>", text_plain="not this"),
        _shown(text_markdown="**mark**", text_plain="not this"),
        _shown(text_latex="$x<1$", text_plain="not this"),
        _shown(text_plain="a < b"),
        new_output("execute_result", data={"text/plain": "result"}, execution_count=1),
        new_output("stream", name="stdout", text="\x1b[31mred\x1b[0m <i>"),
    ]
    page = _page(_code(*outputs))
    for expected in (
        "<b>html</b>",
        "<strong>mark</strong>",
        "<math",
        "a &lt; b",
        "result",
        "ansi-red-fg",
        "&lt;i&gt;",
    ):
        assert expected in page
    assert "not this" not in page


def test_code_is_folded_and_comes_without_prompts() -> None:
    page = _page(_code(source="value = 1  # note"))
    assert '<details class="code"><summary>Code</summary>' in page
    assert '<span class="c1"># note</span>' in page


def test_sections_are_linked_when_there_are_three() -> None:
    two = [new_markdown_cell("## A"), new_markdown_cell("## B")]
    assert "<nav" not in _page(*two)
    assert '<li><a href="#C">C</a></li>' in _page(*two, new_markdown_cell("## C"))


def test_titles_and_headings_come_from_the_text() -> None:
    notebook = new_notebook(cells=[_code(), new_markdown_cell("# T\n\n## One\ntext"), _code(), new_markdown_cell("no")])
    assert notebook_title(notebook, "n") == "T"
    assert notebook_title(new_notebook(), "n") == "n"
    assert cell_headings(notebook) == ["", "One", "One", "One"]


def test_every_warning_counts_and_other_text_on_stderr_once_per_cell() -> None:
    text = "a.py:1: FutureWarning: old\n  f()\na.py:2: integrate.errors.IntegrateWarning: 3 dropped\n"
    cells = [_code(new_output("stream", name="stderr", text=t)) for t in (text, "INFO one\nINFO two\n", " \n")]
    found = [told for _, told in notebook_warnings(new_notebook(cells=cells))]
    assert found == ["FutureWarning: old", "IntegrateWarning: 3 dropped", "INFO one"]


def test_a_record_cut_off_by_a_kill_is_read_up_to_there(tmp_path: Path) -> None:
    (tmp_path / "record.jsonl").write_text('{"kind": "load", "entry": "a"}\n{"kind": "lo')
    assert read_record(tmp_path / "record.jsonl") == [{"kind": "load", "entry": "a"}]
    assert read_record(tmp_path / "absent.jsonl") == []
