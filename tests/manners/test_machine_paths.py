"""What is committed holds for every machine: no one's folders, no package registries, no notebook outputs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

#: A folder of somebody's machine at the start of a path; a web address or a longer path may contain the same words.
MACHINE_PATH = re.compile(r"(?<![\w.}\])>-])/(?:work|tmp|root|home|Users)/[\w.~-]")
REGISTRY = re.compile(r"(?:pypi|pythonhosted|anaconda|npmjs|crates)\.(?:org|com|io)\b")


def committed_files(repository: Path) -> Iterator[Path]:
    """Yield every file that is tracked or would be by the next ``git add``."""
    git = shutil.which("git")
    if git is None or not (repository / ".git").exists():
        pytest.skip("not a git checkout: which files are committed is unknown")
    command = [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=repository, capture_output=True, check=True).stdout.decode()
    yield from (repository / name for name in listing.split("\0") if name and (repository / name).is_file())


def committed_lines(repository: Path) -> Iterator[tuple[str, str]]:
    """Yield ``file:number`` and text of every line of every committed text file."""
    for path in committed_files(repository):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            yield f"{path.relative_to(repository)}:{number}", line


def test_no_committed_file_names_a_folder_of_this_machine(repository: Path) -> None:
    assert [place for place, line in committed_lines(repository) if MACHINE_PATH.search(line)] == []


def test_no_committed_file_names_a_package_registry(repository: Path) -> None:
    assert [place for place, line in committed_lines(repository) if REGISTRY.search(line)] == []


@pytest.mark.parametrize("before", ["", '"', "cd ", "=", "file://", "("])
def test_a_planted_machine_path_is_found(before: str) -> None:
    assert MACHINE_PATH.search(f"{before}/{'tmp'}/study/ct.dcm")


@pytest.mark.parametrize("line", ["https://example.org/{}/page", "{{root}}/{}/x", "data/{}/x", "the /{}/ folder"])
def test_the_same_word_inside_a_longer_path_is_not_a_machine_path(line: str) -> None:
    assert MACHINE_PATH.search(line.format("home")) is None


def test_a_planted_registry_is_found() -> None:
    assert REGISTRY.search(f"--index-url https://{'pypi'}.org/simple")


def notebooks() -> list[Path]:
    return sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("**/*.ipynb"))


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []
    assert all(cell["id"] for cell in notebook["cells"])
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
