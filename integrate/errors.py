"""What goes wrong, said so that a person can act on it: what was found, what was expected, what to do now."""

from __future__ import annotations

import difflib
import inspect
import os
import warnings
from collections.abc import Iterable

__all__ = [
    "AlignmentError",
    "CatalogError",
    "DataError",
    "DatasetNotFoundError",
    "IdentityError",
    "IntegrateError",
    "IntegrateWarning",
    "MissingDependencyError",
    "ParameterError",
    "RegistrationError",
    "ReportError",
    "SourceNotFoundError",
    "UnitError",
    "UnsafeCatalogError",
    "closest",
    "some",
    "warn",
]


class IntegrateError(ValueError):
    """Base of every error this package raises on purpose."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0]) if self.args else ""


class CatalogError(IntegrateError):
    """A catalog file is not a valid catalog."""


class UnsafeCatalogError(CatalogError, PermissionError):
    """A catalog asks for something a stranger's file may not do."""


class DatasetNotFoundError(IntegrateError, KeyError):
    """No dataset, item or column of that name."""


class ParameterError(IntegrateError, KeyError):
    """A parameter is unknown, missing or outside its allowed values."""


class DataError(IntegrateError):
    """A file exists but does not hold what its catalog entry or format promises."""


class SourceNotFoundError(DataError, FileNotFoundError):
    """A file or folder named by a catalog entry is not there."""


class IdentityError(IntegrateError):
    """Identifiers do not say, without doubt, who is who."""


class AlignmentError(IntegrateError):
    """Rows, grids or spaces do not fit together as asked."""


class RegistrationError(AlignmentError):
    """Two pictures could not be laid on each other with enough certainty; `quality` holds what was measured."""

    quality: object | None = None


class UnitError(IntegrateError):
    """The unit of analysis, or a physical unit, is missing or does not fit."""


class ReportError(IntegrateError, RuntimeError):
    """A report could not be produced or verified."""


class MissingDependencyError(IntegrateError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""


class IntegrateWarning(UserWarning):
    """Something was guessed, dropped or converted, and counted in the message."""


def closest(name: object, options: Iterable[object], *, limit: int = 3) -> str:
    """Return ``"closest: 'a', 'b'"`` for a mistyped name, or the first options when none is close.

    Examples
    --------
    >>> closest("tonsl", ["tonsil_he", "tonsil", "lung"])
    "closest: 'tonsil', 'tonsil_he'"
    """
    known = [str(option) for option in options]
    near = difflib.get_close_matches(str(name), known, n=limit, cutoff=0.6)
    if near:
        return "closest: " + ", ".join(repr(option) for option in near)
    return f"known: {some(known)}" if known else "none are known"


def some(values: Iterable[object], *, limit: int = 5) -> str:
    """Return the first few values for a message, and how many more there are.

    Examples
    --------
    >>> some(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    listed = [repr(str(value)) for value in values]
    head = ", ".join(listed[:limit])
    rest = len(listed) - limit
    return f"{head} and {rest} more" if rest > 0 else head


def warn(message: str) -> None:
    """Warn with an `IntegrateWarning` that points at the first line outside this package."""
    here = os.path.dirname(os.path.abspath(__file__))
    frame = inspect.currentframe()
    level = 1
    while frame is not None and os.path.abspath(frame.f_code.co_filename).startswith(here):
        frame = frame.f_back
        level += 1
    warnings.warn(message, IntegrateWarning, stacklevel=level)
