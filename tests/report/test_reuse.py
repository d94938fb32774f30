"""Reuse: a report stands as long as nothing that went into it has changed, and says what has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from integrate.report import run
from integrate.report.run import run_report


@pytest.fixture
def notebook(tmp_path: Path, write_notebook: Any, fixed_versions: Any) -> Path:
    (tmp_path / "numbers.txt").write_text("1 2 3")
    code = f"print(sum(map(int, open({str(tmp_path / 'numbers.txt')!r}).read().split())) * factor)"
    path: Path = write_notebook(tmp_path / "sum.ipynb", '"""Parameters."""\nfactor = 1', code)
    return path


def test_a_report_is_made_again_only_when_something_changed_and_says_what(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fixed_versions: dict[str, str]
) -> None:
    def again(**given: Any) -> Any:
        return run_report(notebook, tmp_path / "out", progress=False, **given)

    assert again().reasons == ("there is no report yet",)
    first = again()
    assert (first.reused, first.reasons) == (True, ())
    numbers = tmp_path / "numbers.txt"
    numbers.touch()
    os.utime(numbers, (1, 1))
    assert again().reused, "another time with the same bytes is no change"
    numbers.write_text("1 2 4")
    changed = again()
    assert changed.reasons == ("numbers.txt has changed",)
    assert "7" in changed.page.read_text()
    assert again(parameters={"factor": 2}).reasons == ("parameter factor: 1 → 2",)
    page = tmp_path / "out" / "report.html"
    page.write_text(page.read_text() + "<p>more</p>")
    assert again(parameters={"factor": 2}).reasons == ("the report was changed after it was made: 'report.html'",)
    monkeypatch.setattr(run, "package_versions", lambda: {**fixed_versions, "numpy": "9.9"})
    assert again(parameters={"factor": 2}).reasons == ("version numpy: absent → 9.9",)


def test_a_notebook_that_was_edited_runs_again_and_so_does_one_that_is_told_to(notebook: Path, tmp_path: Path) -> None:
    run_report(notebook, tmp_path / "out", progress=False)
    forced = run_report(notebook, tmp_path / "out", progress=False, again=True)
    assert (forced.reused, forced.reasons) == (False, ())
    notebook.write_text(notebook.read_text().replace("factor = 1", "factor = 3"))
    edited = run_report(notebook, tmp_path / "out", progress=False)
    assert edited.reasons == ("the notebook sum.ipynb is another", "parameter factor: 1 → 3")


def test_a_load_that_is_no_file_is_never_taken_as_unchanged(
    tmp_path: Path, write_notebook: Any, fixed_versions: Any
) -> None:
    code = (
        "from pathlib import Path\nfrom integrate.model.provenance import record_load\n"
        "record_load({'entry': 'visits', 'location': 'postgresql://host/db', 'sha256': None}, path=Path('no/file'))"
    )
    notebook = write_notebook(tmp_path / "server.ipynb", code)
    run_report(notebook, tmp_path / "out", progress=False)
    again = run_report(notebook, tmp_path / "out", progress=False)
    assert (again.reused, again.reasons) == (False, ("postgresql://host/db cannot be checked",))


def test_a_report_that_stands_is_there_before_anything_that_runs_notebooks_is_loaded(
    tmp_path: Path, write_notebook: Any
) -> None:
    notebook = write_notebook(tmp_path / "one.ipynb", "print(1)")
    code = (
        "import sys; from integrate.report.run import run_report; "
        "run_report(*sys.argv[1:], progress=False); print('nbformat' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(notebook), str(tmp_path / "out")]
    loaded = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() for _ in range(2)]
    assert loaded == ["True", "False"]
