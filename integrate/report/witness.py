"""A witness inside the kernel of a run: which files and hosts the notebook reached, also past the catalogs."""

from __future__ import annotations

import json
import os
import site
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Final

from integrate.report.openers import watch_openers

__all__ = ["watch"]

#: What the operating system shows as files, and its own settings.
_SYSTEM: Final = ("/proc", "/sys", "/dev", "/etc", "/usr", "/var/lib", "/run")
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_LOOPBACK: Final = ("127.", "::1", "localhost", "0.0.0.0")


def watch(record: Path, *, ignore: tuple[Path, ...] = ()) -> None:
    """Append every file that the kernel opens for reading, and every host it connects to, to the record of a run.

    Parameters
    ----------
    record
        The run's record; one JSON line of kind ``"file"`` (``path``) or ``"host"`` (``host``) per first sight.
    ignore
        Folders that belong to the run itself. Python's own, the installed packages and the system's are left out too.

    Notes
    -----
    What Python opens or connects to is seen by an audit hook (PEP 578); so are the files named to a subprocess. What a
    library opens in C is seen for `integrate.report.openers.OPENERS`, HDF5 among them. Not seen are the files and hosts
    of other such libraries, and what worker processes open that do not fork; a load through a catalog is recorded by
    the catalog, however its reader opens the file.
    """
    outside = _Outside(ignore)
    seen: set[tuple[str, str]] = set()

    def note(kind: str, name: str) -> None:
        if (kind, name) not in seen:
            seen.add((kind, name))
            line = json.dumps({"kind": kind, {"file": "path", "host": "host"}[kind]: name}) + "\n"
            # Not `open`: its audit event would call this hook again.
            where = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(where, line.encode("utf-8", "replace"))
            finally:
                os.close(where)

    def note_file(path: str) -> None:
        if path and outside(path) and os.path.isfile(path):
            note("file", path)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            note_file(_read_path(arguments))
        elif event == "sqlite3.connect":
            note_file(os.path.abspath(os.fsdecode(arguments[0])))
        elif event == "subprocess.Popen":
            for word in arguments[1]:
                note_file(os.path.abspath(os.fsdecode(word)))
        elif event == "socket.connect" and isinstance(arguments[1], tuple):
            host = str(arguments[1][0])
            if not host.startswith(_LOOPBACK):
                note("host", host)

    sys.addaudithook(hook)
    watch_openers(note_file)


def _read_path(arguments: tuple[Any, ...]) -> str:
    """Return the absolute path of a file that is opened for reading, else nothing."""
    path, mode, flags = arguments
    if not isinstance(path, (str, bytes, os.PathLike)):
        return ""  # a descriptor that is open already
    writes = mode[:1] in "wax" if isinstance(mode, str) and mode else bool(flags & _WRITING)
    return "" if writes else os.path.abspath(os.fsdecode(path))


class _Outside:
    """Says whether a file is the notebook's own input and not a part of Python, a package, the system or the run."""

    def __init__(self, ignore: tuple[Path, ...]) -> None:
        python = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *site.getsitepackages()}
        caches = {
            os.environ.get("NUMBA_CACHE_DIR", ""),
            os.path.join(os.path.expanduser("~"), ".cache"),
            os.path.join(os.path.expanduser("~"), ".config"),
        }
        folders = {*python, *caches, site.getusersitepackages(), *map(str, ignore)} - {""}
        own = Path(__file__).resolve().parents[1]
        self._code = f"{own}{os.sep}"
        self._folders = tuple(
            f"{folder.rstrip(os.sep)}{os.sep}" for folder in {*folders, *map(os.path.realpath, folders)}
        )
        self._system = tuple(f"{folder}/" for folder in _SYSTEM)
        self._scratch = os.path.join(tempfile.gettempdir(), "ipykernel_")

    def __call__(self, path: str) -> bool:
        if path.startswith(self._code):  # its source is hashed as a whole; its catalogs are data
            return path.endswith((".yaml", ".yml"))
        if path.endswith((".pyc", ".nbi", ".nbc")):
            return False
        return not path.startswith((*self._folders, *self._system, self._scratch))
