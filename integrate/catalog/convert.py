"""The conversion of an Intake 1 catalog: what can be said safely in Intake 2 is, the rest is listed."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integrate.catalog.document import complete_document, load_yaml
from integrate.catalog.safety import STORAGE_FLAGS, check_safe
from integrate.catalog.write import catalog_text
from integrate.errors import CatalogError, IntegrateError, some

__all__ = ["Conversion", "convert_catalog"]

OPTIONS_CLASS = "intake.readers.user_parameters:OptionsUserParameter"
PATTERN_CLASS = "integrate.catalog.parameters:Pattern"
#: A ``{{ name }}`` and nothing else: no filter, call, attribute or statement is ever evaluated.
_NAME = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
#: What the end of a location says of the reader; the driver's name says too little.
ENDINGS: tuple[tuple[tuple[str, ...], str], ...] = (
    ((".ome.tif", ".ome.tiff"), "OmeTiff"),
    ((".tif", ".tiff"), "Tiff"),
    ((".csv", ".tsv", ".txt", ".parquet", ".pq"), "Table"),
    ((".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"), "Volume"),
    ((".dcm",), "DicomImage"),
    ((".h5ad",), "H5AD"),
    ((".geojson",), "GeoJSON"),
    ((".gct",), "Gct"),
    ((".imzml",), "ImzML"),
    ((".svs",), "Slide"),
    ((".yaml", ".yml"), "SubCatalog"),
)
#: Arguments of Intake 1 drivers that one of ours understands: the reader, and the name there.
SEPARATORS: tuple[str, ...] = ("sep", "delimiter")
NUMBER_PATTERNS: dict[str, str] = {"int": "-?[0-9]{1,18}", "float": r"-?[0-9]{1,18}(\.[0-9]{1,18})?"}
TEXT_PATTERN = "[A-Za-z0-9_.-]{1,100}"


@dataclass
class Conversion:
    """What became of an Intake 1 catalog.

    Parameters
    ----------
    text
        The Intake 2 catalog, as YAML.
    converted
        Names of the datasets in it.
    left
        Name of each dataset (or section) that could not be converted, to the reason.
    notes
        Name to what was decided or left out on the way; a person should look at each.
    """

    text: str = ""
    converted: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def __repr__(self) -> str:
        lines = [f"<Conversion: {len(self.converted)} datasets converted, {len(self.left)} left out>"]
        lines += [f"  left out: {name}: {reason}" for name, reason in self.left.items()]
        lines += [f"  look at: {name}: {note}" for name, notes in self.notes.items() for note in notes]
        return "\n".join(lines)


def convert_catalog(path: Path) -> Conversion:
    r"""Return the Intake 2 form of an Intake 1 catalog; no template, plugin or driver of it is ever run.

    Parameters
    ----------
    path
        A YAML file with ``sources:``.

    Returns
    -------
    A `Conversion`. Drivers become our readers by the ending of the location; ``{{ name }}`` becomes ``{name}`` when it
    is ``CATALOG_DIR`` or a parameter of the source. Whatever else a template does is left out, with the reason.

    Raises
    ------
    CatalogError
        If it is no Intake 1 catalog.
    UnsafeCatalogError
        If it is too large, too deep, or expands too many aliases.

    Examples
    --------
    >>> old = tmp_path / "old.yaml"
    >>> source = "{driver: csv, args: {urlpath: '{{ CATALOG_DIR }}/people.csv'}}"
    >>> _ = old.write_text("sources:\n  people: " + source)
    >>> convert_catalog(old).converted
    ['people']
    """
    document = load_yaml(path.read_text(encoding="utf-8"), where=path.name)
    sources = document.get("sources")
    if not isinstance(sources, Mapping):
        raise CatalogError(f"{path.name} has no `sources:`, so it is no Intake 1 catalog; nothing to convert")
    told = Conversion()
    for section in document:
        if section not in ("sources", "metadata", "version", "name", "description"):
            told.left[f"section {section}"] = "it can load code or credentials, and has no place in Intake 2"
    about = document.get("metadata")
    metadata = {str(key): value for key, value in about.items()} if isinstance(about, Mapping) else {}
    shared = _shared_parameters(metadata.pop("parameters", None), told)
    entries = {}
    for name, source in sources.items():
        try:
            entries[str(name)] = _converted(source, shared, told.notes.setdefault(str(name), []), where=path.name)
            told.converted.append(str(name))
        except IntegrateError as error:
            told.left[str(name)] = str(error)
            told.notes.pop(str(name), None)
    given = {key: document[key] for key in ("name", "description") if document.get(key)}
    metadata.pop("version", None)  # Intake 1's own
    whole = {"version": 2, "metadata": {"name": path.stem, **given, **metadata}, "user_parameters": shared}
    told.text = catalog_text({**whole, "entries": entries}, where=path.name)
    told.notes = {name: notes for name, notes in told.notes.items() if notes}
    return told


def _shared_parameters(given: Any, told: Conversion) -> dict[str, Any]:
    """Return the parameters that all sources share; Intake 1 keeps them in the metadata."""
    shared = {}
    for name, spec in given.items() if isinstance(given, Mapping) else ():
        try:
            shared[str(name)] = _parameter(str(name), spec, told.notes.setdefault(f"parameter {name}", []))
        except IntegrateError as error:
            told.left[f"parameter {name}"] = str(error)
    return shared


def _converted(source: Any, shared: Mapping[str, Any], notes: list[str], *, where: str) -> dict[str, Any]:
    """Return one source as an entry that has passed the safety rules."""
    if not isinstance(source, Mapping):
        raise CatalogError("it is no mapping")
    arguments = dict(_mapping(source.get("args"), "args"))
    parameters = {name: _parameter(name, spec, notes) for name, spec in _mapping(source.get("parameters"), "").items()}
    location = arguments.pop("urlpath", arguments.pop("path", None))
    url = _location(location, {*parameters, *shared}, notes)
    reader = next((reader for endings, reader in ENDINGS if url.lower().endswith(endings)), None)
    if reader is None:
        raise CatalogError(f"driver {source.get('driver')!r} with {url!r}: no reader of ours is known for this")
    notes.append(f"driver {source.get('driver')!r} became {reader}, by the ending of its location")
    entry = {
        "reader": reader,
        "user_parameters": parameters,
        "kwargs": {"url": url, **_options(arguments, reader, notes)},
        "metadata": {
            **({"description": source["description"]} if source.get("description") else {}),
            **_mapping(source.get("metadata"), "metadata"),
        },
    }
    others = [one for one in source if one not in ("driver", "args", "parameters", "metadata", "description")]
    if others:
        notes.append(f"{some(others)} of the source is left out")
    whole = {"version": 2, "user_parameters": dict(shared), "entries": {"it": entry}}
    check_safe(complete_document(whole, where=where), where=where)
    return entry


def _location(location: Any, names: set[str], notes: list[str]) -> str:
    """Return a location in Intake 2's form; a relative one lay beside the catalog by custom only, which is said."""
    if not isinstance(location, str):
        found = "several locations" if isinstance(location, list) else "no location"
        raise CatalogError(f"it has {found}; list the files in an asset table (`integrate catalog scan` writes one)")
    pieces = _NAME.split(location)
    rest = "".join(pieces[::2])
    if set(rest) & set("{}%") or "$" in rest:
        raise CatalogError(f"the template in {location!r} does more than name a parameter; write it by hand")
    if "*" in rest:
        raise CatalogError(f"{location!r} is a pattern of files; `integrate catalog scan` lists them in an asset table")
    unknown = [name for name in pieces[1::2] if name not in names | {"CATALOG_DIR"}]
    if unknown:
        raise CatalogError(f"the template in {location!r} names {unknown[0]!r}, which is no parameter of the source")
    url = "".join(f"{{{piece}}}" if index % 2 else piece for index, piece in enumerate(pieces))
    if "://" in url or url.startswith("{CATALOG_DIR}"):
        return url.replace("{CATALOG_DIR}//", "{CATALOG_DIR}/")
    if posixpath.isabs(url) or url.startswith("~") or url[1:2] == ":":
        raise CatalogError(f"{location!r} is a path of one machine; declare a data root and write {{data_root}}/…")
    notes.append(f"the location {location!r} is now taken from the catalog's folder")
    return f"{{CATALOG_DIR}}/{url.removeprefix('./')}"


def _parameter(name: str, spec: Any, notes: list[str]) -> dict[str, Any]:
    given = _mapping(spec, f"parameter {name}")
    kind, default = str(given.get("type", "str")), given.get("default")
    if isinstance(default, str) and (set(default) & set("{}$") or "(" in default):
        raise CatalogError(f"the default of parameter {name!r} asks the environment or a shell: {default!r}")
    told = {"description": str(given["description"])} if given.get("description") else {}
    allowed = given.get("allowed")
    if allowed is not None and not isinstance(allowed, list):
        raise CatalogError(f"the allowed values of parameter {name!r} are no list")
    if allowed:
        options = [str(one) for one in allowed]
        first = str(default) if default is not None and str(default) in options else options[0]
        return {"cls": OPTIONS_CLASS, "dtype": "str", "default": first, "options": options, **told}
    pattern = NUMBER_PATTERNS.get(kind, TEXT_PATTERN)
    notes.append(f"parameter {name!r} had no list of values; it now must match {pattern!r}")
    return {"cls": PATTERN_CLASS, "pattern": pattern, **({} if default is None else {"default": str(default)}), **told}


def _options(arguments: Mapping[str, Any], reader: str, notes: list[str]) -> dict[str, Any]:
    """Return the arguments that our reader has too; the others are said."""
    flags = _mapping(arguments.get("storage_options"), "storage_options")
    kept = {name: value for name, value in flags.items() if name in STORAGE_FLAGS and isinstance(value, bool)}
    dropped = [f"storage_options.{name}" for name in flags if name not in kept]
    options: dict[str, Any] = {"storage_options": kept} if kept else {}
    for name, value in arguments.items():
        if name == "csv_kwargs" and reader == "Table" and isinstance(value, Mapping):
            for key, one in value.items():
                if key in SEPARATORS and isinstance(one, str) and len(one) == 1:
                    options["separator"] = one
                else:
                    dropped.append(f"csv_kwargs.{key}")
        elif name != "storage_options":
            dropped.append(str(name))
    if dropped:
        notes.append(f"arguments left out: {some(dropped, limit=20)}")
    return options


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise CatalogError(f"{place or 'parameters'} is no mapping with text keys")
    return value
