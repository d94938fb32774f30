"""The matrix of a block of features: complete, standardised, over the units that have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from integrate.analyse.variables import choose_variables, numbers_only
from integrate.errors import DataError

if TYPE_CHECKING:
    from integrate.join.cohort import Cohort

__all__ = ["Block", "complete_blocks"]


class Block(NamedTuple):
    """Features that vary, standardised to mean 0 and standard deviation 1; `filled` values were missing, and are 0."""

    name: str
    features: list[str]
    values: Any
    filled: int


def complete_blocks(
    cohort: Cohort, blocks: Sequence[str | Sequence[str]], *, scale: bool = True
) -> tuple[list[Block], Any]:
    """Return blocks over the units that have all of them, and these units' positions.

    Parameters
    ----------
    cohort
        What `link` returned.
    blocks
        Each a name or names, as for `associate`; numbers only.
    scale
        Whether features get a standard deviation of 1; mean 0 they get always.

    Raises
    ------
    DataError
        If fewer than three units have all blocks, or no feature of a block varies among them.
    """
    import numpy as np

    chosen = [numbers_only(choose_variables(cohort, block), "components are of numbers") for block in blocks]
    has = np.all([~np.isnan(one.values).all(axis=1) for one in chosen], axis=0)
    rows = np.flatnonzero(has)
    titles = [block if isinstance(block, str) else ", ".join(block) for block in blocks]
    if len(rows) < 3:
        raise DataError(f"{len(rows)} units have all of {', '.join(titles)}; three are needed")
    made = []
    for title, one in zip(titles, chosen, strict=True):
        values = one.values[rows]
        missing = np.isnan(values)
        many = ~missing.all(axis=0)
        centred = values[:, many] - np.nanmean(values[:, many], axis=0)
        spread = np.sqrt(np.nanmean(centred**2, axis=0))
        varies = spread > 0
        if not varies.any():
            raise DataError(f"no feature of {title!r} varies among the {len(rows)} units that have all blocks")
        kept = np.flatnonzero(many)[varies]
        standard = centred[:, varies] / (spread[varies] if scale else 1)
        names = [one.names[place] for place in kept]
        made.append(Block(title, names, np.nan_to_num(standard), int(missing[:, kept].sum())))
    return made, rows
