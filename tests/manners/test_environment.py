"""pyproject.toml, constraints.txt and environment.yml say the same thing."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYTHONS = ("3.11", "3.12")


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def pins(repository: Path) -> list[Requirement]:
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def environment(repository: Path) -> dict[str, Any]:
    return yaml.safe_load((repository / "environment.yml").read_text(encoding="utf-8"))


def on(python: str) -> dict[str, str]:
    """Return the marker environment of Linux with that Python."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": "linux",
        "os_name": "posix",
        "platform_system": "Linux",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def pinned(pins: list[Requirement], python: str) -> dict[str, str]:
    """Return the exact version of each package on that Python; a package with two is an error."""
    versions: dict[str, str] = {}
    for pin in pins:
        (specifier,) = pin.specifier
        if pin.marker is None or pin.marker.evaluate(on(python)):
            name = canonicalize_name(pin.name)
            assert specifier.operator == "=="
            assert name not in versions, f"{name} is pinned twice on Python {python}"
            versions[name] = specifier.version
    return versions


@pytest.mark.parametrize("python", PYTHONS)
def test_every_declared_dependency_has_a_pin_within_its_range(
    project: dict[str, Any], pins: list[Requirement], python: str
) -> None:
    versions = pinned(pins, python)
    declared = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    wrong = [
        f"{requirement}: pinned {versions.get(canonicalize_name(requirement.name))}"
        for requirement in map(Requirement, declared)
        if not requirement.specifier.contains(versions.get(canonicalize_name(requirement.name), "0"))
    ]
    assert wrong == [], "run `make constraints`"


def test_constraints_are_only_pins(pins: list[Requirement]) -> None:
    # pip refuses extras and URLs in a constraints file
    assert [str(pin) for pin in pins if pin.extras or pin.url] == []


def test_conda_asks_for_the_same_python_and_leaves_the_packages_to_pip(
    project: dict[str, Any], environment: dict[str, Any]
) -> None:
    *conda, pip = environment["dependencies"]
    assert environment["name"] == project["name"]
    assert environment["channels"] == ["conda-forge"]
    assert conda == [f"python {project['requires-python']}", "pip"]
    assert pip == {"pip": ["-c constraints.txt", "-e .[test,reference]"]}


def test_tools_check_against_the_lowest_supported_python(repository: Path, project: dict[str, Any]) -> None:
    tools = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    lowest = project["requires-python"].removeprefix(">=")
    assert lowest == PYTHONS[0] == tools["mypy"]["python_version"]
    assert tools["ruff"]["target-version"] == "py" + lowest.replace(".", "")
