"""The bundled JavaScript of the widgets: plain modules, joined without a build step and fetched from nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import traitlets

__all__ = ["received_bytes", "script", "stylesheet"]


def script(names: Sequence[str]) -> str:
    """Return parts of the bundled JavaScript, each after those it uses, as one ES module."""
    folder = resources.files("integrate.show") / "js"
    return "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in names)


def stylesheet(name: str) -> str:
    """Return a bundled style sheet."""
    return (resources.files("integrate.show") / "js" / f"{name}.css").read_text(encoding="utf-8")


def received_bytes() -> traitlets.Any:
    """Return a trait for bytes the browser sends; `traitlets.Bytes` would refuse the memoryview they come as."""
    return traitlets.Any(b"").tag(sync=True, from_json=lambda value, _: b"" if value is None else bytes(value))
