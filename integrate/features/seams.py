"""Seams: the cuts between blocks, across which neighbouring pixels of one region must still be counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.blocks import Window

__all__ = ["Edges", "Seams", "find_edges"]


class Edges(NamedTuple):
    """The labels along the four edges of a block."""

    top: np.ndarray[Any, Any]
    bottom: np.ndarray[Any, Any]
    left: np.ndarray[Any, Any]
    right: np.ndarray[Any, Any]


def find_edges(labels: np.ndarray[Any, Any]) -> Edges:
    """Return copies of the edges of a block's labels."""
    import numpy as np

    return Edges(*(edge.astype(np.int64) for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1])))


class Seams:
    """The lines of labels on both sides of every cut; far smaller than a halo around every block.

    Parameters
    ----------
    rows, columns
        Where the grid is cut, ends included.
    """

    def __init__(self, rows: Sequence[int], columns: Sequence[int]) -> None:
        import numpy as np

        self._row_number = {y: k for k, y in enumerate(rows[1:-1])}
        self._column_number = {x: k for k, x in enumerate(columns[1:-1])}
        self._rows = np.zeros((2, len(rows) - 2, columns[-1]), np.int64)  # above and below each cut
        self._columns = np.zeros((2, len(columns) - 2, rows[-1]), np.int64)  # left and right of each cut

    def keep(self, window: Window, edges: Edges) -> None:
        """Remember the edges of one block; those of the grid are no seams."""
        y, x = slice(window.y0, window.y1), slice(window.x0, window.x1)
        for side, cut, line in ((1, window.y0, edges.top), (0, window.y1, edges.bottom)):
            if cut in self._row_number:
                self._rows[side, self._row_number[cut], x] = line
        for side, cut, line in ((1, window.x0, edges.left), (0, window.x1, edges.right)):
            if cut in self._column_number:
                self._columns[side, self._column_number[cut], y] = line

    def pairs(self) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        """Yield ids, and what `kernels.count_pairs` counts of them, here across seams.

        An id may come several times; the numbers add up.
        """
        import numpy as np

        left, right = self._columns
        above, below = self._rows
        # Where two seams cross, the pair across both is counted with the vertical one.
        inside = np.ones(max(above.shape[1] - 1, 0), bool)
        inside[[x - 1 for x in self._column_number]] = False
        found = [
            (0, left, right),
            (1, above, below),
            (2, left[:, :-1], right[:, 1:]),
            (3, left[:, 1:], right[:, :-1]),
            (2, above[:, :-1][:, inside], below[:, 1:][:, inside]),
            (3, above[:, 1:][:, inside], below[:, :-1][:, inside]),
        ]
        for direction, one, other in found:
            ids, counts = np.unique(one[(one == other) & (one != 0)], return_counts=True)
            yield ids, _at(direction, counts)
        apart = np.ones(max(left.shape[1] - 1, 0), bool)
        apart[[y - 1 for y in self._row_number]] = False
        ends = (slice(None, -1), slice(1, None))
        yield _squares([side[:, rows][:, apart] for side in (left, right) for rows in ends])
        yield _squares([side[:, columns] for side in (above, below) for columns in ends])


def _at(place: int, counts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    pairs = np.zeros((len(counts), 5), np.int64)
    pairs[:, place] = counts
    return pairs


def _squares(corners: list[np.ndarray[Any, Any]]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the ids in squares of four pixels, and 3 for each that one fills and 1 for each of which it has three."""
    import numpy as np

    found: dict[int, int] = {}
    for number, one in enumerate(corners[:2]):  # who has three of four has one of the first two
        others = [other == one for other in corners]
        times = sum(other.astype(np.int64) for other in others)
        first = (one != 0) & (times >= 3) & ~(others[0] if number else np.zeros_like(others[0]))
        for worth, at in ((3, times == 4), (1, times == 3)):
            for i, count in zip(*np.unique(one[first & at], return_counts=True), strict=True):
                found[int(i)] = found.get(int(i), 0) + worth * int(count)
    return np.array(list(found), np.int64), _at(4, np.array(list(found.values()), np.int64))
