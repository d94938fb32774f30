"""Words from outside: licences, ontology terms, consent codes and identifiers, checked for their form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from integrate.keys import LEVELS

__all__ = ["ACCESS", "UNSTATED", "check_codebook", "check_terms"]

#: SPDX's word for a licence that nobody has stated.
UNSTATED = "NOASSERTION"
ACCESS: tuple[str, ...] = ("open", "registered", "controlled")
_CURIE = re.compile(r"[A-Za-z_][\w.-]*:[^\s/<>{}][^\s<>{}]*")
#: UCUM writes a unit without spaces; what people count stands in braces.
_UNIT = re.compile(r"[^\s{}]*(\{[^{}]*\}[^\s{}]*)*")
_DUO = re.compile(r"DUO:\d{7}")
_DOI = re.compile(r"(https://doi\.org/|doi:)?10\.\d{4,9}/\S+", re.IGNORECASE)


def check_terms(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield field and fault of every word whose form is wrong; whether a term exists is not looked up.

    Parameters
    ----------
    metadata
        Of a catalog or an entry: ``licence`` (SPDX), ``access``, ``consent`` (DUO), ``doi``, ``terms`` and the
        ``term`` of channels (CURIE).

    Examples
    --------
    >>> list(check_terms({"licence": "CC-BY-4.0", "terms": {"tissue": "UBERON:0002048"}}))
    []
    >>> [field for field, _ in check_terms({"licence": "CC BY 4", "terms": {"tissue": "lung"}})]
    ['licence', 'terms.tissue']
    """
    licence = metadata.get("licence")
    if licence is not None and not _is_spdx(str(licence)):
        yield "licence", f"{licence!r} is not an SPDX expression such as CC-BY-4.0; for another write LicenseRef-name"
    access = metadata.get("access")
    if access is not None and access not in ACCESS:
        yield "access", f"{access!r} is not one of {', '.join(ACCESS)}"
    for code in _listed(metadata.get("consent")):
        if _DUO.fullmatch(code) is None:
            yield "consent", f"{code!r} is not a Data Use Ontology code such as DUO:0000042"
    for doi in _listed(metadata.get("doi")):
        if _DOI.fullmatch(doi) is None:
            yield "doi", f"{doi!r} is not a DOI such as 10.5281/zenodo.123"
    for place, term in _terms(metadata):
        if _CURIE.fullmatch(term) is None:
            yield place, f"{term!r} is not a CURIE such as UBERON:0002048"


def check_codebook(columns: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield field and fault of every word of a codebook whose form is wrong.

    Parameters
    ----------
    columns
        Column to what is declared of it: ``unit`` (UCUM), ``term`` (CURIE), ``level``, ``min``, ``max``, ``levels``.

    Examples
    --------
    >>> list(check_codebook({"age": {"unit": "a", "min": 0}}))
    []
    >>> [field for field, _ in check_codebook({"age": {"unit": "years old", "min": 9, "max": 1}})]
    ['columns.age.unit', 'columns.age.min']
    """
    for name, spec in columns.items():
        unit, term, level = spec.get("unit"), spec.get("term"), spec.get("level")
        if unit is not None and _UNIT.fullmatch(str(unit)) is None:
            yield f"columns.{name}.unit", f"{unit!r} is not a UCUM unit such as a, d, mm or {{counts}}"
        if term is not None and _CURIE.fullmatch(str(term)) is None:
            yield f"columns.{name}.term", f"{term!r} is not a CURIE such as NCIT:C28108"
        if level is not None and level not in LEVELS:
            yield f"columns.{name}.level", f"{level!r} is not one of {', '.join(LEVELS)}"
        least, most = spec.get("min"), spec.get("max")
        if isinstance(least, (int, float)) and isinstance(most, (int, float)) and least > most:
            yield f"columns.{name}.min", f"{least} is above the maximum {most}"
        levels = _listed(spec.get("levels"))
        if len(levels) != len(set(levels)):
            yield f"columns.{name}.levels", "a level is named twice"


def _terms(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    terms = metadata.get("terms") or {}
    if isinstance(terms, Mapping):
        yield from ((f"terms.{name}", str(term)) for name, term in terms.items())
    for channel in metadata.get("channels") or []:
        if isinstance(channel, Mapping) and channel.get("term"):
            yield f"channels.{channel.get('name')}", str(channel["term"])


def _listed(value: Any) -> list[str]:
    return [] if value is None else [str(one) for one in (value if isinstance(value, list) else [value])]


def _is_spdx(expression: str) -> bool:
    if expression == UNSTATED:
        return True
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        return bool(canonicalize_license_expression(expression))
    except InvalidLicenseExpression:
        return False
