"""A batch: one report per row of a table of parameters, with an index page."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from integrate.errors import IntegrateError, ParameterError, SourceNotFoundError, some
from integrate.report.folder import FAILED_PAGE, PAGE, read_manifest, write_text
from integrate.report.run import FailedRun, Report, run_report

__all__ = ["Batch", "BatchRow", "read_rows", "run_batch"]

INDEX: Final = "index.html"
_NOT_IN_A_NAME = re.compile(r"[^\w.=-]+", re.UNICODE)


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One report of a batch.

    Parameters
    ----------
    name
        Its folder within the batch.
    parameters
        What it was run with, as the report tells it: a raw identifier is masked.
    report
        The report, or ``None`` where the run failed.
    fault
        Why it failed; empty when it did not.
    """

    name: str
    parameters: Mapping[str, Any]
    report: Report | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """The reports of a batch.

    Parameters
    ----------
    index
        The page that links them.
    rows
        One per row of parameters, in their order.
    """

    index: Path
    rows: tuple[BatchRow, ...]

    @property
    def failed(self) -> tuple[BatchRow, ...]:
        """The rows without a report."""
        return tuple(row for row in self.rows if row.report is None)

    def __str__(self) -> str:
        reused = sum(row.report is not None and row.report.reused for row in self.rows)
        told = f"{len(self.rows) - len(self.failed)} of {len(self.rows)} reports, {reused} of them unchanged"
        return told + (f"; failed: {some([row.name for row in self.failed])}" if self.failed else "")


def run_batch(
    notebook: str | os.PathLike[str],
    output: str | os.PathLike[str],
    table: Sequence[Mapping[str, Any]],
    *,
    jobs: int = 1,
    timeout: float = 3600,
    progress: bool = True,
    pdf: bool = False,
    again: bool = False,
) -> Batch:
    """Run one notebook once per row of parameters.

    Parameters
    ----------
    notebook
        An ``.ipynb`` with a cell tagged ``parameters``.
    output
        Folder of the batch: one folder per row, named after what differs between rows, and ``index.html``.
    table
        The rows: parameter names to values. A table of pandas gives them by ``table.to_dict("records")``.
    jobs
        Reports made at the same time, each in a kernel of its own.
    timeout, pdf, again
        As of `run_report`. Reports whose inputs have not changed are not made again.
    progress
        Show one line with the number of finished reports.

    Returns
    -------
    Batch
        Every row with its report, or why it failed: a failure stops only its own row.

    Raises
    ------
    ParameterError
        If there are no rows, two rows are equal, or `jobs` is below 1.

    Examples
    --------
    >>> import nbformat.v4 as v4
    >>> asked = v4.new_code_cell("subject = 'P01'", metadata={"tags": ["parameters"]})
    >>> notebook = v4.new_notebook(cells=[asked, v4.new_code_cell("print(subject)")])
    >>> _ = (tmp_path / "one.ipynb").write_text(v4.writes(notebook))
    >>> batch = run_batch(tmp_path / "one.ipynb", tmp_path / "all", [{"subject": "P02"}], progress=False)
    >>> print(batch)
    1 of 1 reports, 0 of them unchanged
    """
    from tqdm.auto import tqdm

    if jobs < 1:
        raise ParameterError(f"jobs is {jobs}; expected 1 or more")
    rows = [dict(row) for row in table]
    names = _names(rows)
    folder = Path(output).resolve()

    def one(name: str, row: Mapping[str, Any]) -> BatchRow:
        try:
            made = run_report(
                notebook, folder / name, parameters=row, timeout=timeout, progress=False, pdf=pdf, again=again
            )
        except FailedRun as error:
            return BatchRow(name, error.mask.value(row), None, error.mask.text(str(error)))
        except IntegrateError as error:
            return BatchRow(name, row, None, str(error))
        masked = read_manifest(made.manifest.parent)["reproducible"].get("privacy", {}).get("parameters", ())
        return BatchRow(name, {**row, **{key: made.parameters[key] for key in masked if key in row}}, made)

    with ThreadPoolExecutor(jobs) as pool:
        running = pool.map(one, names, rows)
        done = tuple(tqdm(running, total=len(rows), disable=not progress, unit="report"))
    done = _renamed(folder, rows, done)
    index = folder / INDEX
    folder.mkdir(parents=True, exist_ok=True)
    draft = index.with_name(f".{INDEX}-{os.getpid()}")
    write_text(draft, _index_page(Path(notebook).stem, done))
    os.replace(draft, index)
    return Batch(index, done)


def _renamed(folder: Path, rows: Sequence[Mapping[str, Any]], done: Sequence[BatchRow]) -> tuple[BatchRow, ...]:
    """Move the reports whose folders are named by raw identifiers to names without; the others stay."""
    masked = [row.parameters != dict(given) for row, given in zip(done, rows, strict=True)]
    names = _names([{**row.parameters, "row": number} for number, row in enumerate(done, 1)]) if any(masked) else []
    moved = list(done)
    for number, row in enumerate(done):
        if masked[number] and (folder / row.name).exists():
            target = folder / names[number]
            if target.exists():
                shutil.rmtree(target)
            os.replace(folder / row.name, target)
            moved[number] = replace(row, name=names[number], report=row.report and _at(row.report, target))
    return tuple(moved)


def _at(report: Report, folder: Path) -> Report:
    files = ("page", "notebook", "manifest", "record")
    return replace(report, **{name: folder / getattr(report, name).name for name in files})


def read_rows(table: Path | None, each: Mapping[str, str]) -> list[dict[str, str]]:
    """Return rows of parameters from a CSV file, or one per value of ``{"subject": "P01,P02"}``, all as text.

    Raises
    ------
    ParameterError
        If both or neither are given, or several parameters vary without a table.
    SourceNotFoundError
        If there is no such file.
    """
    import csv

    if (table is None) == (not each) or len(each) > 1:
        raise ParameterError("give either a table of parameters, or one parameter with its values as name=a,b,c")
    if table is None:
        (name, values), *_ = each.items()
        return [{name: value.strip()} for value in values.split(",")]
    if not table.is_file():
        raise SourceNotFoundError(f"no table at {str(table)!r}; give a CSV file with a column per parameter")
    with table.open(encoding="utf-8-sig", newline="") as stream:
        return [dict(row) for row in csv.DictReader(stream)]


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a folder name per row from the parameters that differ between rows."""
    if not rows:
        raise ParameterError("the table of parameters has no rows; give one per report")
    keys = list(dict.fromkeys(key for row in rows for key in row))
    telling = [key for key in keys if len({repr(row.get(key)) for row in rows}) > 1] or keys
    names = ["_".join(_NOT_IN_A_NAME.sub("-", str(row.get(key))) for key in telling)[:80] for row in rows]
    names = [name.strip(".-_") or f"{number:03d}" for number, name in enumerate(names, 1)]
    repeated = [row for number, row in enumerate(rows) if row in rows[:number]]
    if repeated:
        raise ParameterError(f"two rows of parameters are the same: {repeated[0]}; a report is made once")
    if len({name.casefold() for name in names}) < len(names):
        names = [f"{number:03d}_{name}" for number, name in enumerate(names, 1)]
    return names


def _index_page(title: str, done: Sequence[BatchRow]) -> str:
    from integrate.model.html import Html, card, escape, rows
    from integrate.report.page import page_frame

    keys = list(dict.fromkeys(key for row in done for key in row.parameters))
    listed = [(_link(row), *(str(row.parameters.get(key, "")) for key in keys), _state(row)) for row in done]
    failed = sum(row.report is None for row in done)
    told = f"{len(done)} reports" + (f", {failed} failed" if failed else "")
    body = f"<header><h1>{escape(title)}</h1></header>\n{card('Reports', rows(('', *keys, ''), listed), subtitle=told)}"
    return page_frame(title, Html(body))


def _link(row: BatchRow) -> Any:
    from integrate.model.html import Html, escape

    page = PAGE if row.report is not None else FAILED_PAGE
    return Html(f'<a href="{escape(row.name)}/{page}">{escape(row.name)}</a>')


def _state(row: BatchRow) -> Any:
    from integrate.model.html import Html, badge, escape

    if row.report is None:
        return Html(f"{badge('failed', 'bad')} {escape(row.fault)}")
    if row.report.warnings:
        return badge(f"{len(row.report.warnings)} warnings", "warn")
    return badge("unchanged" if row.report.reused else f"{row.report.seconds:.0f} s", "ok")
