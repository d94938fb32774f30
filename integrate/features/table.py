"""The table of measured regions: an AnnData that SpatialData accepts, with unit and origin of every column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrate.features.family import FeatureFamily, Measured
from integrate.features.intensity import Intensity, count_valid
from integrate.features.position import count_pixels, find_centroids
from integrate.keys import ATTRS, INSTANCE_ID
from integrate.model.feature import Feature, feature_table
from integrate.model.provenance import hash_settings

if TYPE_CHECKING:
    import anndata as ad
    import numpy as np
    import pandas as pd

__all__ = ["make_table"]

_REGION = "region"

#: Rows of the matrix that are filled together.
_ROWS = 512


def make_table(
    measured: Measured,
    families: Sequence[FeatureFamily],
    *,
    region: str,
    ids: Mapping[str, str],
    notes: Mapping[str, Any],
    input_hashes: Mapping[bool, str],
    names: np.ndarray[Any, Any] | None = None,
    covered: np.ndarray[Any, Any] | None = None,
) -> ad.AnnData:
    """Return one row per region and the columns of all families.

    Parameters
    ----------
    measured, families
        What the pass gave, and who names it.
    region
        Name of the label image.
    ids
        Who and what the regions belong to; a column each.
    notes
        Goes to ``uns["integrate"]``; its ``tool`` also to every column.
    input_hashes
        Of the inputs of families that read pixels (True), and of those that need only labels (False).
    names
        Ids of the regions where they are not those of `measured` but rows of a table of outlines.
    covered
        Which part of each region lies on the image; a column of ``obs``.
    """
    import anndata as ad
    import numpy as np

    features, columns = [], []
    for family in families:
        origin = {
            "level": "instance",
            "tool": notes["tool"],
            "settings_hash": hash_settings(family),
            "input_hash": input_hashes[family.reads_pixels],
        }
        for name, values, *meaning in family.columns(measured):
            unit, definition, channel, statistic = meaning
            features.append(Feature(name, unit, definition=definition, channel=channel, statistic=statistic, **origin))
            columns.append(values)
    table = ad.AnnData(
        X=_side_by_side(columns, len(measured.ids)),
        obs=_observations(
            measured,
            measured.ids if names is None else names,
            region=region,
            ids=ids,
            covered=covered,
            count_nan=any(isinstance(f, Intensity) for f in families),
        ),
        var=feature_table(features),
        obsm={"spatial": np.ascontiguousarray(find_centroids(measured)[:, ::-1])},
    )
    table.uns[ATTRS] = dict(notes)
    annotated = region if table.n_obs else []  # SpatialData refuses a region that no row names
    table.uns["spatialdata_attrs"] = {"region": annotated, "region_key": _REGION, "instance_key": INSTANCE_ID}
    return table


def _side_by_side(columns: Sequence[np.ndarray[Any, Any]], rows: int) -> np.ndarray[Any, Any]:
    """Return columns as one float64 matrix, which a family may have made already.

    Otherwise some rows at a time are copied, so that what is written stays in the cache.
    """
    import numpy as np

    parts = list(_neighbours(columns))
    if len(parts) == 1 and parts[0].flags.carray:
        return parts[0]
    x = np.empty((rows, len(columns)))
    for first in range(0, rows, _ROWS):
        place = 0
        for part in parts:
            x[first : first + _ROWS, place : place + part.shape[1]] = part[first : first + _ROWS]
            place += part.shape[1]
    return x


def _neighbours(columns: Sequence[np.ndarray[Any, Any]]) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the columns as matrices, those in one that lie side by side in memory: a family made them together."""
    import numpy as np

    def lie(column: np.ndarray[Any, Any], first: np.ndarray[Any, Any], number: int) -> bool:
        return (
            column.dtype == first.dtype == np.float64
            and column.strides == first.strides
            and column.ctypes.data == first.ctypes.data + number * first.itemsize
        )

    begin = 0
    while begin < len(columns):
        first, end = columns[begin], begin + 1
        while end < len(columns) and lie(columns[end], first, end - begin):
            end += 1
        steps = (*first.strides, first.itemsize)
        yield np.lib.stride_tricks.as_strided(first, (len(first), end - begin), steps)
        begin = end


def _observations(
    measured: Measured,
    names: np.ndarray[Any, Any],
    *,
    region: str,
    ids: Mapping[str, str],
    covered: np.ndarray[Any, Any] | None,
    count_nan: bool,
) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    same = np.zeros(len(measured.ids), np.int8)
    pixels = count_pixels(measured)
    obs = pd.DataFrame(
        {
            INSTANCE_ID: names,
            **{
                key: pd.Categorical.from_codes(same, pd.Index([value]))
                for key, value in {_REGION: region, **ids}.items()
            },
            "n_pixels": pixels,
        },
        index=pd.Index([f"{region}:{instance}" for instance in names.tolist()], dtype=object),
    )
    if covered is not None:
        obs["covered"] = covered
    if count_nan:
        obs["n_nan"] = len(measured.channels) * pixels - count_valid(measured).sum(axis=1)
    return obs
