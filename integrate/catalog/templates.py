"""Templates in a catalog: plain ``{name}`` and nothing else."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any

from integrate.errors import CatalogError, ParameterError, UnsafeCatalogError

__all__ = ["PLAIN_KEYS", "fill_row", "fill_template", "split_row_template", "template_names"]

#: Arguments that hold text, never templates: a codebook's UCUM units contain braces.
PLAIN_KEYS: frozenset[str] = frozenset({"columns"})

_CALL = re.compile(r"\b(func|import|pickle64|env|data)\s*\(")
_ROW = re.compile(r"<([A-Za-z_]\w*)>")


def template_names(text: str, *, where: str) -> list[str]:
    """Return the names a template uses.

    Raises
    ------
    UnsafeCatalogError
        If the template calls a function, walks attributes or items, converts or formats.
    """
    if _CALL.search(text) and "{" in text:
        raise UnsafeCatalogError(f"{where}: {text!r} calls a function; a template may only name declared parameters")
    try:
        fields = list(string.Formatter().parse(text))
    except ValueError as error:
        raise CatalogError(f"{where}: {text!r} has unbalanced braces: {error}") from error
    names = []
    for _, name, format_spec, conversion in fields:
        if name is None:
            continue
        if not name.isidentifier() or format_spec or conversion:
            raise UnsafeCatalogError(f"{where}: {{{name}}} is not a plain parameter name")
        names.append(name)
    return names


def fill_template(value: Any, values: Mapping[str, Any], *, where: str) -> Any:
    """Return `value` with every ``{name}`` in its strings filled, at any depth.

    Raises
    ------
    ParameterError
        If a name has no value.
    """
    if isinstance(value, Mapping):
        return {
            key: item if key in PLAIN_KEYS else fill_template(item, values, where=f"{where}.{key}")
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [fill_template(item, values, where=f"{where}[{i}]") for i, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    names = template_names(value, where=where)
    missing = [name for name in names if values.get(name) is None]
    if missing:
        raise ParameterError(f"{where}: no value for {missing[0]}; give {missing[0]}=... when you open the catalog")
    if len(names) == 1 and value == f"{{{names[0]}}}":
        return values[names[0]]
    return string.Formatter().vformat(value, (), values) if names else value


def fill_row(value: Any, row: Mapping[str, Any], *, where: str) -> Any:
    """Return `value` with every ``<column>`` filled from a row of an asset table, at any depth.

    A cell that is missing leaves the whole value ``None``: it is not turned into text.

    Raises
    ------
    CatalogError
        If the table has no such column.
    """
    if isinstance(value, Mapping):
        return {key: fill_row(item, row, where=f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [fill_row(item, row, where=f"{where}[{i}]") for i, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    columns = _ROW.findall(value)
    absent = [column for column in columns if column not in row]
    if absent:
        raise CatalogError(f"{where}: the asset table has no column {absent[0]!r}")
    if any(row[column] is None for column in columns):
        return None
    return _ROW.sub(lambda match: str(row[match.group(1)]), value)


def split_row_template(text: str) -> list[tuple[str, bool]]:
    """Return the pieces of a row template: text, and whether it names a column.

    Examples
    --------
    >>> split_row_template("ct/<subject>.dcm")
    [('ct/', False), ('subject', True), ('.dcm', False)]
    """
    return [(piece, index % 2 == 1) for index, piece in enumerate(_ROW.split(text))]
