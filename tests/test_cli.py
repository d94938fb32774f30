"""The command line says the same things as the library, with an exit status and without tracebacks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from integrate.cli import app
from integrate.datasets.toy import toy_catalog

runner = CliRunner()


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A catalog file with its data."""
    return toy_catalog(tmp_path / "toy").path


def test_ls_lists_datasets(toy: Path) -> None:
    result = runner.invoke(app, ["catalog", "ls", str(toy)])
    assert result.exit_code == 0
    assert "fields" in result.output
    assert "ChannelFolder" in result.output


def test_check_of_a_whole_catalog_is_status_0(toy: Path) -> None:
    result = runner.invoke(app, ["catalog", "check", str(toy), "--deep"])
    assert (result.exit_code, "0 errors" in result.output) == (0, True)


def test_check_with_errors_is_status_1_and_readable_by_machines(toy: Path) -> None:
    (toy.parent / "clinical.csv").unlink()
    result = runner.invoke(app, ["catalog", "check", str(toy), "--json"])
    findings = json.loads(result.output)
    assert result.exit_code == 1
    assert [(f["severity"], f["source"]) for f in findings] == [("error", "clinical")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["catalog", "ls", "dmo"], "no catalog at 'dmo'; closest: 'demo'"),
        (["catalog", "ls", "demo", "-p", "subject=P01"], "no parameter 'subject'"),
        (["catalog", "ls", "demo", "-p", "subject"], "'subject' is not name=value"),
        (["report", "run", "absent.ipynb"], "absent.ipynb"),
    ],
)
def test_a_mistake_is_one_line_and_status_1(arguments: list[str], message: str) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


def test_help_starts_without_the_science_stack() -> None:
    heavy = "{'numpy', 'pandas', 'intake', 'spatialdata'}"
    code = f"import sys; from integrate.cli import app; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
