"""The audit: every doubt about who is who and what is missing, said before any analysis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integrate.errors import IdentityError, some

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Audit", "Finding"]

#: How much a finding weighs: an ``error`` stops a link, a ``warning`` changes numbers, a ``note`` should be known.
SEVERITIES: tuple[str, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the audit found.

    Parameters
    ----------
    severity
        ``"error"``, ``"warning"`` or ``"note"``.
    check
        Short name of the check, e.g. ``"unknown subject"``.
    source
        Dataset in which it was found.
    message
        What was found, what was expected and what to do.
    ids
        The ids concerned, all of them.
    """

    severity: str
    check: str
    source: str
    message: str
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """What an audit of a study or a check of a catalog found, worst first; shown as a table in a notebook.

    Parameters
    ----------
    name
        Name of the study or catalog.
    findings
        Everything found.
    stops
        What an error stops, for messages.
    """

    name: str
    findings: tuple[Finding, ...]
    stops: str = "a link"

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that stop what follows."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.errors

    def to_frame(self) -> pd.DataFrame:
        """Return one row per finding: ``severity, check, source, n, message, ids``, worst first."""
        import pandas as pd

        rows = [
            (f.severity, f.check, f.source, len(f.ids), f.message, " ".join(f.ids))
            for severity in SEVERITIES
            for f in self.findings
            if f.severity == severity
        ]
        return pd.DataFrame(rows, columns=["severity", "check", "source", "n", "message", "ids"])

    def raise_errors(self) -> None:
        """Raise one `IdentityError` that lists every error, or return when there is none."""
        if self.errors:
            lines = "\n".join(f"  {f.check} in {f.source!r}: {f.message}" for f in self.errors)
            raise IdentityError(f"the audit of {self.name!r} found {len(self.errors)} errors:\n{lines}")

    def __repr__(self) -> str:
        counts = ", ".join(f"{sum(f.severity == s for f in self.findings)} {s}s" for s in SEVERITIES)
        lines = [
            f"  {f.severity:7} {f.check} ({f.source}): {f.message}"
            for s in SEVERITIES
            for f in self.findings
            if f.severity == s
        ]
        return "\n".join([f"Audit of {self.name!r}: {counts}", *lines])

    def _repr_html_(self) -> str:
        from integrate.model.html import badge, card, rows

        kinds = {"error": "bad", "warning": "warn", "note": "plain"}
        body = [
            (badge(f.severity, kinds[f.severity]), f.check, f.source, f.message)
            for severity in SEVERITIES
            for f in self.findings
            if f.severity == severity
        ]
        verdict = f"nothing stops {self.stops}" if self.ok else f"{len(self.errors)} errors stop {self.stops}"
        return card(f"Audit · {self.name}", rows(("", "check", "dataset", "finding"), body), subtitle=verdict)


def listed(ids: Iterable[str]) -> tuple[str, ...]:
    """Return ids as a sorted tuple of strings."""
    return tuple(sorted(str(value) for value in ids))


def named(ids: Iterable[str]) -> str:
    """Return the first few ids for a message."""
    return some(listed(ids))
