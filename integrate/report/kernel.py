"""The extension a run loads into its kernel: the witness of what is read, and the keeper of what is shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from integrate.model.provenance import RECORD_VARIABLE

__all__ = ["PLACE_VARIABLE", "SHOWN_FOLDER", "load_ipython_extension"]

#: Names the run's own folder for its kernel.
PLACE_VARIABLE: Final = "INTEGRATE_RUN_FOLDER"
SHOWN_FOLDER: Final = "shown"


def load_ipython_extension(shell: Any) -> None:
    """Start watching and keeping; IPython calls this before the first cell."""
    from integrate.report.keep import install
    from integrate.report.witness import watch

    place = Path(os.environ[PLACE_VARIABLE])
    (place / SHOWN_FOLDER).mkdir(exist_ok=True)
    install(shell, place / SHOWN_FOLDER)
    watch(Path(os.environ[RECORD_VARIABLE]), ignore=(place,))
