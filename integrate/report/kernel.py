"""The extension a run loads into its kernel: the witness of what is read, the keeper and the veil of what is shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from integrate.model.provenance import RECORD_VARIABLE

__all__ = ["PLACE_VARIABLE", "SHOWN_FOLDER", "SPELLINGS", "load_ipython_extension"]

#: Names the run's own folder for its kernel.
PLACE_VARIABLE: Final = "INTEGRATE_RUN_FOLDER"
SHOWN_FOLDER: Final = "shown"
#: File of the raw spellings that the kernel met; it is never kept.
SPELLINGS: Final = "spellings.jsonl"


def load_ipython_extension(shell: Any) -> None:
    """Start watching and keeping; IPython calls this before the first cell."""
    from integrate.report import keep, veil
    from integrate.report.witness import watch

    place = Path(os.environ[PLACE_VARIABLE])
    (place / SHOWN_FOLDER).mkdir(exist_ok=True)
    keep.install(shell, place / SHOWN_FOLDER)
    veil.install(shell)
    watch(Path(os.environ[RECORD_VARIABLE]), ignore=(place,))
