"""A run: a notebook with parameters, executed from top to bottom into one page that can be made again."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from integrate.errors import ReportError, SourceNotFoundError, some
from integrate.model.provenance import hash_file
from integrate.report.canonical import canonical_notebook
from integrate.report.execute import execute_notebook
from integrate.report.manifest import describe_run, package_versions, read_record
from integrate.report.page import Failure, notebook_warnings, render_page
from integrate.report.parameters import check_parameters, inject_parameters, notebook_parameters

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Report", "run_report"]

PAGE: Final = "report.html"
FAILED_PAGE: Final = "failed.html"
NOTEBOOK: Final = "notebook.ipynb"
RECORD: Final = "record.jsonl"
MANIFEST: Final = "manifest.json"
FILES: Final = "files"


@dataclass(frozen=True, slots=True)
class Report:
    """A finished report on disk.

    Parameters
    ----------
    page, notebook, manifest, record
        The HTML page, the executed notebook, what went in, and each event the library recorded.
    parameters
        Every parameter of the run with its value.
    report_id
        16 hex digits that change when notebook, parameters, loaded data or versions do.
    warnings
        What the cells wrote to stderr, as ``"section: text"``.
    seconds
        How long the run took.
    """

    page: Path
    notebook: Path
    manifest: Path
    record: Path
    parameters: dict[str, Any]
    report_id: str
    warnings: tuple[str, ...]
    seconds: float


def run_report(
    notebook: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    parameters: Mapping[str, Any] | None = None,
    timeout: float = 3600,
    progress: bool = True,
    folder: str | os.PathLike[str] | None = None,
) -> Report:
    """Execute a notebook and write its report.

    Parameters
    ----------
    notebook
        An ``.ipynb``. Its parameters are the constants in the cell tagged ``parameters``.
    output
        Folder of the report; made when absent. Nothing in it changes before the run has ended well.
    parameters
        Values to use instead of the notebook's own. Text, as a command line gives it, is read as the declared type.
    timeout
        Seconds one cell may take.
    progress
        Show one line with the heading of the current cell.
    folder
        Where the notebook runs, so where its relative paths start. By default an empty folder, so that no left-over
        file can change a result; what the notebook writes there is kept as ``output/files``.

    Returns
    -------
    Report
        Paths of ``report.html``, ``notebook.ipynb``, ``manifest.json`` and ``record.jsonl`` in `output`. The first two
        are the same, byte for byte, for the same notebook, parameters, data and versions, as far as the notebook's
        own numbers are.

    Raises
    ------
    ParameterError
        If a parameter is unknown or its value is of the wrong type; all are listed.
    SourceNotFoundError
        If there is no such notebook.
    ReportError
        If it is not a notebook, `output` holds files that no report wrote, or a cell fails. Then ``failed.html``
        shows the failing cell first, and an earlier good report stays as it was.

    Examples
    --------
    >>> import nbformat.v4 as v4
    >>> asked = v4.new_code_cell("subjects = 24", metadata={"tags": ["parameters"]})
    >>> notebook = v4.new_notebook(cells=[asked, v4.new_code_cell("print(subjects, 'subjects')")])
    >>> _ = (tmp_path / "count.ipynb").write_text(v4.writes(notebook))
    >>> report = run_report(tmp_path / "count.ipynb", tmp_path / "count", parameters={"subjects": "3"}, progress=False)
    >>> "3 subjects" in report.page.read_text()
    True
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    source, output = _existing(notebook), Path(output).resolve()
    content, versions = source.read_bytes(), package_versions()
    original = _read_notebook(source.name, content)
    declared = notebook_parameters(original)
    values = check_parameters(declared, parameters or {})
    defaults = {name: parameter.default for name, parameter in declared.items()}
    changed = {name: value for name, value in values.items() if value != defaults[name]}
    _check_output(output, source)

    with _workplace(output) as place:
        where = Path(folder).resolve() if folder is not None else place / FILES
        running, record = inject_parameters(original, changed), place / RECORD
        done = execute_notebook(running, folder=where, place=place, record=record, timeout=timeout, progress=progress)
        facts = describe_run(
            {"name": source.name, "sha256": hashlib.sha256(content).hexdigest()},
            parameters={**defaults, **values},
            changed=changed,
            versions=versions,
            events=read_record(record),
        )
        executed = canonical_notebook(running, folder=where)
        page = render_page(executed, facts=facts, defaults=defaults, source=source, failure=done.failure)
        if done.failure is not None:
            _write(place / FAILED_PAGE, page)
            os.replace(place / FAILED_PAGE, output / FAILED_PAGE)
            raise ReportError(_failure_message(done.failure, output, scratch=folder is None)) from done.error
        warnings = [f"{heading}: {text}" if heading else text for heading, text in notebook_warnings(executed)]
        run = {"started": started, "seconds": round(done.seconds, 3), "cells": list(done.cells)}
        _write_report(place, page, executed, {**facts, "warnings": warnings}, run)
        _publish(place, output)
    return Report(
        page=output / PAGE,
        notebook=output / NOTEBOOK,
        manifest=output / MANIFEST,
        record=output / RECORD,
        parameters=facts["parameters"],
        report_id=facts["report_id"],
        warnings=tuple(warnings),
        seconds=done.seconds,
    )


def _existing(notebook: str | os.PathLike[str]) -> Path:
    path = Path(notebook).resolve()
    if not path.is_file():
        raise SourceNotFoundError(f"no notebook at {os.fspath(notebook)!r}; give the path of an .ipynb file")
    return path


def _read_notebook(name: str, content: bytes) -> NotebookNode:
    """Read a notebook as nbformat 4.5; cells of older files get ids by position, the same each time."""
    import nbformat

    try:
        raw = json.loads(content)
        version = raw["nbformat"]
    except (ValueError, KeyError, TypeError) as error:
        raise ReportError(f"{name} is not a notebook: {type(error).__name__}: {error}") from error
    if version != 4:
        raise ReportError(f"{name} is nbformat {version}, expected 4; open and save it in JupyterLab")
    try:
        for number, cell in enumerate(raw["cells"]):
            cell.setdefault("id", f"cell-{number:03d}")
        text = json.dumps({**raw, "nbformat_minor": 5})
        notebook: NotebookNode = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
        nbformat.validate(notebook)
    except (ValueError, KeyError, TypeError, AttributeError, nbformat.ValidationError) as error:
        raise ReportError(f"{name} is a damaged notebook: {type(error).__name__}: {error}") from error
    if not notebook.cells:
        raise ReportError(f"{name} has no cells; there is nothing to report")
    return notebook


def _check_output(output: Path, source: Path) -> None:
    """Refuse to write where something would be lost that no report wrote."""
    if output.is_file():
        raise ReportError(f"{output} is a file; a report is a folder, choose another name")
    if source == output / NOTEBOOK:
        raise ReportError(f"the report would overwrite its own notebook {source}; choose another output folder")
    ours = [name for name in (PAGE, NOTEBOOK, MANIFEST, RECORD, FILES) if (output / name).exists()]
    if ours and not _is_report(output):
        raise ReportError(f"{output} holds {some(ours)}, which no report wrote; choose another output folder")


def _is_report(output: Path) -> bool:
    try:
        manifest = json.loads((output / MANIFEST).read_text(encoding="utf-8"))
        return str(manifest["reproducible"]["format"]).startswith("integrate-report/")
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextlib.contextmanager
def _workplace(output: Path) -> Iterator[Path]:
    """Yield a folder inside `output` for one run, removed afterwards; what killed runs left behind goes first."""
    import psutil  # type: ignore[import-untyped]

    output.mkdir(parents=True, exist_ok=True)
    mark = f".run-{platform.node()}-"
    for left in output.glob(f"{glob.escape(mark)}*"):
        pid = left.name.removeprefix(mark).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=f"{mark}{os.getpid()}-", dir=output))
    (place / FILES).mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        with contextlib.suppress(OSError):  # an output that is still empty was made for nothing
            output.rmdir()


def _write_report(
    place: Path, page: str, notebook: NotebookNode, facts: Mapping[str, Any], run: Mapping[str, Any]
) -> None:
    """Write the four files; the manifest keeps apart what is the same for every run and what was this run's own."""
    import nbformat

    _write(place / PAGE, page)
    _write(place / NOTEBOOK, nbformat.writes(notebook) + "\n")  # type: ignore[no-untyped-call]
    (place / RECORD).touch()
    made = {name: hash_file(place / name) for name in (PAGE, NOTEBOOK)}
    manifest = {"reproducible": {**facts, "outputs": made}, "run": run}
    _write(place / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def _publish(place: Path, output: Path) -> None:
    """Move the finished files over the old ones, each in one step.

    The manifest goes first: a page or notebook that does not match the hashes in it is from an interrupted move.
    """
    for name in (MANIFEST, RECORD, NOTEBOOK, PAGE):
        os.replace(place / name, output / name)
    if (output / FILES).exists():
        shutil.rmtree(output / FILES)
    if any((place / FILES).iterdir()):
        os.replace(place / FILES, output / FILES)
    (output / FAILED_PAGE).unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    # A lone surrogate in an output (a file name that is not UTF-8) must not lose the report.
    path.write_bytes(text.encode("utf-8", "replace"))


def _failure_message(failure: Failure, output: Path, *, scratch: bool) -> str:
    hint = ""
    if scratch and "NotFound" in failure.reason:
        hint = ". The notebook ran in an empty folder; pass folder= to say where its relative paths start"
    kept = "; the earlier report was kept" if (output / PAGE).exists() else ""
    return f"{failure.where} stopped with {failure.reason}{hint}; see {output / FAILED_PAGE}{kept}"
