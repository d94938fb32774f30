"""A PDF of a page, printed by the Chromium that is on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from integrate.errors import MissingDependencyError, ReportError

__all__ = ["find_chromium", "print_pdf"]

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
#: Without the last ones it asks its maker's hosts at every start, which a page that needs nothing must not.
_FLAGS: Final = (
    "--headless", "--disable-gpu", "--no-pdf-header-footer", "--no-first-run", "--disable-quic",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
SECONDS: Final = 180


def find_chromium() -> str | None:
    """Return the path of a Chromium, or ``None``."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


def print_pdf(page: Path, target: Path) -> None:
    """Print an HTML file to PDF.

    Raises
    ------
    MissingDependencyError
        If there is no Chromium.
    ReportError
        If it prints nothing.
    """
    program = find_chromium()
    if program is None:
        raise MissingDependencyError(
            "a PDF is printed by Chromium, and none was found; install Debian's package chromium, or leave the PDF out"
        )
    with tempfile.TemporaryDirectory() as profile:
        root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium's sandbox refuses root
        flags = [*_FLAGS, f"--user-data-dir={profile}", f"--print-to-pdf={target}", *(["--no-sandbox"] if root else [])]
        try:
            done = subprocess.run([program, *flags, page.as_uri()], capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise ReportError(f"Chromium did not print {page.name} within {SECONDS} s") from error
    if not target.is_file():
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-2:]
        raise ReportError(f"Chromium printed no PDF of {page.name}: {' | '.join(last)}")
