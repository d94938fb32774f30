"""Cells as a viewer draws them: places on the image, an embedding, and any variable as colours."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from integrate.errors import AlignmentError, DataError, DatasetNotFoundError, closest, warn
from integrate.keys import ACQUISITION_ID, ATTRS
from integrate.model.image import image_ids
from integrate.show.palette import PALETTE, QUIET, SCALE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CellLayer", "Colouring", "colour_cells", "place_cells"]

#: Names offered to colour by; any other may be typed.
MAX_NAMES: Final = 2000
MAX_CATEGORIES: Final = len(PALETTE) - 1  # black cannot be seen on the image


@dataclass(frozen=True, slots=True)
class Colouring:
    """What colours the cells: a number on a scale or a category, one value per cell.

    Parameters
    ----------
    name
        The variable; empty when all cells are drawn alike.
    kind
        ``"number"`` or ``"category"``.
    values
        Numbers, or positions in `categories`; NaN where there is none.
    colours
        From low to high, or one per category.
    low, high
        Ends of the scale: the 1st and 99th percentile.
    categories
        Their names; the last may be ``"n others"``.
    """

    name: str
    kind: str
    values: NDArray[np.float32]
    colours: tuple[str, ...]
    low: float = 0.0
    high: float = 1.0
    categories: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """Everything but the values."""
        import numpy as np

        return {
            "name": self.name,
            "kind": self.kind,
            "colours": list(self.colours),
            "low": self.low,
            "high": self.high,
            "categories": list(self.categories),
            "missing": int(np.isnan(self.values).sum()) if self.name else 0,
        }


@dataclass(frozen=True, slots=True)
class CellLayer:
    """The cells of one image.

    Parameters
    ----------
    table
        The whole table (AnnData), or ``None`` when only places were given.
    total
        Rows of the whole table.
    rows
        Which of them lie on this image.
    places
        ``(n, 2)`` x and y in pixels of the image.
    embedding
        ``(n, 2)``, or empty.
    """

    table: Any
    total: int
    rows: NDArray[np.intp]
    places: NDArray[np.float64]
    embedding: NDArray[np.float64]
    names: list[str] = field(default_factory=list)


def place_cells(
    cells: Any, image: Any, *, pixel_size_um: tuple[float, float] | None, embedding: str | Any | None = None
) -> CellLayer:
    """Return the cells that lie on an image, in its pixels.

    Parameters
    ----------
    cells
        AnnData with ``obsm["spatial"]`` (x, y; in the unit its notes say), or an array ``(n, 2)`` of x, y in pixels.
    image
        The image; cells of other acquisitions than its own are left out.
    pixel_size_um
        ``(y, x)``, to take micrometres to pixels.
    embedding
        Name in ``obsm``, or an array with a row for each row of `cells`.

    Raises
    ------
    AlignmentError
        If no cell is of this image, or its pixel size is needed and unknown.
    DataError, DatasetNotFoundError
        If there are no places, or no embedding of that name.
    """
    import numpy as np

    if not hasattr(cells, "obsm"):
        places = _two_columns(cells, "cells")
        rows = np.arange(len(places))
        return CellLayer(None, len(places), rows, places, _two_columns(embedding, "embedding", len(places)))
    if "spatial" not in cells.obsm:
        raise DataError(f"the cells have no obsm['spatial']; found {list(cells.obsm)}")
    rows = _rows_of(cells, image)
    places = _in_pixels(cells, np.asarray(cells.obsm["spatial"], dtype=float)[rows, :2], pixel_size_um)
    if isinstance(embedding, str) and embedding not in cells.obsm:
        raise DatasetNotFoundError(f"no embedding {embedding!r} in obsm; {closest(embedding, cells.obsm)}")
    spread = cells.obsm[embedding] if isinstance(embedding, str) else embedding
    spread = _two_columns(spread, "embedding", cells.n_obs)
    names = [str(name) for name in (*cells.obs.columns, *cells.var_names[:MAX_NAMES])]
    return CellLayer(cells, cells.n_obs, rows, places, spread[rows] if len(spread) else spread, names)


def _rows_of(cells: Any, image: Any) -> NDArray[np.intp]:
    import numpy as np

    own = image_ids(image).get(ACQUISITION_ID)
    if own is None or ACQUISITION_ID not in cells.obs:
        return np.arange(cells.n_obs)
    rows = np.flatnonzero(cells.obs[ACQUISITION_ID].astype(str).to_numpy() == own)
    if not rows.size:
        raise AlignmentError(
            f"none of the {cells.n_obs} cells is of {ACQUISITION_ID} {own!r}, which the image shows; "
            f"they are of {closest(own, cells.obs[ACQUISITION_ID].unique())}"
        )
    return rows


def _in_pixels(
    cells: Any, places: NDArray[np.float64], pixel_size_um: tuple[float, float] | None
) -> NDArray[np.float64]:
    unit = dict(cells.uns.get(ATTRS, {})).get("unit")
    if unit == "um":
        if pixel_size_um is None:
            raise AlignmentError(
                "the cells are in micrometres and the image's pixel size is unknown; give pixel_size_um="
            )
        return places / [pixel_size_um[1], pixel_size_um[0]]
    if unit is None:
        warn("the cells do not say the unit of obsm['spatial']; it is taken as pixels of the image")
    return places


def _two_columns(values: Any, what: str, count: int | None = None) -> NDArray[np.float64]:
    import numpy as np

    if values is None:
        return np.empty((0, 2))
    table = np.asarray(values, dtype=float)
    if table.ndim != 2 or table.shape[1] < 2 or (count is not None and len(table) != count):
        raise DataError(f"{what} must be {count or 'n'} rows of two numbers, found an array of shape {table.shape}")
    return table[:, :2]


def colour_cells(layer: CellLayer, name: str | None) -> Colouring:
    """Return the values and colours of one variable for the cells of a layer.

    Raises
    ------
    DatasetNotFoundError
        If neither ``obs`` nor ``var`` has that name; the closest are given.
    """
    import numpy as np

    if not name:
        return Colouring("", "number", np.zeros(len(layer.rows), dtype=np.float32), (PALETTE[5], PALETTE[5]))
    import pandas as pd  # not before: an image without cells is shown without waiting for it

    table = layer.table
    if table is None or (name not in table.obs and name not in table.var_names):
        known = layer.names if table is None else [*table.obs.columns, *table.var_names]
        raise DatasetNotFoundError(f"no variable {name!r} of the cells; {closest(name, known)}")
    values = table.obs[name].iloc[layer.rows] if name in table.obs else pd.Series(_column(table, name)[layer.rows])
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return _categories(name, values)
    numbers = values.to_numpy(dtype=np.float32, na_value=np.nan)
    known = numbers[np.isfinite(numbers)]
    low, high = (float(v) for v in np.percentile(known, (1, 99))) if known.size else (0.0, 1.0)
    high = high if high > low else float(known.max(initial=low + 1.0))
    return Colouring(name, "number", numbers, SCALE, low, high if high > low else low + 1.0)


def _column(table: Any, name: str) -> NDArray[Any]:
    import numpy as np

    column = table[:, name].X
    return np.asarray(column.todense() if hasattr(column, "todense") else column).ravel()


def _categories(name: str, values: Any) -> Colouring:
    """Return codes by how often a category occurs; those beyond the colours that can be told apart share a grey."""
    import numpy as np

    words = [None if missing else str(one) for one, missing in zip(values, values.isna(), strict=True)]
    counts = Counter(one for one in words if one is not None)
    shown = sorted((one for one, _ in counts.most_common(MAX_CATEGORIES)), key=_natural)
    others = len(counts) - len(shown)
    code = {one: i for i, one in enumerate(shown)}
    codes = np.array([np.nan if one is None else code.get(one, len(shown)) for one in words], dtype=np.float32)
    labels = (*shown, f"{others} others") if others else tuple(shown)
    colours = (*PALETTE[: len(shown)], *((QUIET,) if others else ()))
    return Colouring(name, "category", codes, colours or (QUIET,), categories=labels)


def _natural(text: str) -> tuple[int, float, str]:
    return (0, float(text), text) if text.replace(".", "", 1).isdigit() else (1, 0.0, text)
