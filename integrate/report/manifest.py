"""The manifest of a report: what went in, with which versions, and apart from that, what this one run was like."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from integrate.model.provenance import hash_file, hash_settings
from integrate.report.inputs import Input

__all__ = ["STACK", "describe_machine", "describe_run", "package_versions", "read_record"]

FORMAT: Final = "integrate-report/2"
#: Of a load, what belongs to this run only.
_OWN: Final = frozenset({"kind", "seconds", "path"})
#: Of any other event, what says how it was done and not on which of many images.
_STEP: Final = ("kind", "step", "method", "settings", "settings_hash", "tool", "seed", "unit")

#: The packages a page names; the manifest holds every installed one.
STACK: Final = (
    "integrate", "anndata", "dask", "duckdb", "imagecodecs", "intake", "ipykernel", "lifelines", "matplotlib", "mudata",
    "nbclient", "nbconvert", "numba", "numpy", "opencv-python-headless", "pandas", "pyarrow", "pydicom", "scanpy",
    "scikit-image", "scikit-learn", "scipy", "shapely", "SimpleITK", "spatialdata", "statsmodels", "tifffile",
    "xarray", "zarr",
)  # fmt: skip


def describe_run(
    notebook: Mapping[str, str],
    *,
    parameters: Mapping[str, Any],
    changed: Iterable[str],
    versions: Mapping[str, str],
    events: Sequence[Mapping[str, Any]],
    inputs: Sequence[Input] = (),
) -> dict[str, Any]:
    """Return the part of the manifest that is the same for every run on the same inputs.

    Parameters
    ----------
    notebook
        ``name`` and ``sha256`` of the notebook as its author wrote it.
    parameters, changed
        All parameters of the run, and the names of those that are not the notebook's own.
    versions
        From `package_versions`, before the run.
    events
        What the library recorded inside the kernel, see `read_record`.
    inputs
        What the run read, from `integrate.report.inputs.run_inputs`.

    Returns
    -------
    Mapping with ``notebook``, ``parameters``, ``loads`` (through a catalog), ``files`` (opened past it), ``hosts``,
    ``steps``, ``seeds``, ``versions`` and, over all of these, ``report_id``.
    """
    facts: dict[str, Any] = {
        "format": FORMAT,
        "notebook": dict(notebook),
        "parameters": dict(parameters),
        "parameters_changed": sorted(changed),
        "loads": _loads(events, {one.path: one.sha256 for one in inputs}),
        "files": _files(inputs),
        "hosts": sorted({str(event["host"]) for event in events if event.get("kind") == "host"}),
        "steps": _steps(events),
        "seeds": _seeds(parameters, events),
        "versions": dict(versions),
    }
    return {**facts, "report_id": hash_settings(facts)}


def describe_machine(notebook: Path) -> dict[str, Any]:
    """Return what this one run had: the processor, its memory, and the commit the notebook lies in."""
    import os

    import psutil  # type: ignore[import-untyped]

    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
    }
    return {**machine, **_commit(notebook)}


def _commit(notebook: Path) -> dict[str, Any]:
    """Return the commit of the notebook's repository and whether the notebook differs from it; nothing without git."""
    import subprocess

    def git(*words: str) -> str:
        command = ["git", "-C", str(notebook.parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "edited": bool(git("status", "--porcelain", "--", notebook.name))}
    except (OSError, subprocess.SubprocessError):
        return {}


def package_versions() -> dict[str, str]:
    """Return the version of Python, the platform, every installed package, and a hash of this package's own source."""
    from importlib.metadata import distributions

    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    installed: dict[str, str] = {}
    for one in distributions():
        told = one.metadata  # read from its file each time it is asked for
        if told["Name"]:
            installed.setdefault(str(told["Name"]), told["Version"])  # the first on the path is the one imported
    root = Path(__file__).resolve().parents[1]
    sources = {str(path.relative_to(root).as_posix()): hash_file(path) for path in sorted(root.rglob("*.py"))}
    ordered = {name: installed[name] for name in sorted(installed, key=str.lower)}
    return {**found, **ordered, "integrate source": hash_settings(sources)}


def read_record(path: Path) -> list[dict[str, Any]]:
    """Return the events a run recorded, oldest first; none when the notebook used nothing that records.

    A last line that was cut off, as a killed kernel leaves it, is not an event.
    """
    if not path.exists():
        return []
    events = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return [event for event in events if isinstance(event, dict)]


def _loads(events: Sequence[Mapping[str, Any]], hashes: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return each different load once, with how often; sorted, because threads load in any order."""
    counted: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("kind") != "load":
            continue
        fact = {key: value for key, value in event.items() if key not in _OWN}
        fact["sha256"] = fact.get("sha256") or hashes.get(str(event.get("path"))) or None
        _count(counted, fact)
    return [counted[key] for key in sorted(counted, key=lambda key: (str(counted[key].get("entry")), key))]


def _files(inputs: Sequence[Input]) -> list[dict[str, Any]]:
    """Return what was opened past the catalogs; by name, because the folder it lies in is this machine's own."""
    files = [
        {"name": Path(one.path).name, "sha256": one.sha256, "bytes": one.bytes} for one in inputs if not one.loaded
    ]
    return sorted(files, key=lambda file: (str(file["name"]), str(file["sha256"])))


def _steps(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each different way something was done, with how often."""
    counted: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("kind") not in ("load", "file", "host"):
            _count(counted, {key: event[key] for key in _STEP if key in event})
    return [counted[key] for key in sorted(counted)]


def _count(counted: dict[str, dict[str, Any]], fact: dict[str, Any]) -> None:
    entry = counted.setdefault(json.dumps(fact, sort_keys=True), {**fact, "times": 0})
    entry["times"] += 1


def _seeds(parameters: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return every seed by where it was given: a parameter's name, or the kind of a recorded event."""
    named = {name: value for name, value in parameters.items() if is_seed(name)}
    used = {str(event.get("kind")): event["seed"] for event in events if event.get("seed") is not None}
    return {**used, **named}


def is_seed(name: str) -> bool:
    """Say whether a parameter of this name is a seed."""
    return "seed" in name.lower()
