"""Batches and new notebooks: a report per row, and a first notebook that runs at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from integrate.datasets.toy import toy_catalog
from integrate.errors import ParameterError
from integrate.report.batch import read_rows, run_batch
from integrate.report.new import new_notebook
from integrate.report.run import run_report


def test_a_report_per_row_and_a_failure_stops_only_its_own(
    tmp_path: Path, write_notebook: Any, fixed_versions: Any
) -> None:
    notebook = write_notebook(
        tmp_path / "one.ipynb", '"""Parameters."""\nsubject = "P01"\ncut = 1', "print(subject, 1 / cut)"
    )
    rows = [{"subject": "P01", "cut": 1}, {"subject": "P 02", "cut": 2}, {"subject": "P03", "cut": 0}]
    done = run_batch(notebook, tmp_path / "all", rows, jobs=2, progress=False)
    assert [row.name for row in done.rows] == ["P01_1", "P-02_2", "P03_0"]
    assert [row.name for row in done.failed] == ["P03_0"]
    assert "ZeroDivisionError" in done.failed[0].fault
    assert str(done) == "2 of 3 reports, 0 of them unchanged; failed: 'P03_0'"
    assert "P 02 0.5" in (tmp_path / "all" / "P-02_2" / "report.html").read_text()
    index = done.index.read_text()
    assert 'href="P01_1/report.html"' in index
    assert 'href="P03_0/failed.html"' in index
    assert "stopped with ZeroDivisionError: division by zero; see" in index, "the whole reason, not its beginning"
    assert str(run_batch(notebook, tmp_path / "all", rows[:2], progress=False)).startswith("2 of 2 reports, 2 of them")


def test_rows_that_are_equal_or_absent_are_refused(tmp_path: Path, write_notebook: Any) -> None:
    notebook = write_notebook(tmp_path / "one.ipynb", "1")
    with pytest.raises(ParameterError, match="has no rows"):
        run_batch(notebook, tmp_path / "all", [])
    with pytest.raises(ParameterError, match="two rows of parameters are the same"):
        run_batch(notebook, tmp_path / "all", [{"a": 1}, {"a": 1}])


def test_rows_are_read_as_text_from_a_table_or_from_values(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("subject,cut\nP01,01\nP02,2\n")
    assert read_rows(tmp_path / "rows.csv", {}) == [{"subject": "P01", "cut": "01"}, {"subject": "P02", "cut": "2"}]
    assert read_rows(None, {"subject": "P01, P02"}) == [{"subject": "P01"}, {"subject": "P02"}]
    with pytest.raises(ParameterError, match="either a table of parameters, or one parameter"):
        read_rows(None, {})


def test_a_new_report_runs_at_once(tmp_path: Path) -> None:
    catalog = toy_catalog().path
    path = new_notebook(tmp_path / "who-has-what", catalog=str(catalog))
    report = run_report(path, tmp_path / "out", progress=False)
    page = report.page.read_text()
    assert "Who has what" in page
    assert report.warnings == ()
    assert report.parameters["catalog_name"] == str(catalog)
    with pytest.raises(FileExistsError, match="choose another name"):
        new_notebook(path, catalog=str(catalog))
