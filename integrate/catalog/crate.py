"""The RO-Crate of a catalog: its datasets, files, licences and terms as linked data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from integrate.catalog.holdings import HeldFile, Holding, listed

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

__all__ = ["CRATE_NAME", "crate_text"]

CRATE_NAME = "ro-crate-metadata.json"
#: Words beyond RO-Crate 1.1's own context.
TERMS: dict[str, str] = {
    "sha256": "https://schema.org/sha256",
    "unitCode": "https://schema.org/unitCode",
    "variableMeasured": "https://schema.org/variableMeasured",
    "measurementTechnique": "https://schema.org/measurementTechnique",
    "conditionsOfAccess": "https://schema.org/conditionsOfAccess",
    "usageInfo": "https://schema.org/usageInfo",
}


def crate_text(metadata: Mapping[str, Any], holdings: list[Holding], *, name: str, date: str) -> str:
    """Return ``ro-crate-metadata.json`` (RO-Crate 1.1).

    Parameters
    ----------
    metadata
        The catalog's.
    holdings
        Its datasets and their files.
    name
        Name of the catalog.
    date
        Day of publication, ISO 8601.
    """
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms.update(TERMS)
    root = crate.root_dataset
    root["name"], root["datePublished"] = name, date
    root["description"] = str(metadata.get("description") or f"Datasets of the catalog {name}")
    root["license"] = _licence(crate, metadata.get("licence"))
    _describe(crate, root, {key: value for key, value in metadata.items() if key not in ("licence", "description")})
    if metadata.get("authors"):
        root["author"] = _one_or_all(
            [_thing(crate, f"#{quote(author)}", "Person", author) for author in listed(metadata["authors"])]
        )
    root["mentions"] = [_collection(crate, one, str(metadata.get("licence") or "")) for one in holdings]
    text = json.dumps(crate.metadata.generate(), indent=2, ensure_ascii=False, sort_keys=True)
    return text + "\n"


def _collection(crate: ROCrate, holding: Holding, licence: str) -> Any:
    """Return one dataset as a collection of files, described."""
    entry = holding.entry
    about: dict[str, Any] = {
        "@type": "Collection",
        "name": entry.name,
        "description": " ".join(one for one in (entry.description, holding.note) if one) or entry.name,
    }
    if entry.modality:
        about["measurementTechnique"] = entry.modality
    collection = crate.add_jsonld({"@id": f"#{quote(entry.name)}", **about})
    _describe(crate, collection, entry.own_metadata)
    if entry.metadata.get("licence") not in (None, licence):
        collection["license"] = _licence(crate, entry.metadata["licence"])
    variables = [_variable(crate, entry.name, column, spec) for column, spec in entry.columns.items()]
    if variables:
        collection["variableMeasured"] = _one_or_all(variables)
    files = [_file(crate, one) for one in holding.files]
    if files:
        collection["hasPart"] = _one_or_all(files)
    return collection


def _file(crate: ROCrate, held: HeldFile) -> Any:
    path = held.path if held.location is None else quote(held.path)
    known = crate.dereference(path)
    if known is not None:
        return known
    kind = held.media_type or "application/octet-stream"
    about: dict[str, Any] = {"name": held.path.rpartition("/")[2], "encodingFormat": kind}
    if held.bytes is not None:
        about["contentSize"] = str(held.bytes)
    if held.sha256 is not None:
        about["sha256"] = held.sha256
    if held.location is None:
        return crate.add_file(held.path, properties=about)
    return crate.add_file(dest_path=held.path, properties=about)


def _describe(crate: ROCrate, entity: Any, metadata: Mapping[str, Any]) -> None:
    """Add DOIs, ontology terms and access of a catalog or dataset to its entity."""
    dois = [f"https://doi.org/{doi.lower().removeprefix('https://doi.org/').removeprefix('doi:')}"
            for doi in listed(metadata.get("doi"))]  # fmt: skip
    cited = [_thing(crate, doi, "CreativeWork", doi.removeprefix("https://")) for doi in dois]
    cited += [
        _thing(crate, url, "CreativeWork", url.partition("://")[2])
        for url in listed(metadata.get("source"))
        if url.startswith("https://")
    ]
    if cited:
        entity["citation"] = _one_or_all(cited)
    terms = metadata.get("terms")
    if isinstance(terms, Mapping) and terms:
        entity["about"] = _one_or_all([_term(crate, str(curie), str(what)) for what, curie in terms.items()])
    access = [*listed(metadata.get("access")), *listed(metadata.get("consent"))]
    if access:
        entity["conditionsOfAccess"] = ", ".join(access)
    consents = [_term(crate, code, "consent") for code in listed(metadata.get("consent"))]
    if consents:
        entity["usageInfo"] = _one_or_all(consents)


def _variable(crate: ROCrate, dataset: str, column: str, spec: Mapping[str, Any]) -> Any:
    about: dict[str, Any] = {"@type": "PropertyValue", "name": column}
    told = {"description": spec.get("description"), "unitCode": spec.get("unit")}
    about |= {key: str(value) for key, value in told.items() if value}
    about |= {f"{key}Value": spec[key] for key in ("min", "max") if isinstance(spec.get(key), (int, float))}
    if spec.get("levels"):
        about["valueReference"] = [str(level) for level in spec["levels"]]
    return crate.add_jsonld({"@id": f"#{quote(dataset)}/{quote(column)}", **about})


def _licence(crate: ROCrate, licence: Any) -> Any:
    told = str(licence or "NOASSERTION")
    if told.isascii() and " " not in told and not told.startswith("LicenseRef-") and told != "NOASSERTION":
        return _thing(crate, f"https://spdx.org/licenses/{told}", "CreativeWork", told)
    return _thing(crate, f"#licence-{quote(told)}", "CreativeWork", told)


def _term(crate: ROCrate, curie: str, what: str) -> Any:
    known = crate.dereference(f"https://identifiers.org/{curie}")
    about = {"@type": "DefinedTerm", "termCode": curie, "name": curie, "description": what}
    return known or crate.add_jsonld({"@id": f"https://identifiers.org/{curie}", **about})


def _one_or_all(things: list[Any]) -> Any:
    """Return a single thing as itself; RO-Crate has no list of one."""
    return things[0] if len(things) == 1 else things


def _thing(crate: ROCrate, identifier: str, kind: str, name: str) -> Any:
    known = crate.dereference(identifier)
    return known or crate.add_jsonld({"@id": identifier, "@type": kind, "name": name, "description": f"{kind} {name}"})
