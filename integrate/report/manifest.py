"""The manifest of a report: what went in, with which versions, and apart from that, what this one run was like."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from integrate.model.provenance import hash_file, hash_settings

__all__ = ["describe_run", "package_versions", "read_record"]

FORMAT: Final = "integrate-report/1"

#: The packages whose version can change a number or a picture of a report.
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

    Returns
    -------
    Mapping with ``notebook``, ``parameters``, ``loads``, ``seeds``, ``versions`` and, over all of these, ``report_id``.
    """
    facts: dict[str, Any] = {
        "format": FORMAT,
        "notebook": dict(notebook),
        "parameters": dict(parameters),
        "parameters_changed": sorted(changed),
        "loads": _loads(events),
        "seeds": _seeds(parameters, events),
        "versions": dict(versions),
    }
    return {**facts, "report_id": hash_settings(facts)}


def package_versions() -> dict[str, str]:
    """Return the version of Python, the platform, the main packages, and a hash of this package's own source."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for name in STACK:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # an optional part that is not installed cannot have changed a number
            continue
    root = Path(__file__).resolve().parents[1]
    sources = {str(path.relative_to(root).as_posix()): hash_file(path) for path in sorted(root.rglob("*.py"))}
    return {**found, "integrate source": hash_settings(sources)}


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


def _loads(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each different load once, with how often; sorted, because threads load in any order."""
    counted: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("kind") != "load":
            continue
        fact = {key: value for key, value in event.items() if key not in {"kind", "seconds"}}
        entry = counted.setdefault(json.dumps(fact, sort_keys=True), {**fact, "times": 0})
        entry["times"] += 1
    return [counted[key] for key in sorted(counted, key=lambda key: (str(counted[key].get("entry")), key))]


def _seeds(parameters: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return every seed by where it was given: a parameter's name, or the kind of a recorded event."""
    named = {name: value for name, value in parameters.items() if "seed" in name.lower()}
    used = {str(event.get("kind")): event["seed"] for event in events if event.get("seed") is not None}
    return {**used, **named}
