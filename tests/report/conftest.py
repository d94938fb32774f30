"""Notebooks made on the spot, a fixed set of versions, and a real browser when there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from integrate.report import run

NotebookWriter = Callable[..., Path]


@pytest.fixture(scope="session")
def write_notebook() -> NotebookWriter:
    """Return a function that writes cells as a notebook: text that starts with "#  " words is markdown, else code."""

    def write(path: Path, *sources: str) -> Path:
        cells = []
        for number, source in enumerate(sources):
            if source.startswith(("# ", "## ")):
                cells.append(new_markdown_cell(source, id=f"m{number}"))
            else:
                tags = {"tags": ["parameters"]} if source.startswith('"""Parameters') else {}
                cells.append(new_code_cell(source, id=f"c{number}", metadata=tags))
        nbformat.write(new_notebook(cells=cells), path)
        return path

    return write


@pytest.fixture(scope="module")
def fixed_versions() -> Iterator[dict[str, str]]:
    """Hold the versions still, the hash of our own source above all, while somebody edits the checkout."""
    versions = {"python": "3.11", "integrate": "0.1.0", "integrate source": "0123456789abcdef"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "package_versions", lambda: dict(versions))
        yield versions
