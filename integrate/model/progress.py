"""The bar that shows how far a long loop is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

__all__ = ["follow"]

Step = TypeVar("Step")


def follow(
    steps: Iterable[Step],
    what: str,
    *,
    total: int | None = None,
    unit: str = "step",
    show: bool | None = None,
    note: str = "",
) -> Iterable[Step]:
    """Return steps as they are, with a bar that counts them.

    Parameters
    ----------
    steps
        What is gone through.
    what
        What is done, in a word.
    total
        How many steps there are, where they have no length.
    unit
        What a step is.
    show
        Whether there is a bar; by default one appears in notebooks and terminals after a second, and goes when all
        is done.
    note
        Stands after the bar, e.g. where a cluster can be watched.

    Examples
    --------
    >>> sum(follow([1, 2, 3], "adding"))
    6
    """
    from tqdm.auto import tqdm

    bar = tqdm(
        steps,
        total=total,
        desc=what,
        unit=unit,
        delay=1.0 if show is None else 0.0,
        leave=bool(show),
        disable=None if show is None else not show,
    )
    if note:
        bar.set_postfix_str(note, refresh=False)
    return bar
