"""The Data Package of a catalog: one resource per file, tables with the schema of their codebook."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.catalog.holdings import HeldFile, Holding, listed, slug

if TYPE_CHECKING:
    from integrate.catalog.entry import Entry

__all__ = ["PACKAGE_NAME", "package_text"]

PACKAGE_NAME = "datapackage.json"
PROFILE = "https://datapackage.org/profiles/2.0/datapackage.json"
SEPARATORS: dict[str, str] = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
#: A column's dtype in a codebook to the type of a field.
TYPES: tuple[tuple[str, str], ...] = (("int", "integer"), ("float", "number"), ("number", "number"))


def package_text(metadata: Mapping[str, Any], holdings: list[Holding], *, name: str) -> str:
    """Return ``datapackage.json`` (Frictionless Data Package 2).

    Parameters
    ----------
    metadata
        The catalog's.
    holdings
        Its datasets and their files.
    name
        Name of the catalog.
    """
    taken: dict[str, int] = {}
    resources: dict[str, dict[str, Any]] = {}
    for holding in holdings:
        for held in holding.files:
            if held.path not in resources:
                named = {"name": _unique(slug(held.path.rpartition("://")[2]), taken)}
                resources[held.path] = {**named, **_resource(holding.entry, held), "datasets": []}
            if holding.entry.name not in resources[held.path]["datasets"]:  # an asset table serves several
                resources[held.path]["datasets"].append(holding.entry.name)
    told = {"$schema": PROFILE, "name": slug(name), "title": name, **_described(metadata)}
    if metadata.get("authors"):
        told["contributors"] = [{"title": author, "roles": ["author"]} for author in listed(metadata["authors"])]
    package = {**told, "resources": list(resources.values())}
    return json.dumps(package, indent=2, ensure_ascii=False) + "\n"


def _described(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a package and a resource say alike; what has no word in the standard keeps ours."""
    told: dict[str, Any] = {}
    if metadata.get("description"):
        told["description"] = str(metadata["description"])
    if metadata.get("licence"):
        told["licenses"] = [_licence(str(metadata["licence"]))]
    sources = [f"https://doi.org/{doi.removeprefix('https://doi.org/').removeprefix('doi:')}"
               for doi in listed(metadata.get("doi"))]  # fmt: skip
    sources += [url for url in listed(metadata.get("source")) if url.startswith("https://")]
    if sources:
        told["sources"] = [{"title": url, "path": url} for url in sources]
    ours = ("access", "consent", "modality", "level", "terms", "channels", "units", "pixel_size_um")
    return {**told, **{key: metadata[key] for key in ours if metadata.get(key)}}


def _resource(entry: Entry, held: HeldFile) -> dict[str, Any]:
    told: dict[str, Any] = {"path": held.path}
    if held.item:
        told["item"] = held.item
    suffix = Path(held.path).suffix.lower()
    if suffix:
        told["format"] = suffix[1:]
    if held.media_type:
        told["mediatype"] = held.media_type
    if held.bytes is not None:
        told["bytes"] = held.bytes
    if held.sha256 is not None:
        told["hash"] = f"sha256:{held.sha256}"
    if entry.reader_name == "Table" and held.location is not None and suffix in SEPARATORS:
        told |= _tabular(entry, held.location, suffix)
    return {**told, **_described(entry.own_metadata)}


def _tabular(entry: Entry, path: Path, suffix: str) -> dict[str, Any]:
    """Return what says how a text table is read: its dialect and schema, a field for every column it has."""
    from integrate.keys import MISSING_TEXTS

    options = entry.options
    separator = str(options.get("separator") or SEPARATORS[suffix])
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header = next(csv.reader(stream, delimiter=separator), [])
    if header[:1] == [""]:
        header[0] = str(options.get("row_names") or "")
    if "" in header:
        return {}
    missing = [str(text) for text in options.get("missing") or MISSING_TEXTS]
    fields = [_field(column, entry.columns.get(column, {}), entry.keys.get(column)) for column in header]
    return {
        "type": "table",
        "encoding": "utf-8",
        "dialect": {"delimiter": separator},
        "schema": {"fields": fields, "missingValues": missing},
    }


def _field(column: str, spec: Mapping[str, Any], namespace: str | None) -> dict[str, Any]:
    dtype = str(spec.get("dtype") or ("float" if "min" in spec or "max" in spec else ""))
    kind = next((kind for start, kind in TYPES if dtype.lower().startswith(start)), "string")
    told: dict[str, Any] = {"name": column, "type": "boolean" if dtype == "bool" else kind}
    if dtype == "bool":
        told |= {"trueValues": ["1", "true", "True", "TRUE"], "falseValues": ["0", "false", "False", "FALSE"]}
    if spec.get("description"):
        told["description"] = str(spec["description"])
    if spec.get("term"):
        told["rdfType"] = f"https://identifiers.org/{spec['term']}"
    if spec.get("unit"):
        told["unit"] = str(spec["unit"])
    if namespace:
        told["namespace"] = namespace
    limits = {"minimum": spec.get("min"), "maximum": spec.get("max")} if kind != "string" else {}
    constraints = {name: value for name, value in limits.items() if value is not None}
    if spec.get("levels"):
        told["type"] = "string"
        constraints = {"enum": [str(level) for level in spec["levels"]]}
    return {**told, "constraints": constraints} if constraints else told


def _licence(licence: str) -> dict[str, str]:
    if " " in licence or licence.startswith(("LicenseRef-", "NOASSERTION")):
        return {"name": "other-closed" if licence.startswith("NOASSERTION") else slug(licence), "title": licence}
    return {"name": licence, "path": f"https://spdx.org/licenses/{licence}", "title": licence}


def _unique(name: str, taken: dict[str, int]) -> str:
    taken[name] = taken.get(name, 0) + 1
    return name if taken[name] == 1 else f"{name}-{taken[name]}"
