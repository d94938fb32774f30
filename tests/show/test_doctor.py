"""The doctor finds what is wrong, says the fix, and the command line's status says whether something is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from integrate.cli import app
from integrate.errors import SourceNotFoundError
from integrate.show import doctor
from integrate.show.doctor import Finding, check_environment
from integrate.show.lab import lab_command, prepare_notebooks


def test_versions_that_break_each_other_are_faults_with_a_fix() -> None:
    have = {rule.package: rule.lowest for rule in doctor.RULES} | {
        "zarr": "2.18.7",
        "intake": "2.2",
        "vitessce": "3.8.4",
    }
    found = [*doctor._versions(have.get), *doctor._harmful(have.get)]
    faults = {one.what.split()[0]: one.fix for one in found if one.verdict == doctor.FAULT}
    assert faults == {
        "zarr": 'pip install "zarr>=3.1.2"',
        "intake": 'pip install "intake>=2.0.9,<2.2"',
        "vitessce": "pip uninstall vitessce, then make env",
    }
    assert [one.verdict for one in doctor._versions(lambda _: None)] == [doctor.FAULT] * len(doctor.RULES)


def test_this_environment_is_sound() -> None:
    found = check_environment(browser=False)
    assert [one.what for one in found if one.verdict == doctor.FAULT] == []
    assert all(one.fix or one.verdict != doctor.FAULT for one in found)


@pytest.mark.browser
def test_a_browser_is_asked_for_webgl() -> None:
    found = check_environment(browser=True)[-1]
    if "no Chromium" in found.what:
        pytest.skip("no chromium on this machine")
    assert "WebGL2" in found.what


def test_the_command_prints_findings_and_fails_when_something_must_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [Finding("ok", "Python 3.11"), Finding("fault", "zarr 2.18.7: too old", "pip install zarr")]
    monkeypatch.setattr(doctor, "check_environment", lambda *, browser: broken)
    told = CliRunner().invoke(app, ["doctor"])
    assert told.exit_code == 1
    assert "-> pip install zarr" in told.output
    monkeypatch.setattr(doctor, "check_environment", lambda *, browser: broken[:1])
    assert CliRunner().invoke(app, ["doctor", "--no-browser"]).exit_code == 0


def test_notebooks_are_copied_once_and_never_overwritten(tmp_path: Path) -> None:
    first = prepare_notebooks(tmp_path / "work")
    assert "01_first_study.ipynb" in [path.name for path in first]
    first[0].write_text("mine", encoding="utf-8")
    assert prepare_notebooks(tmp_path / "work") == first
    assert first[0].read_text(encoding="utf-8") == "mine"


def test_lab_starts_on_a_notebook_with_this_interpreter(tmp_path: Path) -> None:
    prepare_notebooks(tmp_path)
    command = lab_command(tmp_path, arguments=["--no-browser"])
    assert command[0] == sys.executable
    assert command[-1] == "--no-browser"
    with pytest.raises(SourceNotFoundError, match=r"no notebook '09\.ipynb'"):
        lab_command(tmp_path, notebook="09.ipynb")
    told = subprocess.run([*command[:3], "--version"], capture_output=True, text=True, check=True)
    assert int(told.stdout.split(".")[0]) >= 4
