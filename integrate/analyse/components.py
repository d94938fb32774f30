"""The components of a cohort: few axes along which its units differ most, in one block of features or in several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from integrate.analyse.matrices import complete_blocks
from integrate.errors import ParameterError
from integrate.keys import ATTRS
from integrate.model.provenance import record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["Clusters", "Components", "cluster_units", "find_components"]

#: Share of the units in each resample of `cluster_units`.
RESAMPLE = 0.8


@dataclass(frozen=True, eq=False)
class Components:
    """Components of one or several blocks.

    Parameters
    ----------
    scores
        Units × components.
    loadings
        Features × components: correlation of the feature with the component.
    explained
        One row per component: ``share`` of the variance, and for each block its contribution to the component.
    n_filled
        Values that were missing and were taken as their feature's mean.

    Examples
    --------
    >>> import pandas as pd
    >>> Components(pd.DataFrame(index=["P1", "P2"]), pd.DataFrame(), pd.DataFrame({"share": [0.6, 0.3]}), 0)
    <Components of 2 units: 60 %, 30 %; 0 values filled>
    """

    scores: pd.DataFrame
    loadings: pd.DataFrame
    explained: pd.DataFrame
    n_filled: int

    def __repr__(self) -> str:
        shares = ", ".join(f"{100 * share:.0f} %" for share in self.explained["share"])
        return f"<Components of {len(self.scores)} units: {shares}; {self.n_filled} values filled>"


@dataclass(frozen=True, eq=False)
class Clusters:
    """A grouping of units, and how well it comes back from a part of them.

    Parameters
    ----------
    labels
        Cluster of each unit, 1 the largest.
    stability
        One row per number of clusters: ``k, stability`` (mean adjusted Rand index between clusterings of resamples, on
        the units both hold)``, ci_low, ci_high, silhouette``.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"k": [2], "stability": [0.9], "silhouette": [0.5]})
    >>> Clusters(pd.Series([1, 1, 2]), table)
    <Clusters: 2 of 3 units; stability 0.90>
    """

    labels: pd.Series[Any]
    stability: pd.DataFrame

    def __repr__(self) -> str:
        k = int(self.labels.nunique())
        stability = self.stability.set_index("k")["stability"][k]
        return f"<Clusters: {k} of {len(self.labels)} units; stability {stability:.2f}>"


def find_components(
    cohort: Cohort, blocks: str | Sequence[str | Sequence[str]], *, n_components: int = 2, scale: bool = True
) -> Components:
    """Return the principal components of one block, or the multiple factor analysis of several.

    Parameters
    ----------
    cohort
        What `link` returned.
    blocks
        An assay (or ``"clinical"``), or several; a list within is one block of these features.
    n_components
        How many.
    scale
        Whether each feature counts alike; else by its variance.

    Returns
    -------
    `Components`, of the units that have every block. Several blocks are each divided by the first singular value of
    theirs, so that neither the number of features nor their scale makes one count more (Escofier and Pagès 1994).

    Raises
    ------
    DataError
        If fewer than three units have every block, or none of a block's features varies.
    ParameterError
        If more components are asked for than units or features give.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> rna = pd.DataFrame({"subject_id": ["P01", "P02", "P03"], "CD8A": [1.0, 2, 4], "CD3E": [2.0, 4, 9]})
    >>> ct = pd.DataFrame({"subject_id": ["P01", "P02", "P03"], "volume": [9.0, 6, 2]})
    >>> find_components(link(toy_study(), rna=rna, ct=ct, unit="subject"), ["rna", "ct"], n_components=1)
    <Components of 3 units: 100 %; 0 values filled>
    """
    import numpy as np
    import pandas as pd

    given, rows = complete_blocks(cohort, [blocks] if isinstance(blocks, str) else blocks, scale=scale)
    weights = [1 / np.linalg.norm(block.values, 2) if len(given) > 1 else 1.0 for block in given]
    whole = np.hstack([block.values * weight for block, weight in zip(given, weights, strict=True)])
    if not 0 < n_components <= min(whole.shape[0] - 1, whole.shape[1]):
        raise ParameterError(
            f"{n_components} components cannot be had of {whole.shape[0]} units and {whole.shape[1]} features"
        )
    left, singular, right = np.linalg.svd(whole, full_matrices=False)
    sign = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    names = [f"component {i + 1}" for i in range(n_components)]
    scores = (left * singular * sign)[:, :n_components]
    with np.errstate(invalid="ignore", divide="ignore"):
        loadings = (np.hstack([b.values for b in given]).T @ scores) / len(rows)
        loadings /= np.hstack([b.values.std(axis=0) for b in given])[:, None] * scores.std(axis=0)
    ends = np.cumsum([0, *(len(block.features) for block in given)])
    shares = [(right[:n_components, a:b] ** 2).sum(axis=1) for a, b in pairwise(ends)]
    explained = pd.DataFrame({"share": (singular**2 / (singular**2).sum())[:n_components]}, index=names)
    for block, share in zip(given, shares, strict=True):
        explained[block.name] = share
    record("find_components", study=cohort.name, blocks=[block.name for block in given], n=n_components)
    features = [feature for block in given for feature in block.features]
    return Components(
        pd.DataFrame(scores, index=cohort.obs.index[rows], columns=names),
        pd.DataFrame(loadings, index=features, columns=names),
        explained,
        sum(block.filled for block in given),
    )


def cluster_units(
    cohort: Cohort,
    blocks: str | Sequence[str | Sequence[str]],
    *,
    k: int | Sequence[int] = (2, 3, 4, 5, 6),
    n_components: int = 5,
    resamples: int = 50,
    seed: int = 0,
) -> Clusters:
    """Return groups of like units, and for each number of groups how stable they are.

    Parameters
    ----------
    cohort, blocks
        As for `find_components`, whose scores are clustered.
    k
        Number of clusters, or several of which the most stable is taken.
    n_components
        Components that are clustered; fewer where units or features give no more.
    resamples
        Parts of 80 % of the units that are clustered again.
    seed
        Of k-means and of the resamples.

    Returns
    -------
    `Clusters`. A stability near 0 means there are no groups to find; k-means gives some all the same.

    Raises
    ------
    DataError, ParameterError
        As `find_components`; or if there are not more units than clusters.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> rna = pd.DataFrame({"subject_id": ["P01", "P02", "P03"], "CD8A": [1.0, 1.1, 9], "CD3E": [2.0, 2.1, 9]})
    >>> cluster_units(link(toy_study(), rna=rna, unit="subject"), "rna", k=2, resamples=0).labels.tolist()
    [1, 1, 2]
    """
    import numpy as np
    import pandas as pd
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    given, rows = complete_blocks(cohort, [blocks] if isinstance(blocks, str) else blocks)
    most = min(n_components, len(rows) - 1, sum(len(block.features) for block in given))
    points = find_components(cohort, blocks, n_components=most).scores.to_numpy()
    wanted = [k] if isinstance(k, int) else list(k)
    if max(wanted) >= len(points) or min(wanted) < 2:
        raise ParameterError(f"k={max(wanted)} clusters of {len(points)} units; k is 2 or more, and fewer than units")
    rng = np.random.default_rng(seed)
    told, labels = [], {}
    for size in wanted:
        labels[size] = KMeans(size, n_init=10, random_state=seed).fit_predict(points)
        agreement = _agreement(points, size, resamples, rng, seed)
        low, high = np.quantile(agreement, [0.025, 0.975]) if len(agreement) else (np.nan, np.nan)
        silhouette = float(silhouette_score(points, labels[size]))
        mean = float(np.mean(agreement)) if len(agreement) else np.nan
        told.append({"k": size, "stability": mean, "ci_low": low, "ci_high": high, "silhouette": silhouette})
    stability = pd.DataFrame(told)
    best = wanted[int(stability["stability"].fillna(-1).to_numpy().argmax())]
    order = pd.Series(labels[best]).value_counts().index
    chosen = pd.Series(order.get_indexer(labels[best]) + 1, index=cohort.obs.index[rows], name="cluster")
    stability.attrs[ATTRS] = {"resamples": resamples, "n_components": most, "seed": seed, "chosen": best}
    record("cluster_units", study=cohort.name, k=wanted, chosen=best, seed=seed)
    return Clusters(chosen, stability)


def _agreement(points: Any, k: int, resamples: int, rng: Any, seed: int) -> list[float]:
    """Return the adjusted Rand index of each resample's clusters with the next one's, on the units both hold."""
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    size = max(int(RESAMPLE * len(points)), k + 1)
    parts = [rng.choice(len(points), size, replace=False) for _ in range(resamples)]
    found = []
    for part in parts:
        labels = np.full(len(points), -1)
        labels[part] = KMeans(k, n_init=4, random_state=seed).fit_predict(points[part])
        found.append(labels)
    pairs = pairwise(found)
    return [float(adjusted_rand_score(a[both], b[both])) for a, b in pairs if (both := (a >= 0) & (b >= 0)).any()]
