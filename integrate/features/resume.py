"""Resuming: finished blocks kept in a folder, so that a long measurement goes on where it was broken off."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError
from integrate.model.provenance import hash_settings

if TYPE_CHECKING:
    from integrate.features.stream import Runner

__all__ = ["Resumable"]


class Resumable:
    """A runner that writes every finished piece of work to a file, and does not do again what it finds there.

    Parameters
    ----------
    run
        Does what is missing.
    folder
        Whose files are trusted: they are pickles of this library.
    inputs
        Anything that names image, regions and settings; work on other inputs goes to another subfolder, so blocks of
        one set of regions never meet those of another.
    """

    def __init__(self, run: Runner, folder: str | os.PathLike[str], inputs: object) -> None:
        self._run = run
        self._folder = Path(folder) / hash_settings(inputs)
        self._phase = 0

    def __call__(self, work: Any, tasks: Sequence[Any]) -> Iterator[Any]:
        """Yield the results in the order of the tasks."""
        self._phase += 1
        folder = self._folder / f"phase{self._phase}"
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f"{number}.pickle" for number in range(len(tasks))]
        missing = [number for number, file in enumerate(files) if not file.exists()]
        fresh = self._run(work, [tasks[number] for number in missing])
        waiting = set(missing)
        for number, file in enumerate(files):
            if number in waiting:
                result = next(fresh)
                _write(result, file)
            else:
                result = _read(file)
            yield result
        for _ in fresh:  # there is nothing left, but the runner closes what it opened
            pass

    def finish(self) -> None:
        """Remove what was kept."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _write(result: Any, file: Path) -> None:
    beside = file.with_suffix(f".{os.getpid()}")
    beside.write_bytes(pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL))
    beside.replace(file)


def _read(file: Path) -> Any:
    try:
        return pickle.loads(file.read_bytes())
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError) as error:
        raise DataError(f"{file} is no block of this version ({error}); remove the folder and measure again") from error
