"""The folder of a report: what lies in it, where a run works inside it, and how a finished run takes its place."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from integrate.errors import ReportError, SourceNotFoundError, some

__all__ = [
    "CRATE",
    "FAILED_PAGE",
    "FILES",
    "FOLDERS",
    "MANIFEST",
    "NOTEBOOK",
    "PAGE",
    "PDF",
    "RECORD",
    "check_output",
    "confirm",
    "publish",
    "read_manifest",
    "workplace",
    "write_text",
]

PAGE: Final = "report.html"
FAILED_PAGE: Final = "failed.html"
PDF: Final = "report.pdf"
NOTEBOOK: Final = "notebook.ipynb"
RECORD: Final = "record.jsonl"
MANIFEST: Final = "manifest.json"
CRATE: Final = "ro-crate-metadata.json"
FILES: Final = "files"

#: In the order they are published. The manifest goes first: a page or notebook that does not match the hashes in it is
#: from an interrupted move.
_DOCUMENTS: Final = (MANIFEST, RECORD, NOTEBOOK, PAGE, CRATE, PDF)
#: Each is masked whole before it is published.
FOLDERS: Final = (FILES, "tables", "figures")


def check_output(output: Path, source: Path) -> None:
    """Refuse to write where something would be lost that no report wrote.

    Raises
    ------
    ReportError
        If `output` is a file, holds the notebook itself, or holds files of the names a report uses.
    """
    if output.is_file():
        raise ReportError(f"{output} is a file; a report is a folder, choose another name")
    if source == output / NOTEBOOK:
        raise ReportError(f"the report would overwrite its own notebook {source}; choose another output folder")
    ours = [name for name in (*_DOCUMENTS, *FOLDERS) if (output / name).exists()]
    if ours and not _is_report(output):
        raise ReportError(f"{output} holds {some(ours)}, which no report wrote; choose another output folder")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a finished report.

    Raises
    ------
    SourceNotFoundError
        If no report lies there.
    ReportError
        If its manifest cannot be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise SourceNotFoundError(f"no report in {str(folder)!r}: it has no {MANIFEST}; give the folder of a report")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = str(manifest["reproducible"]["format"]).startswith("integrate-report/")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReportError(f"{path} is not the manifest of a report: {type(error).__name__}: {error}") from error
    if not known:
        raise ReportError(f"{path} is of format {manifest['reproducible']['format']!r}, expected integrate-report")
    return manifest


def _is_report(output: Path) -> bool:
    try:
        read_manifest(output)
    except (ReportError, SourceNotFoundError):
        return False
    return True


@contextlib.contextmanager
def workplace(output: Path) -> Iterator[Path]:
    """Yield a folder inside `output` for one run, removed afterwards; what killed runs left behind goes first."""
    output.mkdir(parents=True, exist_ok=True)
    remove_remains(output)
    place = Path(tempfile.mkdtemp(prefix=f"{_mark()}{os.getpid()}-", dir=output))
    (place / FILES).mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        with contextlib.suppress(OSError):  # an output that is still empty was made for nothing
            output.rmdir()


def remove_remains(output: Path) -> None:
    """Remove what runs left in a folder that were killed on this machine."""
    import psutil  # type: ignore[import-untyped]

    for left in output.glob(f"{glob.escape(_mark())}*"):
        pid = left.name.removeprefix(_mark()).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _mark() -> str:
    return f".run-{platform.node()}-"


def confirm(output: Path) -> None:
    """Let the report in a folder stand: what failed or killed later runs left beside it goes."""
    remove_remains(output)
    (output / FAILED_PAGE).unlink(missing_ok=True)


def publish(place: Path, output: Path) -> None:
    """Move the finished files over the old ones, each in one step; what this run did not make goes."""
    for name in _DOCUMENTS:
        if (place / name).exists():
            os.replace(place / name, output / name)
        else:
            (output / name).unlink(missing_ok=True)
    for name in FOLDERS:
        if (output / name).exists():
            shutil.rmtree(output / name)
        if (place / name).is_dir() and any((place / name).iterdir()):
            os.replace(place / name, output / name)
    (output / FAILED_PAGE).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8; a lone surrogate in an output, as of a file name that is none, must not lose the report."""
    path.write_bytes(text.encode("utf-8", "replace"))
