"""The catalog document: YAML text turned into a complete Intake 2 dictionary, or refused with a reason."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from integrate.catalog.registry import qualified_reader
from integrate.catalog.shape import shape_faults
from integrate.errors import CatalogError, UnsafeCatalogError, closest

__all__ = ["complete_document", "load_yaml", "parse_document"]

MAX_BYTES = 5_000_000
MAX_NODES = 500_000
MAX_DEPTH = 40
MAX_ALIASES = 1_000
SECTIONS: tuple[str, ...] = ("version", "metadata", "user_parameters", "data", "aliases", "entries")
ENTRY_FIELDS: tuple[str, ...] = ("reader", "kwargs", "metadata", "user_parameters", "output_instance")
#: CATALOG_DIR and friends are given by the opener; Intake writes them into files it saves.
OPENER_NAMES: tuple[str, ...] = ("CATALOG_DIR", "CATALOG_PATH", "STORAGE_OPTIONS")


def parse_document(text: str, *, where: str) -> dict[str, Any]:
    """Return the complete catalog dictionary written in a YAML text.

    The short form people write by hand is completed: sections and entry fields that are missing are empty, a reader may
    be named short, and aliases default to the entry names.

    Parameters
    ----------
    text
        The YAML.
    where
        File name for messages.

    Raises
    ------
    CatalogError
        If the text is not YAML, not an Intake 2 catalog, repeats a key, or has unknown sections or fields.
    UnsafeCatalogError
        If it is too large, too deep, or expands too many aliases.
    """
    document = load_yaml(text, where=where)
    if "sources" in document or document.get("version") == 1:
        raise CatalogError(
            f"{where} is an Intake 1 catalog (`sources:`), whose templates can run code; "
            f"`integrate catalog convert {where}` writes what can be said in Intake 2"
        )
    return complete_document(document, where=where)


def load_yaml(text: str, *, where: str) -> dict[str, Any]:
    """Return the mapping written in a YAML text of a stranger: no objects, no repeated keys, nothing too large.

    Raises
    ------
    CatalogError
        If the text is not YAML, repeats a key, or is no mapping.
    UnsafeCatalogError
        If it is too large, too deep, or expands too many aliases.
    """
    if len(text) > MAX_BYTES:
        raise UnsafeCatalogError(
            f"{where}: {len(text):,} characters of YAML; at most {MAX_BYTES:,}. Put rows in an asset table"
        )
    _check_shape(text, where)
    try:
        document = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise CatalogError(f"{where} is not a YAML file: {_first_line(error)}") from error
    if not isinstance(document, dict):
        found = "nothing" if document is None else type(document).__name__
        raise CatalogError(f"{where} is not a catalog: found {found}, expected `version: 2` and `entries:`")
    return document


def complete_document(document: dict[str, Any], *, where: str) -> dict[str, Any]:
    """Return a catalog dictionary with every section and entry field that Intake 2 requires.

    Raises
    ------
    CatalogError
        Listing every unknown or malformed section, field or reader at once.
    """
    if document.get("version") != 2 or not isinstance(document.get("entries"), dict):
        raise CatalogError(f"{where} is not an Intake 2 catalog: it needs `version: 2` and a mapping `entries:`")
    problems = [f"unknown section {name!r}; {closest(name, SECTIONS)}" for name in document if name not in SECTIONS]
    sections = {name: _mapping(document.get(name), name, problems) for name in SECTIONS if name != "version"}
    entries = {
        str(name): _complete_entry(entry, f"entries.{name}", problems) for name, entry in sections["entries"].items()
    }
    parameters = {k: v for k, v in sections["user_parameters"].items() if k not in OPENER_NAMES}
    problems = problems or list(shape_faults({**sections, "user_parameters": parameters, "entries": entries}))
    if problems:
        raise CatalogError(f"{where} has {len(problems)} faults:\n  " + "\n  ".join(problems))
    aliases = {name: name for name in entries} | sections["aliases"]
    return {"version": 2, **sections, "user_parameters": parameters, "aliases": aliases, "entries": entries}


def _complete_entry(entry: Any, place: str, problems: list[str]) -> dict[str, Any]:
    if not isinstance(entry, dict) or not isinstance(entry.get("reader"), str):
        problems.append(f"{place}: needs `reader:` with the name of a reader")
        return {}
    problems += [
        f"{place}: unknown field {field!r}; {closest(field, ENTRY_FIELDS)}"
        for field in entry
        if field not in ENTRY_FIELDS
    ]
    return {
        "reader": qualified_reader(entry["reader"]) or entry["reader"],
        "output_instance": entry.get("output_instance"),
        **{
            name: _mapping(entry.get(name), f"{place}.{name}", problems)
            for name in ("user_parameters", "kwargs", "metadata")
        },
    }


def _mapping(value: Any, place: str, problems: list[str]) -> dict[str, Any]:
    """Return a mapping with text keys; anything else is a problem."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        problems.append(f"{place}: expected a mapping with text keys, found {type(value).__name__}")
        return {}
    return dict(value)


#: Kinds of YAML that no catalog needs, and that nobody who checks mappings, lists and texts would look into.
FOREIGN: tuple[str, ...] = ("binary", "omap", "pairs", "set")


class _UniqueKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A safe loader of mappings, lists and plain values that refuses a mapping with the same key twice.

    YAML's own rule keeps the last silently.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 (the parent's signature)
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} appears twice", key_node.start_mark
                )
            seen.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


for _kind in FOREIGN:
    _UniqueKeyLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", yaml.SafeLoader.construct_undefined)


def _check_shape(text: str, where: str) -> None:
    """Refuse alias bombs and deep nesting while parsing events, before any object is built.

    An alias counts as everything it stands for: a few aliases of aliases stand for billions of nodes.
    """
    nodes = aliases = 0
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and how many nodes came before it
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            nodes += 1
            if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                open_nodes.append((event.anchor, nodes))
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                anchor, before = open_nodes.pop()
                if anchor:
                    sizes[anchor] = nodes - before
            elif isinstance(event, yaml.AliasEvent):
                aliases += 1
                if event.anchor in (anchor for anchor, _ in open_nodes):
                    raise UnsafeCatalogError(f"{where}: the alias *{event.anchor} refers to itself")
                nodes += sizes.get(str(event.anchor), 0)
            if len(open_nodes) > MAX_DEPTH or nodes > MAX_NODES or aliases > MAX_ALIASES:
                raise UnsafeCatalogError(
                    f"{where}: more than {MAX_DEPTH} levels, {MAX_NODES:,} nodes or {MAX_ALIASES:,} aliases; "
                    "put rows in an asset table"
                )
    except yaml.YAMLError as error:
        raise CatalogError(f"{where} is not a YAML file: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{problem} (line {mark.line + 1})" if mark else str(problem)
