"""A cause: what went into one report and not, or differently, into another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from integrate.report.difference import cut_alike
from integrate.report.manifest import is_seed

__all__ = ["Cause", "changed_values", "find_causes"]

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that differs between what went into two reports.

    Parameters
    ----------
    kind
        ``"code"``, ``"parameter"``, ``"seed"``, ``"data"``, ``"settings"``, ``"version"`` or ``"host"``.
    name
        Which one: a cell, a parameter, a dataset, a package.
    told
        The change in words.
    """

    kind: str
    name: str
    told: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.told}"


def changed_values(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return ``"kind name: a → b"`` for each value that differs."""
    return [f"{kind} {told}" for _, told in _changed(before, after)]


def find_causes(
    before: Mapping[str, Any], after: Mapping[str, Any], *, cells: Sequence[tuple[str, str]] = ()
) -> list[Cause]:
    """Return what differs between what went into two reports, the most likely cause of another number first.

    Parameters
    ----------
    before, after
        The reproducible parts of two manifests.
    cells
        Place and change of each code cell whose text differs, from the two notebooks.
    """
    causes = [Cause("code", place, f"{place}: {told}") for place, told in cells]
    for name, told in _changed(before["parameters"], after["parameters"]):
        causes.append(Cause("seed" if is_seed(name) else "parameter", name, told))
    named = {cause.name for cause in causes}
    seeds = _changed(before["seeds"], after["seeds"])
    causes += [Cause("seed", name, told) for name, told in seeds if name not in named]
    causes += [Cause("data", name, told) for name, told in _changed(_data(before), _data(after))]
    causes += [Cause("settings", name, told) for name, told in _changed(_settings(before), _settings(after))]
    causes += [Cause("version", name, told) for name, told in _changed(before["versions"], after["versions"])]
    for host in sorted(set(before["hosts"]) ^ set(after["hosts"])):
        causes.append(Cause("host", host, f"{host}: read by one of the runs only"))
    return causes


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in dict.fromkeys([*before, *after]):
        one, other = before.get(name, _ABSENT), after.get(name, _ABSENT)
        if one is _ABSENT or other is _ABSENT or one != other:
            yield name, f"{name}: {' → '.join(cut_alike(_text(one), _text(other)))}"


def _text(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    return value if isinstance(value, str) else repr(value)


def _data(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return what identifies the bytes of each dataset and each other file, by a name a reader knows."""
    found: dict[str, list[str]] = {}
    for load in facts["loads"]:
        asked = ", ".join(f"{key}={value}" for key, value in sorted((load.get("parameters") or {}).items()))
        dataset = ": ".join(filter(None, (load.get("catalog"), load.get("entry"))))
        name = f"{dataset or load.get('reader', '')}{f' ({asked})' if asked else ''}, file {load.get('location', '')}"
        found.setdefault(name, []).append(_print(load))
    for file in facts["files"]:
        found.setdefault(f"file {file['name']}", []).append(_print(file))
    return {name: " + ".join(sorted(prints)) for name, prints in found.items()}


def _print(file: Mapping[str, Any]) -> str:
    digest = file.get("sha256")
    return f"sha256 {digest[:12]}…" if digest else f"{file.get('bytes')} bytes, changed at {file.get('changed')}"


def _settings(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of each kind of step; steps that only one of the reports has are told by their code."""
    found: dict[str, set[str]] = {}
    for step in facts["steps"]:
        if step.get("settings_hash"):
            name = str(step.get("step") or step["kind"])
            found.setdefault(name, set()).add(str(step.get("settings") or step["settings_hash"]))
    return {name: " + ".join(sorted(settings)) for name, settings in found.items()}
