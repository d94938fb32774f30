"""The options of a reader, checked against what it says it takes."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_type_hints

from integrate.errors import ParameterError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["option_names", "typed_options"]

#: What a reader's signature may name beside what its module does; some modules import these only for type checkers.
TYPES: dict[str, Any] = {"Any": Any, "Mapping": Mapping, "Sequence": Sequence}


def option_names(opener: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the options in the signature of a reader's ``_open``."""
    return tuple(name for name in inspect.signature(opener).parameters if name not in ("self", "path"))


def typed_options(opener: Callable[..., Any], given: Mapping[str, Any], *, reader: str) -> dict[str, Any]:
    """Return the options in the type that ``_open`` takes; the cells of an asset table are text, also their numbers.

    Parameters
    ----------
    opener
        The reader's ``_open``.
    given
        Options by name, all known.
    reader
        The reader's name, for messages.

    Raises
    ------
    ParameterError
        If a value is of another type than its option.
    """
    return {name: _typed(opener, name, value, reader) for name, value in given.items()}


def _typed(opener: Callable[..., Any], name: str, value: Any, reader: str) -> Any:
    from pydantic import ValidationError

    annotation, adapter = _expected(opener)[name]
    plain = os.fspath(value) if isinstance(value, os.PathLike) else value
    plain = plain.tolist() if hasattr(plain, "tolist") else plain
    if annotation == "bool" and not isinstance(plain, bool):  # the text "false" is true
        raise ParameterError(f"{reader}: {name}={value!r} is {type(value).__name__}; write true or false")
    try:
        checked = adapter.validate_python(plain)
    except ValidationError as error:
        told = error.errors(include_url=False)[0]["msg"]
        raise ParameterError(f"{reader}: {name}={value!r} is no {annotation}: {told}") from error
    return checked if isinstance(value, str) else value


@cache
def _expected(opener: Callable[..., Any]) -> dict[str, tuple[str, TypeAdapter[Any]]]:
    """Return the type of each option, as it is written and as what checks it."""
    from pydantic import TypeAdapter

    parameters = inspect.signature(opener).parameters
    written = {name: str(parameters[name].annotation) for name in option_names(opener)}
    known = {**TYPES, **vars(sys.modules[opener.__module__])}
    hints = get_type_hints(SimpleNamespace(__annotations__=written), known)  # not all: what it returns may be unknown
    return {name: (written[name], TypeAdapter(hint)) for name, hint in hints.items()}
