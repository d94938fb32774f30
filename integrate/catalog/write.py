"""A catalog written down: everything kept, no secret, no absolute path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from integrate.catalog.document import OPENER_NAMES, SECTIONS, complete_document, parse_document
from integrate.catalog.safety import check_safe
from integrate.errors import UnsafeCatalogError, some

__all__ = ["catalog_text", "format_catalog", "write_text_whole"]

#: Words in the name of an option whose value is a secret.
SECRET: tuple[str, ...] = ("key", "secret", "token", "password", "credential", "passwd", "sas", "connection_string")


def catalog_text(document: Mapping[str, Any], *, where: str) -> str:
    """Return a catalog dictionary as YAML in Intake 2's full form, which any Intake reads.

    Raises
    ------
    UnsafeCatalogError
        If it holds credentials or absolute paths; they are named by place, never by value.
    CatalogError
        If it is no valid catalog.
    """
    whole = complete_document(dict(document), where=where)
    secrets = [
        place
        for name, entry in whole["entries"].items()
        for place in _private(entry["kwargs"], f"entries.{name}.kwargs")
    ]
    if secrets:
        raise UnsafeCatalogError(
            f"{where} is not written: {some(secrets, limit=20)} hold a credential or an absolute path. Credentials "
            "come from the environment or fsspec's configuration, paths begin with {CATALOG_DIR} or a data root"
        )
    ordered = {name: whole[name] for name in SECTIONS}
    ordered["user_parameters"] = {k: v for k, v in whole["user_parameters"].items() if k not in OPENER_NAMES}
    text: str = yaml.dump(ordered, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def format_catalog(path: Path) -> str:
    """Return a catalog file in Intake 2's full form, checked, with every validation kept; comments are not.

    Raises
    ------
    CatalogError, UnsafeCatalogError
        If it is no valid or no safe catalog, or holds a credential or an absolute path.
    """
    text = path.read_text(encoding="utf-8")
    document = parse_document(text, where=path.name)
    check_safe(document, where=path.name)
    return catalog_text(document, where=path.name)


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file all at once: a reader sees the old one or the new one."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def _private(value: Any, place: str) -> list[str]:
    """Return the places that hold a credential or an absolute path."""
    if isinstance(value, Mapping):
        found = []
        for name, item in value.items():
            inside = place.endswith("storage_options") or ".storage_options." in place
            if inside and any(word in str(name).lower() for word in SECRET):
                found.append(f"{place}.{name}")
            else:
                found += _private(item, f"{place}.{name}")
        return found
    if isinstance(value, list):
        return [one for index, item in enumerate(value) for one in _private(item, f"{place}[{index}]")]
    if isinstance(value, str) and place.endswith(("url", "mirrors]")):
        has_user = "://" in value and "@" in value.partition("://")[2].partition("/")[0]
        if (
            value.startswith(("/", "~", "file:///"))
            or value[1:3] in (":\\", ":/")
            or has_user
            or "X-Amz-Signature" in value
        ):
            return [place]
    return []


class _Dumper(yaml.SafeDumper):
    """Writes no anchors: everything is said where it is meant."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
