"""Marker positivity: which cells express a marker, by one recorded threshold per channel."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from integrate.errors import DatasetNotFoundError, ParameterError, closest, warn
from integrate.keys import ATTRS
from integrate.model.image import image_notes
from integrate.model.provenance import hash_settings, record

if TYPE_CHECKING:
    import anndata as ad
    import numpy as np

__all__ = ["OtsuThreshold", "find_thresholds", "mark_positive"]


@dataclass(frozen=True, slots=True)
class OtsuThreshold:
    """How the threshold between negative and positive cells is found: where two groups differ most.

    Parameters
    ----------
    statistic
        The measured column that is cut, ``{channel}_{statistic}``.
    cofactor
        Values enter as ``arcsinh(value / cofactor)``, linear below the cofactor and logarithmic above. By default the
        10th percentile of the channel's positive values, which is background: then neither the scale of the image nor
        the share of positive cells matters much.

    Notes
    -----
    Otsu's threshold needs two groups. Where fewer than about one cell in twenty is positive, or none or all are, it may
    cut through the larger group; such a channel needs a threshold that someone has looked at.

    Examples
    --------
    >>> OtsuThreshold(cofactor=5)
    OtsuThreshold(statistic='mean', cofactor=5)
    """

    statistic: str = "mean"
    cofactor: float | None = None

    def __post_init__(self) -> None:
        """Refuse a cofactor that is no scale."""
        if self.cofactor is not None and not (math.isfinite(self.cofactor) and self.cofactor > 0):
            raise ParameterError(f"cofactor is {self.cofactor}; expected a positive number")


def find_thresholds(
    cells: ad.AnnData, *, channels: Iterable[str] | None = None, method: OtsuThreshold | None = None
) -> dict[str, float]:
    """Return one threshold per channel, in the unit of the measured column.

    Parameters
    ----------
    cells
        Measured cells. Give those of all fields of a study together: a threshold found in each field alone would call
        part of every field positive, also of those without a positive cell.
    channels
        By default all that have the statistic.
    method
        By default `OtsuThreshold()`.

    Returns
    -------
    Threshold by channel; a cell is positive above it. NaN where a channel has no value at all.

    Raises
    ------
    DatasetNotFoundError
        If a channel was not measured.

    Examples
    --------
    >>> import anndata, pandas
    >>> cells = anndata.AnnData(pandas.DataFrame({"CD45_mean": [0.1, 0.2, 0.1, 8.0, 9.0]}, index=list("abcde")))
    >>> thresholds = find_thresholds(cells)
    >>> 0.2 < thresholds["CD45"] < 8
    True
    """
    method = method or OtsuThreshold()
    columns = _columns(cells, channels, method.statistic)
    return {channel: _threshold(_values(cells, column), method) for channel, column in columns.items()}


def mark_positive(
    cells: ad.AnnData,
    *,
    channels: Iterable[str] | None = None,
    method: OtsuThreshold | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> ad.AnnData:
    """Return the cells with a true/false column ``{channel}_positive`` in ``obs`` for every channel.

    Parameters
    ----------
    cells
        Measured cells of all fields of a study; see `find_thresholds`.
    channels
        By default all that have the statistic, or those of `thresholds`.
    method
        How thresholds are found; by default `OtsuThreshold()`.
    thresholds
        Thresholds to use instead, e.g. those of another study or set by an expert.

    Returns
    -------
    A copy. A cell whose value is missing is neither: its column is then nullable. Thresholds, settings and their hash
    are in ``uns["integrate"]["positive"]``.

    Raises
    ------
    DatasetNotFoundError
        If a channel was not measured.
    ParameterError
        If a channel has no threshold in `thresholds`.

    Examples
    --------
    >>> import anndata, pandas
    >>> cells = anndata.AnnData(pandas.DataFrame({"CD45_mean": [0.1, 0.2, 9.0]}, index=list("abc")))
    >>> mark_positive(cells, thresholds={"CD45": 1.0}).obs["CD45_positive"].tolist()
    [False, False, True]
    """
    from integrate import __version__

    method = method or OtsuThreshold()
    if thresholds is None:
        found = find_thresholds(cells, channels=channels, method=method)
    else:
        names = list(thresholds) if channels is None else list(channels)
        absent = [name for name in names if name not in thresholds]
        if absent:
            raise ParameterError(f"no threshold for {absent}; {closest(absent[0], thresholds)}")
        found = {name: float(thresholds[name]) for name in names}
    marked = cells.copy()
    for channel, column in _columns(cells, found, method.statistic).items():
        marked.obs[f"{channel}_positive"] = _above(_values(cells, column), found[channel])
    unknown = [channel for channel, threshold in found.items() if math.isnan(threshold)]
    if unknown:
        warn(f"channels {unknown} have no value in any cell; whether cells are positive is missing")
    settings = {"given": True, "statistic": method.statistic} if thresholds is not None else asdict(method)
    made = {
        "thresholds": found,
        "settings": json.dumps(settings),
        "settings_hash": hash_settings({"settings": settings, "thresholds": found}),
        "tool": f"integrate {__version__}",
    }
    marked.uns[ATTRS] = {**image_notes(cells), "positive": made}
    record("mark_positive", cells=cells.n_obs, **made)
    return marked


def _columns(cells: ad.AnnData, channels: Iterable[str] | None, statistic: str) -> dict[str, str]:
    """Return the measured column of every channel."""
    ending = f"_{statistic}"
    known = {str(name).removesuffix(ending): str(name) for name in cells.var_names if str(name).endswith(ending)}
    wanted = list(known) if channels is None else list(channels)
    for channel in wanted:
        if channel not in known:
            raise DatasetNotFoundError(f"no column {channel + ending!r} was measured; {closest(channel, known)}")
    return {channel: known[channel] for channel in wanted}


def _values(cells: ad.AnnData, column: str) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.asarray(cells.obs_vector(column), dtype=np.float64)


def _threshold(values: np.ndarray[Any, Any], method: OtsuThreshold) -> float:
    import numpy as np
    from skimage.filters import threshold_otsu

    values = values[np.isfinite(values)]
    if values.size == 0 or values.min() == values.max():
        return float(values[0]) if values.size else math.nan  # nobody stands out
    positive = values[values > 0]
    cofactor = method.cofactor or (float(np.percentile(positive, 10)) if positive.size else 1.0)
    return float(np.sinh(threshold_otsu(np.arcsinh(values / cofactor))) * cofactor)


def _above(values: np.ndarray[Any, Any], threshold: float) -> Any:
    import numpy as np
    import pandas as pd

    missing = np.isnan(values) | math.isnan(threshold)
    above = values > threshold
    return pd.arrays.BooleanArray(above, missing) if missing.any() else above
