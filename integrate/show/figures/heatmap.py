"""The picture of a matrix of observations by features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integrate.show.figures.style import MAX_NAMED, finished, name_ticks, new_figure, with_missing

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["plot_heatmap"]


def plot_heatmap(
    matrix: pd.DataFrame, *, standardise: bool = True, cluster: bool = True, title: str | None = None
) -> Figure:
    """Draw a matrix of observations by features.

    Parameters
    ----------
    matrix
        Numbers, one row per observation and one column per feature. Missing values are grey.
    standardise
        Show each feature in standard deviations from its mean, so that features of different units share one scale.
    cluster
        Put like rows and like columns side by side (average linkage). For this order alone a missing value counts as
        its feature's mean.
    title
        By default the size of the matrix.

    Returns
    -------
    Figure. More than 50 rows or columns are not named.

    Examples
    --------
    >>> import pandas as pd
    >>> print(plot_heatmap(pd.DataFrame({"area": [1.0, 2.0, None]})).get_label())
    Heat map: 3 observations, 1 features; 1 of 3 values missing
    """
    import numpy as np

    values = matrix.to_numpy(dtype=float)
    if standardise:
        values = _standardised(values)
    rows, columns = np.arange(values.shape[0]), np.arange(values.shape[1])
    if cluster:
        filled = np.nan_to_num(_standardised(values))
        rows, columns = _leaf_order(filled), _leaf_order(filled.T)
    shown = values[np.ix_(rows, columns)]
    width, height = (min(9.0, 2.2 + 0.17 * n) if n <= MAX_NAMED else 7.0 for n in (len(columns), len(rows)))
    figure, axes = new_figure(max(4.0, width), max(2.6, height))
    limit = 2.5 if standardise else None
    lower = -2.5 if standardise else None
    cmap = with_missing("RdBu_r" if standardise else "viridis")
    drawn = axes.imshow(shown, cmap=cmap, vmin=lower, vmax=limit, aspect="auto", interpolation="nearest")
    row_names = matrix.index[rows] if len(rows) <= MAX_NAMED else None
    name_ticks(axes, row_names, matrix.columns[columns] if len(columns) <= MAX_NAMED else None)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.6, aspect=18, extend="both" if standardise else "neither")
    bar.set_label("standard deviations from the mean" if standardise else "value", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    missing = int(np.isnan(values).sum())
    head = title if title is not None else f"{len(rows)} observations, {len(columns)} features"
    lost = f"{missing} of {values.size} values missing"
    return finished(
        figure, axes, title=f"{head}\n{lost} (grey)" if missing else head, words=f"Heat map: {head}; {lost}"
    )


def _standardised(values: np.ndarray) -> np.ndarray:
    """Return each column in standard deviations from its mean; a constant column is 0, an empty one stays missing."""
    import numpy as np

    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    centred = values - np.where(known, values, 0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, centred, 0) ** 2).sum(axis=0) / count)
    return centred / np.where(spread > 0, spread, 1.0)


def _leaf_order(values: np.ndarray) -> np.ndarray:
    import numpy as np
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(values) < 3:
        return np.arange(len(values))
    return np.asarray(leaves_list(linkage(values, method="average", optimal_ordering=len(values) <= 300)))
