"""The reasons to run a notebook again: what is no longer as it was when its report was made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from integrate.errors import ReportError, SourceNotFoundError, some
from integrate.model.provenance import hash_file
from integrate.report.causes import changed_values
from integrate.report.folder import MANIFEST, PDF, read_manifest
from integrate.report.inputs import changed_inputs

__all__ = ["reasons_to_run"]


def reasons_to_run(
    output: Path,
    notebook: Mapping[str, str],
    parameters: Mapping[str, Any],
    versions: Mapping[str, str],
    *,
    pdf: bool,
) -> list[str]:
    """Return why the report in a folder cannot stand for a new run; nothing when it can.

    Parameters
    ----------
    output
        Folder that may hold a report.
    notebook
        ``name`` and ``sha256`` of the notebook that is asked for.
    parameters
        The value of each of its parameters.
    versions
        From `package_versions`.
    pdf
        Whether a PDF is asked for.

    Returns
    -------
    One sentence each. What a run fetched from a host cannot be checked here and is always a reason.
    """
    if not (output / MANIFEST).is_file():
        return ["there is no report yet"]
    try:
        manifest = read_manifest(output)
        facts, inputs = manifest["reproducible"], manifest["run"]["inputs"]
        reasons = _changed_outputs(output, facts["outputs"])
        if facts["notebook"]["sha256"] != notebook["sha256"]:
            reasons.append(f"the notebook {notebook['name']} is another")
        masked = facts.get("privacy", {}).get("parameters", ())
        reasons += [f"the value of {name} was masked and cannot be compared" for name in masked]
        given = {name: value for name, value in parameters.items() if name not in masked}
        kept = {name: value for name, value in facts["parameters"].items() if name not in masked}
        reasons += changed_values("parameter", kept, given)
        reasons += changed_values("version", facts["versions"], versions)
        reasons += [f"{Path(path).name} has changed" for path in changed_inputs(inputs)]
        reasons += [f"{load['location']} cannot be checked" for load in facts["loads"] if not load["sha256"]]
        reasons += [f"the run read from {host}, which cannot be checked" for host in facts["hosts"]]
    except (ReportError, SourceNotFoundError, KeyError, TypeError) as error:
        return [f"the report that is there cannot be read ({type(error).__name__}: {error})"]
    if pdf and not (output / PDF).is_file():
        reasons.append("a PDF is asked for")
    return reasons


def _changed_outputs(output: Path, made: Mapping[str, str]) -> list[str]:
    changed = [name for name, digest in made.items() if not _has(output / name, digest)]
    return [f"the report was changed after it was made: {some(changed)}"] if changed else []


def _has(path: Path, digest: str) -> bool:
    return path.is_file() and hash_file(path) == digest
