"""The flow picture: how many were assessed, excluded for which reason, and analysed, as a CONSORT diagram counts."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from integrate.model.html import Html, picture, text_mark

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["flow"]

#: Width of the boxes on the way and of those beside it, of the gap between, and height of a line of text.
BOX, BESIDE, GAP, LINE = 190, 330, 34, 15
MAX_STEPS: Final = 30


def flow(steps: pd.DataFrame, *, label: str, ends: Sequence[tuple[str, int]] = ()) -> Html:
    """Return the picture of a flow of subjects or other units.

    Parameters
    ----------
    steps
        What `AlignmentReport.consort` returns: ``step, n, excluded, ids``; the first row is where it begins, the last
        where it ends.
    label
        What is counted, in the plural.
    ends
        What those who are left have, with their numbers, e.g. ``("rna", 12)``; told below the last box.

    Returns
    -------
    Html, one SVG. At most 30 exclusions are drawn; further ones are one box with their sum.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [("assessed", 9, 0, ""), ("no consent", 8, 1, "P3"), ("analysed", 8, 0, "")]
    >>> steps = pd.DataFrame(rows, columns=["step", "n", "excluded", "ids"])
    >>> "9 assessed; 1 excluded: no consent; 8 analysed" in flow(steps, label="subjects")
    True
    """
    counted = steps[["step", "n", "excluded"]].itertuples(index=False)
    first, *between, last = [(str(step), int(n), int(out)) for step, n, out in counted]
    if len(between) > MAX_STEPS:
        more = between[MAX_STEPS:]
        rest = (f"{len(more)} further reasons", more[-1][1], sum(out for *_, out in more))
        between = [*between[:MAX_STEPS], rest]
    marks, lines, boxes, y = [], [], [], 2.0
    for place, (name, n, _) in enumerate((first, *(("remaining", n, out) for _, n, out in between[:-1]), last)):
        top = f"{name.capitalize()}: {n} {label}"
        boxes.append(f"M2 {y:g}h{BOX}v30h-{BOX}z")
        marks.append(text_mark(BOX / 2 + 2, y + 19, top, kind="m", limit=32))
        y += 30
        if place < len(between):
            told = _told(*between[place])
            height = 12 + LINE * len(told)
            middle = y + 8 + height / 2
            lines.append(f"M{BOX / 2 + 2:g} {y:g}V{y + height + 16:g}m-4 -6l4 6l4 -6")
            lines.append(f"M{BOX / 2 + 2:g} {middle:g}H{BOX + GAP}m-6 -4l6 4l-6 4")
            boxes.append(f"M{BOX + GAP} {y + 8:g}h{BESIDE}v{height}h-{BESIDE}z")
            marks += [text_mark(BOX + GAP + 9, y + 8 + LINE * (i + 1), one) for i, one in enumerate(told)]
            y += height + 16
    for name, n in ends:
        marks.append(text_mark(10, y + 17, f"{n} of {last[1]} with {name}", kind="mu", limit=70))
        y += LINE
    size = ((BOX + GAP + BESIDE if between else BOX) + 4, y + (8 if ends else 4))
    drawn = f'<path class="ln" d="{"".join(lines)}"/><path class="bx" d="{"".join(boxes)}"/>{"".join(marks)}'
    words = [f"{first[1]} {first[0]}", *(f"{out} excluded: {reason}" for reason, _, out in between)]
    return picture(size, drawn, words="; ".join([*words, f"{last[1]} {last[0]}"]))


def _told(reason: str, _: int, out: int) -> list[str]:
    """Return the lines of an exclusion's box."""
    return textwrap.wrap(f"Excluded: {out} ({reason})", width=50, max_lines=3, placeholder=" …")
