"""An execution of a notebook: every cell, in order, in a fresh quiet kernel of this interpreter."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import site
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from integrate.model.provenance import RECORD_VARIABLE
from integrate.model.spelling import SPELLINGS_VARIABLE
from integrate.report.kernel import PLACE_VARIABLE, SPELLINGS
from integrate.report.page import Failure, cell_headings

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Execution", "execute_notebook"]

#: Sockets only this user can open; ZeroMQ has none on Windows.
_TRANSPORT: Final = "ipc" if os.name == "posix" else "tcp"
#: A socket's path ends at 104 bytes on macOS and 108 on Linux, of which ZeroMQ and the file's name take some.
MAX_SOCKET_FOLDER: Final = 80
_KERNEL_SETTINGS: Final = 'c.InteractiveShellApp.extensions = ["integrate.report.kernel"]\n'


@dataclass(frozen=True, slots=True)
class Execution:
    """What an execution left behind.

    Parameters
    ----------
    failure, error
        Where it stopped and the exception that said so; ``None`` when every cell ran.
    seconds
        How long it took, start of the kernel included.
    cells
        ``heading`` and ``seconds`` of each code cell that ran, in order.
    peak_memory_mb
        The most memory the kernel held at the end of a cell, its children included; 0 where no cell ended.
    """

    failure: Failure | None
    error: Exception | None
    seconds: float
    cells: tuple[dict[str, Any], ...]
    peak_memory_mb: int


def execute_notebook(
    notebook: NotebookNode, *, folder: Path, place: Path, record: Path, timeout: float, progress: bool
) -> Execution:
    """Run every cell of a notebook, writing outputs into it.

    Parameters
    ----------
    notebook
        Changed in place.
    folder
        Working folder of the kernel.
    place
        Folder for the kernel's settings and log; removed by the caller.
    record
        File to which the library appends what it loads.
    timeout
        Seconds one cell may take.
    progress
        Show one line with the heading of the current cell.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellControlSignal
    from tqdm.auto import tqdm

    watch = _Watch(notebook, tqdm(total=len(notebook.cells), disable=not progress, unit="cell"))
    error: Exception | None = None
    log = place / "kernel.log"
    with watch.bar, _kernel_manager(place) as manager, log.open("wb") as stream:
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=math.ceil(timeout),
            startup_timeout=120,
            record_timing=False,
            store_widget_state=False,
            on_cell_start=watch.start,
            on_cell_executed=watch.end,
        )
        watch.manager = manager
        client.owns_km = True  # a manager that is handed in is otherwise left with its kernel running
        try:
            client.execute(cwd=str(folder), env=_environment(place, record), stdout=stream, stderr=stream)
        except (CellControlSignal, RuntimeError) as caught:  # what nbclient raises: cell error, timeout, dead kernel
            error = caught
        watch.close(done=error is None)
    failure = None if error is None else watch.failure(_reason(error, timeout, log))
    seconds = time.perf_counter() - watch.begun
    return Execution(failure, error, seconds, tuple(watch.cells), watch.peak_memory_mb)


class _Watch:
    """Follows an execution cell by cell, for the progress line, the timings and the place of a failure."""

    def __init__(self, notebook: NotebookNode, bar: Any) -> None:
        self._notebook, self._headings = notebook, cell_headings(notebook)
        self._index, self._cell_begun = 0, 0.0
        self.bar = bar
        self.begun = time.perf_counter()
        self.cells: list[dict[str, Any]] = []
        self.manager: Any = None
        self.peak_memory_mb = 0

    def start(self, *, cell: NotebookNode, cell_index: int) -> None:
        self._index, self._cell_begun = cell_index, time.perf_counter()
        self.bar.update(cell_index - self.bar.n)
        self.bar.set_description(self._headings[cell_index] or "start")

    def end(self, *, cell: NotebookNode, cell_index: int, execute_reply: object) -> None:
        seconds = round(time.perf_counter() - self._cell_begun, 3)
        memory = _memory_mb(self.manager.provisioner.pid)
        self.peak_memory_mb = max(self.peak_memory_mb, memory)
        self.cells.append({"heading": self._headings[cell_index], "seconds": seconds, "memory_mb": memory})

    def close(self, *, done: bool) -> None:
        self.bar.set_description("report" if done else "stopped")
        self.bar.update(len(self._notebook.cells) - self.bar.n if done else 0)

    def failure(self, reason: str) -> Failure:
        cell, heading = self._notebook.cells[self._index], self._headings[self._index]
        first = next((line.strip() for line in cell.source.splitlines() if line.strip()), "")
        number = sum(c.cell_type == "code" for c in self._notebook.cells[: self._index + 1])
        under = f" under “{heading}”" if heading else ""
        return Failure(self._index, f"code cell {number}{under}, which begins `{first}`", reason)


def _memory_mb(pid: int | None) -> int:
    """Return what a process and its children hold; 0 when it has just died."""
    import psutil  # type: ignore[import-untyped]

    try:
        process = psutil.Process(pid)
        return round(sum(one.memory_info().rss for one in (process, *process.children(recursive=True))) / 1e6)
    except psutil.Error:
        return 0


@contextlib.contextmanager
def _kernel_manager(place: Path) -> Iterator[Any]:
    """Yield a manager whose kernel is this very interpreter."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class ThisInterpreter(KernelSpecManager):
        # A "python3" spec found by name may belong to another environment.
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            from ipykernel.kernelspec import get_kernel_dict

            return KernelSpec(**get_kernel_dict())

    short = len(os.fsencode(place)) <= MAX_SOCKET_FOLDER
    sockets = tempfile.mkdtemp(prefix="k", dir=place if short else None)
    try:
        yield AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=ThisInterpreter(),
            transport=_TRANSPORT,
            connection_file=str(Path(sockets) / "k.json"),
        )
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def _environment(place: Path, record: Path) -> dict[str, str]:
    """Return the kernel's environment: as ours, without what would make two runs differ."""
    settings = place / "settings"
    profile = settings / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_kernel_config.py").write_text(_KERNEL_SETTINGS, encoding="utf-8")
    (settings / "matplotlibrc").write_text("svg.hashsalt: integrate\n", encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONSTARTUP"}
    return {
        **inherited,
        **_same_package(),
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": "0",  # matplotlib writes it into SVG and PDF instead of now
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(settings / "matplotlibrc"),
        "IPYTHONDIR": str(settings / "ipython"),  # ours, and no start-up files of this user
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "TQDM_DISABLE": "1",  # a speed has no place on a page
        RECORD_VARIABLE: str(record),
        SPELLINGS_VARIABLE: str(place / SPELLINGS),
        PLACE_VARIABLE: str(place),
    }


def _same_package() -> dict[str, str]:
    """Return the path that lets the kernel import this very package, also from a checkout that is not installed."""
    home = str(Path(__file__).resolve().parents[2])
    if home in map(os.path.realpath, site.getsitepackages()):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))}


def _reason(error: Exception, timeout: float, log: Path) -> str:
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    if isinstance(error, CellExecutionError):
        return f"{error.ename}: {error.evalue}"
    if isinstance(error, CellTimeoutError):
        return f"the cell took longer than {timeout:g} s; allow it more with timeout="
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
    return f"{error}, as when memory runs out" + (f"; its last words: {' | '.join(last)}" if last else "")
