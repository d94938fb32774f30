"""JupyterLab, started on the notebooks with this environment's kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from integrate.errors import SourceNotFoundError, some

__all__ = ["lab_command", "prepare_notebooks", "start_lab"]


def prepare_notebooks(folder: Path) -> list[Path]:
    """Copy the shipped notebooks into a folder; those that are there stay as they are.

    Parameters
    ----------
    folder
        Where notebooks are worked on; made when it is absent.

    Returns
    -------
    The notebooks of the folder, sorted by name.

    Raises
    ------
    SourceNotFoundError
        If the package came without notebooks.
    """
    packed = Path(str(resources.files("integrate"))) / "notebooks"
    source = packed if packed.is_dir() else packed.parent.parent / "notebooks"
    shipped = sorted(source.glob("*.ipynb"))
    if not shipped:
        raise SourceNotFoundError(f"no notebooks at {source}; install integrate again, or give a folder with notebooks")
    folder.mkdir(parents=True, exist_ok=True)
    for notebook in shipped:
        target = folder / notebook.name
        if not target.exists():
            shutil.copyfile(notebook, target)
    return sorted(folder.glob("*.ipynb"))


def lab_command(folder: Path, *, notebook: str | None = None, arguments: Sequence[str] = ()) -> list[str]:
    """Return the command that starts JupyterLab on a folder, with the first or the named notebook open.

    Parameters
    ----------
    folder
        Where notebooks are.
    notebook
        Name of the one to open; by default the first.
    arguments
        Handed on to JupyterLab.

    Raises
    ------
    SourceNotFoundError
        If the folder has no such notebook.
    """
    names = [path.name for path in sorted(folder.glob("*.ipynb"))]
    chosen = notebook if notebook is not None else names[0] if names else ""
    if chosen not in names:
        raise SourceNotFoundError(f"no notebook {chosen!r} in {folder}; there are {some(names)}")
    # JupyterLab's own "python3" kernel is the interpreter that runs it, so this environment's kernel is ready.
    return [
        *(sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"),
        *(f"--LabApp.default_url=/lab/tree/{chosen}", "--MultiKernelManager.default_kernel_name=python3", *arguments),
    ]


def start_lab(command: Sequence[str]) -> int:
    """Become JupyterLab, so that a signal ends it as it ends by itself: with its kernels.

    Parameters
    ----------
    command
        What `lab_command` returned.

    Returns
    -------
    Exit status; only on Windows, where a program cannot become another one.
    """
    if os.name == "posix":
        os.execv(command[0], list(command))
    return subprocess.run(command, check=False).returncode
