"""A parameter of a dataset: a value it asks for, checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integrate.errors import ParameterError, closest, some
from integrate.model.pattern import match_whole

__all__ = ["Parameter"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value a dataset asks for: one of its options, or text that matches its pattern.

    Parameters
    ----------
    name, description
        As the catalog says.
    options
        Allowed values in the catalog's order; empty when the parameter has a pattern instead.
    pattern
        Regular expression for the whole value, or ``None``.
    """

    name: str
    description: str = ""
    options: Sequence[str] = ()
    pattern: str | None = None

    @classmethod
    def from_spec(cls, name: str, spec: Mapping[str, Any]) -> Parameter:
        """Return the parameter a catalog declares."""
        options = tuple(str(option) for option in spec.get("options", ()))
        return cls(name, str(spec.get("description", "")), options, spec.get("pattern"))

    def check(self, value: object, *, where: str) -> str:
        """Return the value if it is allowed.

        Raises
        ------
        ParameterError
            If it is not text, not an option, or does not match; the closest options are given.
        """
        if not isinstance(value, str):
            raise ParameterError(
                f"{where}: {self.name}={value!r} is {type(value).__name__}; ids are text, write '{value}'"
            )
        if self.options and value not in self.options:
            raise ParameterError(f"{where}: no {self.name} {value!r}; {closest(value, self.options)}")
        if self.pattern and match_whole(self.pattern, value) is None:
            raise ParameterError(f"{where}: {self.name}={value!r} does not match {self.pattern!r}")
        return value

    def choices(self) -> str:
        """Return what may be given, for a message."""
        if self.options:
            return f"{len(self.options)} options: {some(self.options)}"
        return f"text that matches {self.pattern!r}"
