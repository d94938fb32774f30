"""The bridge to MOFA: a cohort as its input, and its factors back as components."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from integrate.analyse.components import Components
from integrate.analyse.grouping import group_codes
from integrate.analyse.results import title_of
from integrate.analyse.variables import choose_variables, numbers_only
from integrate.errors import AlignmentError, DataError, ParameterError, some
from integrate.model.provenance import record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["read_mofa", "to_mofa"]


def to_mofa(cohort: Cohort, blocks: Sequence[str | Sequence[str]], *, group: str | None = None) -> pd.DataFrame:
    """Return the long table that ``mofapy2`` takes (``entry_point().set_data_df``), every value that is known.

    Parameters
    ----------
    cohort
        What `link` returned. Its ``to_mudata()`` is for tools that take a MuData.
    blocks
        One per view, each a name or names, as for `associate`; numbers only.
    group
        A categorical variable whose groups MOFA keeps apart; ``None``: one group. Units without it are left out.

    Returns
    -------
    Columns ``sample`` (the unit's id), ``group, feature`` (full name)``, view, value``. What is missing has no row:
    MOFA learns from the others, also where a unit lacks a whole view. Values are as they are; let MOFA scale the views.

    Raises
    ------
    DatasetNotFoundError
        If nothing has a name.
    ParameterError
        If a block is categorical, a feature is in two blocks, or `group` is a number.
    DataError
        If a view has no value.

    Examples
    --------
    >>> from integrate.datasets.toy import toy_survival
    >>> cohort, _ = toy_survival()
    >>> print(to_mofa(cohort, ["protein", "age"]).to_string(index=False))
    sample group     feature    view  value
       P01   all protein/CD8 protein   40.0
       P02   all protein/CD8 protein   30.0
       P03   all protein/CD8 protein  200.0
       P01   all         age     age   61.0
       P02   all         age     age   48.0
    """
    import numpy as np
    import pandas as pd

    codes, names = (np.zeros(len(cohort.obs), dtype=int), ["all"]) if group is None else group_codes(cohort, group)
    kept = np.flatnonzero(codes >= 0)
    parts, seen = [], set[str]()
    for block in blocks:
        chosen, view = numbers_only(choose_variables(cohort, block), "MOFA factorises numbers"), title_of(block)
        twice = seen & set(chosen.names)
        if twice:
            raise ParameterError(f"{some(twice)} would be in two views; name each feature once")
        seen |= set(chosen.names)
        values = chosen.values[kept].T
        feature, unit = np.nonzero(~np.isnan(values))
        if not len(unit):
            raise DataError(f"no unit has a value of {view!r}; leave it out")
        columns: dict[str, Any] = {"sample": cohort.obs.index.to_numpy()[kept][unit]}
        columns |= {"group": np.array(names, dtype=object)[codes[kept][unit]]}
        columns |= {"feature": np.array(chosen.names, dtype=object)[feature], "view": view}
        parts.append(pd.DataFrame(columns | {"value": values[feature, unit]}))
    record("to_mofa", study=cohort.name, blocks=[title_of(block) for block in blocks], group=group)
    return pd.concat(parts, ignore_index=True)


def read_mofa(path: str | os.PathLike[str], cohort: Cohort) -> Components:
    """Return the factors of a fitted MOFA model as components of the cohort it was made from.

    Parameters
    ----------
    path
        HDF5 file that ``mofapy2`` or R's MOFA2 saved.
    cohort
        The cohort given to `to_mofa`.

    Returns
    -------
    `Components`, rows in the cohort's order. Loadings are MOFA's weights, features by their full names. ``explained``
    has the share of the variance of each view that each factor explains, over all groups, and ``share``, their mean.

    Raises
    ------
    DataError
        If the file is no fitted model.
    AlignmentError
        If the model has units that are not of the cohort.

    Examples
    --------
    >>> from integrate.datasets.toy import toy_survival
    >>> read_mofa(tmp_path / "model.hdf5", toy_survival()[0])
    Traceback (most recent call last):
    FileNotFoundError: ...
    """
    import h5py
    import numpy as np
    import pandas as pd

    with h5py.File(path, "r") as file:
        lacks = [name for name in ("expectations/Z", "expectations/W", "samples", "features") if name not in file]
        if lacks:
            raise DataError(f"{os.fspath(path)} is no fitted MOFA model: it has no {some(lacks)}")
        scores = pd.concat([_table(file["expectations/Z"][g], file["samples"][g]) for g in file["samples"]])
        weights = pd.concat([_table(file["expectations/W"][v], file["features"][v]) for v in file["features"]])
        explained = _explained(file, scores.columns)
    strangers = scores.index.difference(cohort.obs.index)
    if len(strangers):
        raise AlignmentError(f"the model has {len(strangers)} units that are not in the cohort: {some(strangers)}")
    order = cohort.obs.index[cohort.obs.index.isin(scores.index)]
    record("read_mofa", study=cohort.name, factors=scores.shape[1])
    explained.insert(0, "share", explained.mean(axis=1) if explained.shape[1] else np.nan)
    return Components(scores.loc[order], weights, explained, 0)


def _table(values: Any, names: Any) -> pd.DataFrame:
    """Return (factors, things) as a row per thing."""
    import pandas as pd

    columns = [f"factor {place + 1}" for place in range(values.shape[0])]
    index = pd.Index([name.decode("utf-8") for name in names[()]], dtype=object)
    return pd.DataFrame(values[()].T, index=index, columns=columns)


def _explained(file: Any, factors: pd.Index[str]) -> pd.DataFrame:
    """Return the share of each view's variance that each factor explains, groups weighted by their units."""
    import numpy as np
    import pandas as pd

    place = "variance_explained/r2_per_factor"
    if place not in file:
        return pd.DataFrame(index=factors)
    views = [name.decode("utf-8") for name in file["views/views"][()]]
    sizes = {group: len(file["samples"][group]) for group in file[place]}
    percent = np.average([file[place][group][()] for group in sizes], axis=0, weights=list(sizes.values()))
    return pd.DataFrame(percent.T / 100, index=factors, columns=views)
