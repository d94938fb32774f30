"""A verification: a report made again, what is different now, and why."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integrate.errors import ParameterError, ReportError, SourceNotFoundError, some
from integrate.report.causes import Cause, find_causes
from integrate.report.compare import changed_cells, find_differences, read_executed
from integrate.report.difference import Difference, Tolerance
from integrate.report.folder import NOTEBOOK, read_manifest
from integrate.report.parameters import without_run
from integrate.report.run import run_report

__all__ = ["Verification", "diff_reports", "verify_report"]


@dataclass(frozen=True, slots=True)
class Verification:
    """What differs between two runs of a report, and what went differently into them.

    Parameters
    ----------
    before, after
        Report ids of the two.
    differences
        What a reader would see.
    causes
        What changed of code, parameters, seeds, data, settings, versions. There may be causes without a difference: a
        change that did not matter.
    random
        Whether two runs on equal inputs differ; ``None`` when that was not tried.
    tolerance
        What still counted as the same.
    """

    before: str
    after: str
    differences: tuple[Difference, ...]
    causes: tuple[Cause, ...]
    random: bool | None
    tolerance: Tolerance

    @property
    def same(self) -> bool:
        """Whether a reader would see the same numbers, tables and figures."""
        return not self.differences

    @property
    def verdict(self) -> str:
        """One sentence: what was found, and why."""
        changed = some([str(cause) for cause in self.causes], limit=5) if self.causes else ""
        if self.same:
            return f"the same, although something changed: {changed}" if changed else "the same"
        found = f"{len(self.differences)} {'difference' if len(self.differences) == 1 else 'differences'}"
        if changed:
            return f"{found}; changed: {changed}"
        if self.random:
            return f"{found}; nothing changed that went in, and two runs differ: the notebook is not deterministic"
        return f"{found}; nothing changed that is recorded"

    def __str__(self) -> str:
        lines = [self.verdict]
        lines += [f"  why: {cause}" for cause in self.causes]
        lines += [f"  {difference}" for difference in self.differences]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from integrate.model.html import badge, card, rows

        state = badge("the same", "ok") if self.same else badge(f"{len(self.differences)} differences", "warn")
        why = rows(("cause", "change"), [(cause.kind, cause.told) for cause in self.causes]) if self.causes else ""
        seen = rows(("where", "difference"), [(one.where, one.told) for one in self.differences])
        return card(
            "Verification", state, why, seen if self.differences else "", subtitle=f"{self.before} → {self.after}"
        )


def diff_reports(
    before: str | os.PathLike[str], after: str | os.PathLike[str], *, tolerance: Tolerance | None = None
) -> Verification:
    """Compare two finished reports without running anything.

    Parameters
    ----------
    before, after
        Folders of reports.
    tolerance
        What still counts as the same.

    Returns
    -------
    Verification
        Numbers, tables and figures that differ, and what differs of what went in.

    Raises
    ------
    SourceNotFoundError
        If one of them is no report.
    ReportError
        If one of them is damaged.

    Examples
    --------
    >>> import nbformat.v4 as v4
    >>> from integrate.report.run import run_report
    >>> asked = v4.new_code_cell("n = 24", metadata={"tags": ["parameters"]})
    >>> notebook = v4.new_notebook(cells=[asked, v4.new_code_cell("print(n / 2, 'pairs')")])
    >>> _ = (tmp_path / "pairs.ipynb").write_text(v4.writes(notebook))
    >>> for n in (24, 30):
    ...     _ = run_report(tmp_path / "pairs.ipynb", tmp_path / str(n), parameters={"n": n}, progress=False)
    >>> print(diff_reports(tmp_path / "24", tmp_path / "30"))
    1 difference; changed: 'parameter: n: 24 → 30'
      why: parameter: n: 24 → 30
      cell 2: 1 of 1 numbers differ, as 12.0 → 15.0
    """
    tolerance = tolerance or Tolerance()
    one, other = Path(before).resolve(), Path(after).resolve()
    facts, theirs = (read_manifest(folder)["reproducible"] for folder in (one, other))
    cells = changed_cells(read_executed(one), read_executed(other))
    return Verification(
        facts["report_id"],
        theirs["report_id"],
        tuple(find_differences(one, other, tolerance=tolerance)),
        tuple(find_causes(facts, theirs, cells=cells)),
        None,
        tolerance,
    )


def verify_report(
    folder: str | os.PathLike[str],
    *,
    notebook: str | os.PathLike[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    tolerance: Tolerance | None = None,
    timeout: float = 3600,
    progress: bool = True,
) -> Verification:
    """Run a report's notebook again and say what is different now, and why.

    Parameters
    ----------
    folder
        Folder of a finished report; it is not changed.
    notebook
        The notebook to run; by default the one it was made of where that still lies in its place, else the executed
        one in the report.
    parameters
        Values other than those of the report.
    tolerance
        What still counts as the same.
    timeout, progress
        As of `run_report`.

    Returns
    -------
    Verification
        Where nothing that went in has changed but a number has, the notebook is run once more: two such runs that
        differ show that it is not deterministic.

    Raises
    ------
    SourceNotFoundError
        If there is no report, or the notebook that was named is not there.
    ReportError
        If the report is damaged or a cell fails now.
    ParameterError
        If the report was run with a raw identifier, whose value it does not hold, and it is not given.

    Examples
    --------
    >>> import nbformat.v4 as v4
    >>> from integrate.report.run import run_report
    >>> notebook = v4.new_notebook(cells=[v4.new_code_cell("print(1 / 3)")])
    >>> _ = (tmp_path / "third.ipynb").write_text(v4.writes(notebook))
    >>> report = run_report(tmp_path / "third.ipynb", tmp_path / "third", progress=False)
    >>> verify_report(tmp_path / "third", progress=False).verdict
    'the same'
    """
    stored = Path(folder).resolve()
    manifest = read_manifest(stored)
    with tempfile.TemporaryDirectory() as scratch:
        source = _source(stored, manifest, notebook, Path(scratch))
        values = _values(manifest["reproducible"], parameters or {})

        def again(name: str) -> Path:
            target = Path(scratch) / name
            work = manifest["run"]["folder"]
            run_report(source, target, parameters=values, timeout=timeout, progress=progress, folder=work)
            return target

        now = again("now")
        found = diff_reports(stored, now, tolerance=tolerance)
        if found.same or found.causes:
            return found
        repeated = find_differences(now, again("again"), tolerance=found.tolerance)
        return Verification(found.before, found.after, found.differences, (), bool(repeated), found.tolerance)


def _source(stored: Path, manifest: Mapping[str, Any], notebook: str | os.PathLike[str] | None, scratch: Path) -> Path:
    """Return the notebook to run: the one named, the one it was made of, or the executed one without its run."""
    if notebook is not None:
        return Path(notebook)
    original = Path(manifest["run"]["source"])
    if original.is_file():
        return original
    import nbformat

    if manifest["reproducible"].get("privacy", {}).get("source"):
        raise ReportError(
            f"{original} is not there, and the notebook in the report has raw identifiers masked; name the notebook"
        )
    if not (stored / NOTEBOOK).is_file():
        raise SourceNotFoundError(f"neither {original} nor {stored / NOTEBOOK} is there; name the notebook")
    target = scratch / manifest["reproducible"]["notebook"]["name"]
    nbformat.write(without_run(read_executed(stored)), target)  # type: ignore[no-untyped-call]
    return target


def _values(facts: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values the report was run with where they were not the notebook's own, and those given now."""
    chosen = {name: facts["parameters"][name] for name in facts["parameters_changed"]}
    masked = [name for name in facts.get("privacy", {}).get("parameters", ()) if name in chosen and name not in given]
    if masked:
        raise ParameterError(f"the report does not hold the value of {some(masked)}, a raw identifier; give it")
    return {**chosen, **given}
