"""FHIR: resources of a bundle or of newline-delimited files as one flat table per type."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, closest, some
from integrate.keys import ATTRS, SUBJECT_ID
from integrate.readers.base import Reader

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Fhir"]

#: Elements that never become columns: text for people, administration, and extensions that nobody declared here.
LEFT_OUT: tuple[str, ...] = ("text", "meta", "contained", "extension", "modifierExtension", "implicitRules", "photo")
#: Who a resource is about, by the name its type gives it.
ABOUT: tuple[str, ...] = ("subject", "patient", "individual", "beneficiary")


class Fhir(Reader):
    r"""Read one type of resource from a FHIR bundle (JSON) or a bulk export (``.ndjson``).

    Parameters
    ----------
    resource
        Type of the resource (``"Observation"``). Without it, the types are listed with how many there are.

    Returns
    -------
    DataFrame, a row per resource, all values as the file states them. ``id`` and ``subject_id`` (the id of the patient
    it is about; of a Patient its own) are text. A coding gives ``<name>`` (its display or text), ``<name>_code`` and
    ``<name>_system``; a quantity ``<name>`` and ``<name>_unit`` (the UCUM code where there is one); a reference the id
    it points to; nested elements are named by their path (``name_family``); of a list without codings the first value,
    and the number of the others is in ``attrs["integrate"]["further_values"]``. Dates stay text. A measured value is
    the column ``value`` whatever its kind. Components of an observation (blood pressure) are rows of their own,
    ``component`` numbered from 1.

    Raises
    ------
    DataError
        If the file is no FHIR, is damaged, ids of one type repeat, or the server's answer is only one page of several.
    ParameterError
        If there is no resource of that type.

    Examples
    --------
    >>> _ = (tmp_path / "a.ndjson").write_text('{"resourceType": "Patient", "id": "p1", "gender": "female"}\n')
    >>> Fhir(url=tmp_path / "a.ndjson", resource="Patient").read()[["id", "subject_id", "gender"]].values.tolist()
    [['p1', 'p1', 'female']]
    """

    output_instance = "pandas:DataFrame"

    def _open(self, path: Path, *, resource: str | None = None) -> pd.DataFrame:
        import pandas as pd

        held, places = _resources(path)
        kinds = Counter(str(one["resourceType"]) for one in held)
        if resource is None:
            table = pd.DataFrame(sorted(kinds.items()), columns=["resource", "count"])
            table.attrs[ATTRS] = {"resources": len(held)}
            return table
        if resource not in kinds:
            raise ParameterError(f"{path.name} has no resource {resource!r}; {closest(resource, kinds)}")
        wanted = [one for one in held if one["resourceType"] == resource]
        repeated = [one for one, count in Counter(str(o["id"]) for o in wanted if "id" in o).items() if count > 1]
        if repeated:
            raise DataError(f"{len(repeated)} ids of {resource} repeat in {path.name}: {some(repeated)}")
        further: Counter[str] = Counter()
        rows = [row for one in wanted for row in _rows(one, places, further)]
        table = pd.DataFrame(rows)
        leading = [name for name in ("id", SUBJECT_ID, "component") if name in table]
        table = table[[*leading, *(name for name in table if name not in leading)]]
        table.attrs[ATTRS] = {
            "resource": resource,
            "keys": {SUBJECT_ID: "fhir"} if SUBJECT_ID in table else {},
            "further_values": dict(further),
        }
        return table


def _resources(path: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the resources of a file, and what ``urn:uuid:`` addresses within it mean."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() in (".ndjson", ".jsonl"):
            content: Any = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            content = json.loads(text)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path.name} is not readable JSON ({error}); it may be truncated or another format") from error
    places: dict[str, str] = {}
    if isinstance(content, Mapping) and content.get("resourceType") == "Bundle":
        if any(isinstance(link, Mapping) and link.get("relation") == "next" for link in content.get("link") or ()):
            raise DataError(f"{path.name} is one page of several; save all pages, or export as ndjson")
        entries = [one for one in content.get("entry") or () if isinstance(one, Mapping)]
        for one in entries:
            if "fullUrl" in one and "id" in (one.get("resource") or {}):
                places[str(one["fullUrl"])] = str(one["resource"]["id"])
        content = [one["resource"] for one in entries if "resource" in one]
    elif isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list) or not content or not all(_is_resource(one) for one in content):
        raise DataError(f"{path.name} is JSON but no FHIR; expected a Bundle or resources with a resourceType")
    return content, places


def _is_resource(one: Any) -> bool:
    return isinstance(one, Mapping) and "resourceType" in one


def _rows(one: Mapping[str, Any], places: Mapping[str, str], further: Counter[str]) -> Iterator[dict[str, Any]]:
    """Yield the row of a resource, or one per component where an observation has them."""
    own = {name: value for name, value in one.items() if name not in (*LEFT_OUT, "resourceType", "component")}
    row = _flat(own, places, further)
    who = next((row.pop(name) for name in ABOUT if name in row), None)
    if one["resourceType"] == "Patient":
        who = row.get("id")
    if who is not None:
        row[SUBJECT_ID] = who
    parts = one.get("component")
    if not isinstance(parts, list) or not parts:
        yield row
        return
    if "value" in row:
        yield row
    for number, part in enumerate(parts, start=1):
        shared = {name: value for name, value in row.items() if not name.startswith(("code", "value"))}
        yield {**shared, **_flat(part, places, further), "component": number}


def _flat(element: Mapping[str, Any], places: Mapping[str, str], further: Counter[str]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in element.items():
        if name in LEFT_OUT or name.startswith("_"):
            continue
        row |= _columns(_short(name), value, places, further)
    return row


def _short(name: str) -> str:
    """Return ``value`` for valueQuantity, valueString … so that one measured thing is one column."""
    for choice in ("value", "effective", "onset", "deceased", "multipleBirth", "medication", "performed", "occurrence"):
        if name.startswith(choice) and name != choice and name[len(choice)].isupper():
            return choice
    return name


def _columns(name: str, value: Any, places: Mapping[str, str], further: Counter[str]) -> dict[str, Any]:
    """Return the columns that one element fills."""
    if isinstance(value, list):
        if len(value) > 1:
            further[name] += len(value) - 1
        return _columns(name, value[0], places, further) if value else {}
    if not isinstance(value, Mapping):
        return {name: value}
    if "coding" in value or ("system" in value and "code" in value and "value" not in value):
        return _coding(name, value, further)
    if "reference" in value:
        address = str(value["reference"])
        return {name: places.get(address, address.rpartition("/")[2])}
    if "value" in value and ("unit" in value or "code" in value or "comparator" in value):
        told = {name: value["value"], f"{name}_unit": value.get("code") or value.get("unit")}
        return told | ({f"{name}_comparator": value["comparator"]} if "comparator" in value else {})
    nested = _flat(value, places, further)
    return {f"{name}_{part}": held for part, held in nested.items()}


def _coding(name: str, value: Mapping[str, Any], further: Counter[str]) -> dict[str, Any]:
    codings = value.get("coding") or ([value] if "code" in value else [])
    first = codings[0] if codings else {}
    if len(codings) > 1:
        further[name] += len(codings) - 1
    told = {name: first.get("display") or value.get("text"), f"{name}_code": first.get("code")}
    return {**told, f"{name}_system": first.get("system")}
