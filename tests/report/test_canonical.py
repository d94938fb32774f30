"""Canonical notebooks: what is chance goes, what could be data stays."""

from __future__ import annotations

import uuid
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

from integrate.report.canonical import canonical_notebook

FOLDER = Path("/somewhere/.run-host-1-abc/files")


def _canonical(*outputs: NotebookNode) -> list[NotebookNode]:
    notebook = new_notebook(cells=[new_code_cell("x", id="a", outputs=list(outputs))])
    return list(canonical_notebook(notebook, folder=FOLDER).cells[0].outputs)


def _html(text: str) -> str:
    return str(_canonical(new_output("display_data", data={"text/html": text}))[0].data["text/html"])


def test_a_random_id_is_numbered_wherever_markup_uses_it() -> None:
    def markup(token: str) -> str:
        short = f"T_{token[:5]}"
        return f'<style>#{short}_row0 {{}}</style><b id="{short}_row0"></b><i id="s-{token}" for="{token}"></i>'

    first, second = (_html(markup(str(uuid.uuid4()))) for _ in range(2))
    assert first == second
    assert "#T_00001_row0" in first
    assert 'id="T_00001_row0"' in first


def test_the_same_digits_in_the_text_are_data_and_stay() -> None:
    case = "0a1b2c3d-0000-4000-8000-123456789abc"
    checksum = "d41d8cd98f00b204e9800998ecf8427e"
    text = f"<td>{case}</td><td>{checksum}</td>"
    assert _html(text) == text
    assert _html(f'<b id="{case}">{case}</b>').endswith(f">{case}</b>")
    plain = _canonical(new_output("stream", name="stdout", text=f"{case} {checksum} mask 0x1f2e3d4c\n"))[0]
    assert plain.text == f"{case} {checksum} mask 0x1f2e3d4c\n"


def test_addresses_are_numbered_by_appearance_across_outputs() -> None:
    texts = ["<A at 0x7f12345678aa>", "<B object at 0x7f12345678bb>, <A at 0x7f12345678aa>"]
    outputs = _canonical(*(new_output("display_data", data={"text/plain": text}) for text in texts))
    assert [o.data["text/plain"] for o in outputs] == [
        "<A at 0x000000000001>",
        "<B object at 0x000000000002>, <A at 0x000000000001>",
    ]


def test_temporary_paths_do_not_reach_the_outputs() -> None:
    text = f"{FOLDER}/a.csv\n/some/where/ipykernel_4711/123456.py:3: UserWarning: look\n"
    assert _canonical(new_output("stream", name="stderr", text=text))[0].text == (
        "./a.csv\ncell-123456.py:3: UserWarning: look\n"
    )


def test_pictures_written_as_text_take_no_time() -> None:
    import time

    picture = f'<img src="data:image/png;base64,{"iVBORw0KGgo/" * 500_000}">'
    begun = time.perf_counter()
    assert _html(picture) == picture
    line = "x" * 6_000_000
    assert _canonical(new_output("stream", name="stdout", text=line))[0].text == line
    assert time.perf_counter() - begun < 10  # 6 MB each; the square of that would be hours


def test_streams_are_joined_however_they_were_cut() -> None:
    def stream(name: str, text: str) -> NotebookNode:
        return new_output("stream", name=name, text=text)

    figure = new_output("display_data", data={"text/plain": "figure"})
    one = _canonical(stream("stdout", "a\nb\n"), figure, stream("stdout", "c\n"), stream("stderr", "w\nv\n"))
    two = _canonical(
        stream("stdout", "a\n"), stream("stderr", "w\n"), stream("stdout", "b\n"), figure, stream("stderr", "v\n"),
        stream("stdout", "c\n"),
    )  # fmt: skip
    assert one == two
    assert [o.get("text", "figure") for o in one] == ["a\nb\n", "figure", "c\n", "w\nv\n"]


def test_an_overwritten_line_shows_its_last_state() -> None:
    assert _canonical(new_output("stream", name="stdout", text=" 1%\r50%\rdone\nend\n"))[0].text == "done\nend\n"


def test_a_progress_widget_leaves_nothing_and_another_widget_its_picture() -> None:
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": uuid.uuid4().hex}, "text/plain": "HBox()"}
    assert _canonical(new_output("display_data", data=view)) == []
    (kept,) = _canonical(new_output("display_data", data={**view, "text/html": "<b>static</b>"}))
    assert set(kept.data) == {"text/plain", "text/html"}


def test_times_and_tool_marks_leave_the_metadata() -> None:
    cell = new_code_cell("x", id="a", metadata={"execution": {"start": "now"}, "papermill": {}, "tags": ["keep"]})
    notebook = new_notebook(
        cells=[cell], metadata={"papermill": {}, "widgets": {}, "kernelspec": {"name": "e", "display_name": "e"}}
    )
    clean = canonical_notebook(notebook, folder=FOLDER)
    assert clean.metadata == {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    assert clean.cells[0].metadata == {"tags": ["keep"]}
    assert clean.cells[0].id == "a"
