"""Parameters of a catalog that plain Intake understands too: a data root, and a value with a pattern."""

from __future__ import annotations

import os
from typing import Any

from intake.readers.user_parameters import BaseUserParameter

from integrate.model.pattern import match_whole

__all__ = ["DataRoot", "Pattern"]


class DataRoot(BaseUserParameter):  # type: ignore[misc]
    """A folder that holds the data, when the data does not lie beside the catalog.

    The value is, in this order: what the user gives, the environment variable ``env`` (which must begin with
    ``INTEGRATE_``), the default. ``~`` is the home folder.
    """

    def __init__(self, default: str | None = None, env: str | None = None, description: str = "") -> None:
        self.env = env
        super().__init__(default=default, description=description)

    @property
    def default(self) -> str | None:
        """The folder used without user input; plain Intake formats it into urls."""
        given = self.__dict__.get("_given")
        value = given or os.environ.get(self.__dict__.get("env") or "") or self.__dict__.get("default")
        return None if value is None else os.path.expanduser(str(value))

    @default.setter
    def default(self, value: str | None) -> None:
        self.__dict__["default"] = value

    def set_default(self, value: Any) -> None:
        """Take the user's folder; it wins over the environment variable."""
        self.__dict__["_given"] = str(value)


class Pattern(BaseUserParameter):  # type: ignore[misc]
    """Text that must match a regular expression completely, e.g. ``P[0-9]+``."""

    def __init__(self, pattern: str, default: str | None = None, description: str = "") -> None:
        self.pattern = pattern
        super().__init__(default=default, description=description)

    def _validate(self, value: Any) -> bool:
        return isinstance(value, str) and match_whole(self.pattern, value) is not None
