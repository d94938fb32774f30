"""The groups that the units of a cohort fall into, as integers: by a variable, by strata, by clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from integrate.analyse.variables import choose_variables
from integrate.errors import ParameterError, warn

if TYPE_CHECKING:
    from integrate.join.cohort import Cohort

__all__ = ["cluster_codes", "group_codes", "strata_codes"]

#: With fewer clusters sandwich errors are too small: one in eight or ten null results is found at 5 %.
FEW_CLUSTERS = 40


def group_codes(cohort: Cohort, name: str) -> tuple[Any, list[str]]:
    """Return the position of each unit's group, -1 where missing, and the groups' names.

    Raises
    ------
    ParameterError
        If the variable is a number, or several variables.
    """
    import numpy as np

    variables = choose_variables(cohort, name)
    if variables.numeric or len(variables.categories) != 1:
        raise ParameterError(f"{name!r} is not one categorical variable; make groups of a number first (pandas.cut)")
    column = variables.categories[0].cat.remove_unused_categories()
    return column.cat.codes.to_numpy(dtype=np.int64), [str(category) for category in column.cat.categories]


def cluster_codes(cohort: Cohort, cluster: str | None) -> Any:
    """Return the cluster of each unit as integers, -1 where it is missing; none when there are no clusters."""
    import numpy as np
    import pandas as pd

    if cluster is None:
        return np.zeros(0, dtype=np.int64)
    own = cluster == cohort.obs.index.name
    codes, names = pd.factorize(cohort.obs.index if own else cohort.values(cluster))
    if len(names) < FEW_CLUSTERS:
        warn(f"robust errors of {len(names)} clusters are too small; they need about {FEW_CLUSTERS}")
    return codes.astype(np.int64)


def strata_codes(cohort: Cohort, names: str | Sequence[str]) -> Any:
    """Return the stratum of each unit as integers, -1 where one of the variables is missing."""
    import numpy as np

    together = np.zeros(len(cohort.obs), dtype=np.int64)
    for name in [names] if isinstance(names, str) else names:
        codes, groups = group_codes(cohort, name)
        together = np.where((together < 0) | (codes < 0), -1, together * len(groups) + codes)
    return together
