"""The result table: the columns that every answer has, whatever was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrate.keys import ATTRS
from integrate.model.provenance import record

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "Z_95", "result_table", "title_of"]

#: What every row of a result says, in this order; `x` is what was asked about, `y` (where there is one) of what.
COLUMNS: tuple[str, ...] = (
    *("method", "effect", "effect_name", "ci_low", "ci_high", "p", "q"),
    *("n_obs", "n_subjects", "n_missing", "family"),
)
#: The quantile of the normal distribution that 95 % limits are made of.
Z_95 = 1.959963984540054


def result_table(step: str, table: pd.DataFrame, *, study: str, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return rows as a result, and record the step that made it.

    Parameters
    ----------
    step
        Name of the function the user called.
    table
        Has the columns of `COLUMNS`, and ``reason`` where an effect may be missing. Others are kept, behind these.
    study
        Name of the study.
    settings
        What the user chose; they become ``attrs["integrate"]``.

    Raises
    ------
    KeyError
        If a column is not there: no answer leaves one out.
    """
    first = [column for column in ("x", "y") if column in table]
    order = [*first, *COLUMNS]
    more = [column for column in table if column not in (*order, "reason")]
    result = table.assign(reason="") if "reason" not in table else table
    result = result[[*order, *more, "reason"]]
    record(step, study=study, tests=len(result), **settings)
    result.attrs[ATTRS] = {"step": step, **settings}
    return result


def title_of(asked: str | Sequence[str]) -> str:
    """Return what was asked about, for the name of a family."""
    return asked if isinstance(asked, str) else ", ".join(asked[:3]) + (" …" if len(asked) > 3 else "")
