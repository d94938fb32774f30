"""What a newcomer gets from the declared ranges alone, without our pins, imports and is complete."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import uv

UNREACHABLE = ("Failed to fetch", "error sending request", "dns error", "Could not connect", "operation timed out")

pytestmark = pytest.mark.timeout(1200)  # a cold cache downloads about 500 MB


@pytest.fixture(scope="module")
def fresh_python(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """The interpreter of a throw-away environment with the newest versions the declared ranges allow."""
    folder = tmp_path_factory.mktemp("fresh")
    python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run_uv("venv", "--python", sys.executable, str(folder / "venv"), cwd=folder)
    run_uv("pip", "install", "--python", str(python), str(repository), cwd=folder)
    return python


def run_uv(*arguments: str, cwd: Path) -> None:
    """Run uv away from the checkout, so that nothing of it but the wheel is seen; skip when no index answers."""
    run = subprocess.run([uv.find_uv_bin(), *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    reasons = [line for line in run.stderr.splitlines() if any(words in line for words in UNREACHABLE)]
    if run.returncode and reasons:
        pytest.skip(f"the package index is unreachable: {reasons[0].strip()}")
    assert run.returncode == 0, run.stderr


def run_python(python: Path, code: str) -> str:
    run = subprocess.run([python, "-I", "-c", code], cwd=python.parent, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_fresh_resolve_imports_spatialdata_and_integrate(fresh_python: Path) -> None:
    code = "import spatialdata, spatialdata_io, integrate; print(integrate.__file__)"
    assert Path(run_python(fresh_python, code).strip()).is_relative_to(fresh_python.parents[1])


def test_a_fresh_resolve_leaves_squidpy_out(fresh_python: Path) -> None:
    assert run_python(fresh_python, "import importlib.util as u; print(u.find_spec('squidpy'))").strip() == "None"


def test_the_wheel_carries_catalogs_and_notebooks(fresh_python: Path, repository: Path) -> None:
    installed = Path(run_python(fresh_python, "import integrate; print(integrate.__path__[0])").strip())
    shipped = [path for pattern in ("catalogs/*.yaml", "notebooks/*.ipynb") for path in repository.glob(pattern)]
    assert [path.name for path in shipped if not (installed / path.relative_to(repository)).is_file()] == []
