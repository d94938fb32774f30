"""A run: a notebook with parameters, executed from top to bottom into one page that can be made again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import ReportError, SourceNotFoundError
from integrate.model.mask import Mask
from integrate.model.provenance import hash_file
from integrate.model.spelling import read_notes
from integrate.report.canonical import canonical_notebook
from integrate.report.crate import write_crate
from integrate.report.execute import execute_notebook
from integrate.report.folder import (
    CRATE,
    FAILED_PAGE,
    FILES,
    FOLDERS,
    MANIFEST,
    NOTEBOOK,
    PAGE,
    PDF,
    RECORD,
    check_output,
    confirm,
    publish,
    read_manifest,
    workplace,
    write_text,
)
from integrate.report.inputs import Input, as_entries, run_inputs
from integrate.report.keep import keep_outputs
from integrate.report.kernel import SHOWN_FOLDER, SPELLINGS
from integrate.report.manifest import describe_machine, describe_run, package_versions, read_record
from integrate.report.page import Failure, notebook_warnings, render_page
from integrate.report.parameters import check_parameters, inject_parameters, notebook_parameters
from integrate.report.pdf import print_pdf
from integrate.report.privacy import mask_events, mask_files, mask_inputs, mask_notebook
from integrate.report.reuse import reasons_to_run
from integrate.report.stamp import stamp_files, stamp_of

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Report", "run_report"]


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
    reused
        Whether nothing had changed since an earlier run, whose report this is.
    reasons
        Why the notebook was run: what had changed since the report that was there.
    privacy
        How many raw identifiers of people the run met, and where they were masked.
    """

    page: Path
    notebook: Path
    manifest: Path
    record: Path
    parameters: dict[str, Any]
    report_id: str
    warnings: tuple[str, ...]
    seconds: float
    reused: bool = False
    reasons: tuple[str, ...] = ()
    privacy: str = ""


class FailedRun(ReportError):
    """A cell failed; `mask` hides what its run knows to be raw identifiers."""

    def __init__(self, message: str, mask: Mask) -> None:
        super().__init__(message)
        self.mask = mask


def run_report(
    notebook: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    parameters: Mapping[str, Any] | None = None,
    timeout: float = 3600,
    progress: bool = True,
    folder: str | os.PathLike[str] | None = None,
    pdf: bool = False,
    again: bool = False,
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
    pdf
        Print the page to ``report.pdf`` with Chromium too.
    again
        Run also when notebook, parameters, data and versions are those of the report that is there.

    Returns
    -------
    Report
        Paths of ``report.html``, ``notebook.ipynb``, ``manifest.json`` and ``record.jsonl`` in `output`. The first two
        are the same, byte for byte, for the same notebook, parameters, data and versions, as far as the notebook's
        own numbers are. Beside them lie each table a cell showed (``tables/*.csv`` and ``.parquet``), each figure
        (``figures/*.png`` and ``.svg``) and a description of it all as RO-Crate.

    Notes
    -----
    In every file of it raw identifiers of people are masked, unless their catalog calls them public, as
    ``docs/reports.md`` says. What cells compute with does not change.

    Raises
    ------
    ParameterError
        If a parameter is unknown or its value is of the wrong type; all are listed.
    SourceNotFoundError
        If there is no such notebook.
    ReportError
        If it is not a notebook, `output` holds files that no report wrote, or a cell fails. Then ``failed.html``
        shows the failing cell first, and an earlier good report stays as it was.
    MissingDependencyError
        If a PDF is asked for and no Chromium is there; nothing is run.

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
    asked = _asked(notebook, parameters or {})
    output = Path(output).resolve()
    check_output(output, asked.source)
    reasons = reasons_to_run(output, asked.identity, asked.parameters, asked.versions, pdf=pdf)
    if not reasons and not again:
        confirm(output)
        return _finished(output, reused=True)
    checked = _checked(asked)
    with workplace(output) as place:
        where = Path(folder).resolve() if folder is not None else place / FILES
        _run(asked, checked, place, output, folder=where, timeout=timeout, progress=progress, pdf=pdf)
        publish(place, output)
    return _finished(output, reasons=tuple(reasons))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be run: a notebook with the values of its parameters, and the versions before the run."""

    source: Path
    content: dict[str, Any]
    identity: dict[str, str]
    defaults: dict[str, Any]
    changed: dict[str, Any]
    versions: dict[str, str]
    started: str

    @property
    def parameters(self) -> dict[str, Any]:
        return {**self.defaults, **self.changed}


def _asked(notebook: str | os.PathLike[str], parameters: Mapping[str, Any]) -> _Asked:
    source = _existing(notebook)
    content = source.read_bytes()
    parsed = _parsed(source.name, content)
    declared = notebook_parameters(parsed)
    values = check_parameters(declared, parameters)
    defaults = {name: parameter.default for name, parameter in declared.items()}
    return _Asked(
        source=source,
        content=parsed,
        identity={"name": source.name, "sha256": hashlib.sha256(content).hexdigest()},
        defaults=defaults,
        changed={name: value for name, value in values.items() if value != defaults[name]},
        versions=package_versions(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _run(
    asked: _Asked,
    notebook: NotebookNode,
    place: Path,
    output: Path,
    *,
    folder: Path,
    timeout: float,
    progress: bool,
    pdf: bool,
) -> None:
    """Execute in `place` and write every file of the report there; a failed run leaves its page in `output`."""
    running = inject_parameters(notebook, asked.changed)
    record = place / RECORD
    done = execute_notebook(running, folder=folder, place=place, record=record, timeout=timeout, progress=progress)
    mask = Mask(read_notes(place / SPELLINGS))
    events, inputs = _masked_record(record, mask)
    executed = canonical_notebook(running, folder=folder)  # first, because it joins what was printed in pieces
    privacy = mask_notebook(executed, mask, shown=place / SHOWN_FOLDER)
    kept = keep_outputs(executed, shown=place / SHOWN_FOLDER, place=place)
    unseen = {name: mask_files(place / name, mask) for name in FOLDERS} if mask else {}
    parameters, defaults = mask.value(asked.parameters), mask.value(asked.defaults)
    facts = describe_run(
        mask.value(asked.identity),
        parameters=parameters,
        changed=asked.changed,
        versions=asked.versions,
        events=events,
        inputs=inputs,
    )
    privacy = replace(
        privacy,
        unseen_files=unseen.get(FILES, 0),  # the others hold what is shown on the page
        paths=sum(mask.count(one.path) > 0 for one in inputs),
        parameters=tuple(name for name in parameters if parameters[name] != asked.parameters[name]),
    )
    facts["privacy"] = privacy.as_facts()
    stamp_files(place, kept, stamp_of(facts))
    failure = done.failure and replace(
        done.failure, where=mask.text(done.failure.where), reason=mask.text(done.failure.reason)
    )
    page = render_page(executed, facts=facts, defaults=defaults, source=asked.source, failure=failure)
    if failure is not None:
        write_text(place / FAILED_PAGE, page)
        os.replace(place / FAILED_PAGE, output / FAILED_PAGE)
        raise FailedRun(_failure_message(failure, output, scratch=folder == place / FILES), mask) from done.error
    warnings = [f"{heading}: {text}" if heading else text for heading, text in notebook_warnings(executed)]
    run = {
        "started": asked.started,
        "seconds": round(done.seconds, 3),
        "peak_memory_mb": done.peak_memory_mb,
        "source": mask.text(str(asked.source)),
        "folder": None if folder == place / FILES else mask.text(str(folder)),
        "machine": describe_machine(asked.source),
        "cells": mask.value(list(done.cells)),
        "inputs": as_entries(inputs),
    }
    _write_report(place, page, executed, {**facts, "warnings": warnings}, run, kept)
    if pdf:
        print_pdf(place / PAGE, place / PDF)


def _masked_record(record: Path, mask: Mask) -> tuple[list[dict[str, Any]], list[Input]]:
    """Return what was recorded and read without raw identifiers, and keep the record so."""
    events = read_record(record)
    inputs = run_inputs(events)
    if mask:
        events, inputs = mask_events(events, inputs, mask), mask_inputs(inputs, mask)
    if mask or not record.exists():
        write_text(record, "".join(json.dumps(event, sort_keys=True) + "\n" for event in events))
    return events, inputs


def _finished(output: Path, *, reused: bool = False, reasons: tuple[str, ...] = ()) -> Report:
    """Return the report that lies in `output`."""
    manifest = read_manifest(output)
    facts, run = manifest["reproducible"], manifest["run"]
    return Report(
        page=output / PAGE,
        notebook=output / NOTEBOOK,
        manifest=output / MANIFEST,
        record=output / RECORD,
        parameters=facts["parameters"],
        report_id=facts["report_id"],
        warnings=tuple(facts["warnings"]),
        seconds=run["seconds"],
        reused=reused,
        reasons=reasons,
        privacy=facts.get("privacy", {}).get("told", ""),
    )


def _existing(notebook: str | os.PathLike[str]) -> Path:
    path = Path(notebook).resolve()
    if not path.is_file():
        raise SourceNotFoundError(f"no notebook at {os.fspath(notebook)!r}; give the path of an .ipynb file")
    return path


def _parsed(name: str, content: bytes) -> dict[str, Any]:
    """Read a notebook as nbformat 4.5; cells of older files get ids by position, the same each time.

    `nbformat`, which takes seconds to import, checks it only when it is to run: a report that stands is there at once.
    """
    try:
        notebook: dict[str, Any] = json.loads(content)
        version = notebook["nbformat"]
    except (ValueError, KeyError, TypeError) as error:
        raise ReportError(f"{name} is not a notebook: {type(error).__name__}: {error}") from error
    if version != 4:
        raise ReportError(f"{name} is nbformat {version}, expected 4; open and save it in JupyterLab")
    try:
        for number, cell in enumerate(notebook["cells"]):
            cell.setdefault("id", f"cell-{number:03d}")
            cell["source"] = "".join(cell["source"])
            cell["cell_type"], cell["metadata"].get("tags")
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(name, error) from error
    if not notebook["cells"]:
        raise ReportError(f"{name} has no cells; there is nothing to report")
    return {**notebook, "nbformat_minor": 5}


def _checked(asked: _Asked) -> NotebookNode:
    """Return the notebook as `nbformat` has it, if that finds it whole."""
    import nbformat

    try:
        notebook: NotebookNode = nbformat.reads(json.dumps(asked.content), as_version=4)  # type: ignore[no-untyped-call]
        nbformat.validate(notebook)
    except (ValueError, KeyError, TypeError, AttributeError, nbformat.ValidationError) as error:
        raise _damaged(asked.source.name, error) from error
    return notebook


def _damaged(name: str, error: Exception) -> ReportError:
    return ReportError(f"{name} is a damaged notebook: {type(error).__name__}: {error}")


def _write_report(
    place: Path,
    page: str,
    notebook: NotebookNode,
    facts: Mapping[str, Any],
    run: Mapping[str, Any],
    kept: list[str],
) -> None:
    """Write the files; the manifest keeps apart what is the same for every run and what was this run's own."""
    import nbformat

    write_text(place / PAGE, page)
    write_text(place / NOTEBOOK, nbformat.writes(notebook) + "\n")  # type: ignore[no-untyped-call]
    made = {name: hash_file(place / name) for name in (PAGE, NOTEBOOK, *kept)}
    manifest = {"reproducible": {**facts, "outputs": made}, "run": run}
    write_text(place / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    write_crate(place / CRATE, manifest)


def _failure_message(failure: Failure, output: Path, *, scratch: bool) -> str:
    hint = ""
    if scratch and "NotFound" in failure.reason:
        hint = ". The notebook ran in an empty folder; pass folder= to say where its relative paths start"
    kept = "; the earlier report was kept" if (output / PAGE).exists() else ""
    return f"{failure.where} stopped with {failure.reason}{hint}; see {output / FAILED_PAGE}{kept}"
