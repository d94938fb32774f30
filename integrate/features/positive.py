"""Marker positivity: which cells express a marker, by one recorded threshold per channel and batch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from integrate.errors import DatasetNotFoundError, ParameterError, closest, some, warn
from integrate.keys import ATTRS
from integrate.model.image import image_notes
from integrate.model.provenance import hash_settings, record

if TYPE_CHECKING:
    import anndata as ad
    import numpy as np
    import pandas as pd

__all__ = ["OtsuThreshold", "find_thresholds", "mark_positive"]

#: How far apart the halves of evenly spread values are (2 √3); those of one normal group are 2.65 apart. Sides that are
#: no further apart than this show no second group.
_ONE_GROUP: Final = 2 * math.sqrt(3)
#: A rare group is that far apart from the tail of the others, and has so many cells. The tails of normal, lognormal,
#: gamma, Laplace, t, Poisson and uniform values hardly ever reach 5 with 20 cells.
_RARE: Final = 5.5
_FEW: Final = 20


class _Cut(NamedTuple):
    """A threshold and how far apart the values on its two sides are; NaN where no two sides are."""

    threshold: float
    separation: float = math.nan


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
    Otsu's threshold (IEEE Trans. Syst. Man Cybern. 9:62, 1979) needs two groups of some size; beside few positive cells
    it cuts through the negative ones. The separation of the two sides shows it: Ashman's D (Astron. J. 108:2348, 1994)
    of the values as they entered. Where it is no more than 3.46, as of the halves of evenly spread values, the brighter
    side is cut again and again until a rare group stands apart (D above 5.5, at least 20 cells); where none does, the
    first threshold is kept and a warning names the channel, which needs a threshold that someone has looked at.

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
    Threshold by channel; a cell is positive above it. NaN where a channel has no value at all. A threshold that
    separates no two groups is warned of (`OtsuThreshold`).

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
    cuts = {channel: [_cut(_values(cells, column), method)] for channel, column in columns.items()}
    _warn_of_one_group(cuts, [""], within=None)
    return {channel: cut.threshold for channel, (cut,) in cuts.items()}


def mark_positive(
    cells: ad.AnnData,
    *,
    channels: Iterable[str] | None = None,
    method: OtsuThreshold | None = None,
    thresholds: Mapping[str, float] | None = None,
    within: str | pd.Series[Any] | None = None,
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
    within
        Batches that were not imaged alike, e.g. sites or staining runs with another gain or offset: thresholds are
        found in each of them separately. A column of ``obs``, or a Series whose index is named like one, e.g.
        ``study.subjects["site"]``. Each batch needs positive and negative cells of its own.

    Returns
    -------
    A copy. A cell whose value or batch is missing is neither: its column is then nullable. Thresholds, the separation
    of the two sides (not for thresholds that were given), settings and their hash are in
    ``uns["integrate"]["positive"]``; with `within` its ``thresholds`` and ``separation`` hold per channel an array with
    one number for each of its ``batches``. A threshold that separates no two groups is warned of (`OtsuThreshold`).

    Raises
    ------
    DatasetNotFoundError
        If a channel was not measured, or `within` is no column of ``obs``.
    ParameterError
        If a channel has no threshold in `thresholds`, or both `thresholds` and `within` are given.

    Examples
    --------
    >>> import anndata, pandas
    >>> cells = anndata.AnnData(pandas.DataFrame({"CD45_mean": [0.1, 0.2, 9.0]}, index=list("abc")))
    >>> mark_positive(cells, thresholds={"CD45": 1.0}).obs["CD45_positive"].tolist()
    [False, False, True]

    A dim and a bright site:

    >>> cells = anndata.AnnData(pandas.DataFrame({"CD45_mean": [1.0, 8, 9, 10, 80, 90]}, index=list("abcdef")))
    >>> cells.obs["site"] = ["dim"] * 3 + ["bright"] * 3
    >>> mark_positive(cells, within="site").obs["CD45_positive"].tolist()
    [False, True, True, False, True, True]
    """
    from integrate import __version__

    if thresholds is not None and within is not None:
        raise ParameterError("both thresholds and within are given; within finds thresholds, so give one of them")
    method = method or OtsuThreshold()
    known = None if thresholds is None else _given(thresholds, channels)
    columns = _columns(cells, channels if known is None else known, method.statistic)
    batch, names = _batches(cells, within)
    marked = cells.copy()
    cuts: dict[str, list[_Cut]] = {}
    for channel, column in columns.items():
        values = _values(cells, column)
        cuts[channel] = (
            [_cut(values[batch == number], method) for number in range(len(names))]
            if known is None
            else [_Cut(known[channel])]
        )
        marked.obs[f"{channel}_positive"] = _above(values, [cut.threshold for cut in cuts[channel]], batch)
    found = {channel: [cut.threshold for cut in each] for channel, each in cuts.items()}
    apart = {channel: [cut.separation for cut in each] for channel, each in cuts.items()}
    _warn_of_missing(found, names, batch, within)
    _warn_of_one_group(cuts, names, within)
    settings = {"given": True, "statistic": method.statistic} if known is not None else asdict(method)
    if within is not None:
        settings["within"] = within if isinstance(within, str) else str(within.name)
    made = {
        "thresholds": found if within is not None else _single(found),
        **({"separation": apart if within is not None else _single(apart)} if known is None else {}),
        **({"batches": names} if within is not None else {}),
        "settings": json.dumps(settings),
        "settings_hash": hash_settings({"settings": settings, "batches": names, "thresholds": found}),
        "tool": f"integrate {__version__}",
    }
    marked.uns[ATTRS] = {**image_notes(cells), "positive": made}
    record("mark_positive", cells=cells.n_obs, **made)
    return marked


def _single(numbers: Mapping[str, list[float]]) -> dict[str, float]:
    return {channel: each[0] for channel, each in numbers.items()}


def _given(thresholds: Mapping[str, float], channels: Iterable[str] | None) -> dict[str, float]:
    names = list(thresholds) if channels is None else list(channels)
    absent = [name for name in names if name not in thresholds]
    if absent:
        raise ParameterError(f"no threshold for {absent}; {closest(absent[0], thresholds)}")
    return {name: float(thresholds[name]) for name in names}


def _batches(cells: ad.AnnData, within: str | pd.Series[Any] | None) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Return the number of each cell's batch, -1 where it is missing, and the names of the batches."""
    import numpy as np
    import pandas as pd

    if within is None:
        return np.zeros(cells.n_obs, np.int64), [""]
    key = within if isinstance(within, str) else str(within.index.name)
    if key not in cells.obs:
        raise DatasetNotFoundError(f"the cells have no column {key!r} in obs; {closest(key, cells.obs.columns)}")
    values = cells.obs[key]
    if not isinstance(within, str):
        if not within.index.is_unique:
            raise ParameterError(f"{key} repeats in the index of {within.name!r}; give one row for each")
        values = values.astype(object).map(within.astype(object))
    batch, names = pd.factorize(values.astype(object), sort=False)
    order = np.argsort(np.asarray([str(name) for name in names], dtype=object), kind="stable")
    place = np.empty(len(names) + 1, np.int64)
    place[order], place[-1] = np.arange(len(names)), -1
    return place[batch], [str(names[number]) for number in order]


def _warn_of_missing(
    found: Mapping[str, list[float]], names: list[str], batch: np.ndarray[Any, Any], within: object
) -> None:
    """Say which cells are neither positive nor negative, and why."""
    if within is None:
        unknown = [channel for channel, (threshold,) in found.items() if math.isnan(threshold)]
        if unknown:
            warn(f"channels {unknown} have no value in any cell; whether cells are positive is missing")
        return
    homeless = int((batch < 0).sum())
    if homeless:
        warn(f"{homeless} of {len(batch)} cells have no batch; whether they are positive is missing")
    gone = [f"{c} in {name}" for c, each in found.items() for name, t in zip(names, each, strict=True) if math.isnan(t)]
    if gone:
        warn(f"no cell has a value of {some(gone)}; whether these cells are positive is missing")


def _warn_of_one_group(cuts: Mapping[str, list[_Cut]], names: list[str], within: object) -> None:
    """Name the channels, and their batches, whose threshold lies in no gap between two groups."""
    doubtful = [
        f"{channel} in {name}" if within is not None else channel
        for channel, each in cuts.items()
        for name, cut in zip(names, each, strict=True)
        if cut.separation <= _ONE_GROUP
    ]
    if doubtful:
        warn(
            f"no gap between negative and positive cells is seen for {some(doubtful)}: their threshold cuts through "
            "one group of cells; look at the histogram, and give thresholds={channel: value}"
        )


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


def _cut(values: np.ndarray[Any, Any], method: OtsuThreshold) -> _Cut:
    import numpy as np

    values = values[np.isfinite(values)]
    if values.size == 0 or values.min() == values.max():
        return _Cut(float(values[0]) if values.size else math.nan)  # nobody stands out
    positive = values[values > 0]
    cofactor = method.cofactor or (float(np.percentile(positive, 10)) if positive.size else 1.0)
    scaled = np.arcsinh(values / cofactor)
    cut = _otsu(scaled)
    if cut.separation <= _ONE_GROUP:
        cut = _rare_group(scaled, cut.threshold) or cut
    return _Cut(float(np.sinh(cut.threshold) * cofactor), cut.separation)


def _rare_group(values: np.ndarray[Any, Any], threshold: float) -> _Cut | None:
    """Return the cut below a rare group of bright values, found on the brighter side alone, where it weighs more."""
    while True:
        values = values[values > threshold]
        if values.size < _FEW or values.min() == values.max():
            return None
        cut = _otsu(values)
        if (values > cut.threshold).sum() < _FEW:
            return None
        if cut.separation > _RARE:
            return cut
        threshold = cut.threshold


def _otsu(values: np.ndarray[Any, Any]) -> _Cut:
    """Return Otsu's threshold of values that differ, and Ashman's D of its two sides."""
    from skimage.filters import threshold_otsu

    threshold = float(threshold_otsu(values))
    low, high = values[values <= threshold], values[values > threshold]
    spread = math.sqrt((float(low.var()) + float(high.var())) / 2)
    return _Cut(threshold, float(high.mean() - low.mean()) / spread if spread else math.inf)


def _above(values: np.ndarray[Any, Any], thresholds: list[float], batch: np.ndarray[Any, Any]) -> Any:
    """Return whether each value is above the threshold of its batch; missing where either is."""
    import numpy as np
    import pandas as pd

    threshold = np.array([*thresholds, math.nan])[batch]  # batch -1 takes the last
    missing = np.isnan(values) | np.isnan(threshold)
    above = values > threshold
    return pd.arrays.BooleanArray(above, missing) if missing.any() else above
