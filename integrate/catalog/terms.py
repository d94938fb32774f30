"""Words from outside: licences, ontology terms, consent codes and identifiers, checked for their form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["ACCESS", "check_terms"]

ACCESS: tuple[str, ...] = ("open", "registered", "controlled")
_CURIE = re.compile(r"[A-Za-z_][\w.-]*:[^\s/<>{}][^\s<>{}]*")
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
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        return bool(canonicalize_license_expression(expression))
    except InvalidLicenseExpression:
        return False
