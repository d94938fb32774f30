"""The trace of an object: the files it was made of and the steps between, carried along in its notes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from integrate.model.image import image_notes
from integrate.model.provenance import settle_loads

__all__ = ["TRACE", "Trace", "merged", "note_trace", "trace_of"]

#: Name of the note; its value is JSON text, which every file format keeps.
TRACE: Final = "trace"
_SOURCE: Final = ("catalog", "entry", "parameters", "reader", "location", "served", "sha256", "bytes")
_STEP: Final = ("step", "tool", "settings", "settings_hash")


@dataclass(frozen=True, slots=True)
class Trace:
    """Where an object comes from.

    Parameters
    ----------
    sources
        Each loaded file or folder once: ``catalog, entry, parameters, reader, location, sha256, bytes``.
    steps
        Each different way something was done to them once, in order: ``step, tool, settings, settings_hash``.
    """

    sources: tuple[Mapping[str, Any], ...]
    steps: tuple[Mapping[str, Any], ...]


def trace_of(*objects: Any) -> Trace:
    """Return what the notes of objects say of their origin, all together.

    Parameters
    ----------
    objects
        Images, labels, tables or cohort parts, as the readers and verbs of this package return them; anything else
        adds nothing. The sources are read and hashed now where that was not done yet.
    """
    settle_loads()
    notes = [image_notes(one) for one in objects]
    told = [json.loads(note[TRACE]) for note in notes if TRACE in note]
    sources = [source for trace in told for source in trace["sources"]]
    sources += [_kept(note["origin"], _SOURCE) for note in notes if note.get("origin")]
    steps = [step for trace in told for step in trace["steps"]]
    steps += [step for note in notes for step in _own_steps(note)]
    return Trace(tuple(_distinct(sources)), tuple(_distinct(steps)))


def merged(traces: Iterable[Trace]) -> Trace:
    """Return several traces as one, each source and step once."""
    known = list(traces)
    sources = (source for trace in known for source in trace.sources)
    steps = (step for trace in known for step in trace.steps)
    return Trace(tuple(_distinct(sources)), tuple(_distinct(steps)))


def note_trace(trace: Trace) -> str:
    """Return a trace as the text to keep under `TRACE` in an object's notes."""
    return json.dumps({"sources": trace.sources, "steps": trace.steps}, default=str)


def _own_steps(notes: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the steps that made this very object: a measurement or segmentation, and what marked its cells."""
    if notes.get("settings_hash"):
        yield {"step": "measure", **_kept(notes, _STEP)}  # labels say which step they are
    if notes.get("positive"):
        yield {"step": "mark_positive", **_kept(notes["positive"], _STEP)}


def _kept(notes: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: notes[name] for name in names if notes.get(name) not in (None, "", {})}


def _distinct(entries: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    seen = set()
    for entry in entries:
        text = json.dumps(entry, sort_keys=True, default=str)
        if text not in seen:
            seen.add(text)
            yield entry
