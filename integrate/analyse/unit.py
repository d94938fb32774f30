"""The unit of an analysis: what one observation is, checked against what the rows of a cohort are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from integrate.errors import ParameterError, UnitError, closest
from integrate.keys import LEVELS, SUBJECT_ID

if TYPE_CHECKING:
    from integrate.join.cohort import Cohort

__all__ = ["check_choice", "check_repeated", "check_rows", "check_unit"]


def check_unit(cohort: Cohort, unit: str, *, independent: bool = True) -> Any:
    """Return the subject of each row as integers, after checking that a row is one unit.

    Parameters
    ----------
    cohort, unit
        What is analysed, and what one observation of it is said to be.
    independent
        Whether rows are counted as independent evidence, so that a subject may have one only; a description may not
        care.
    """
    import numpy as np
    import pandas as pd

    order = list(LEVELS)
    check_choice("unit", unit, tuple(order))
    key = LEVELS[unit]
    if order.index(unit) > order.index(cohort.unit):
        raise UnitError(f"the cohort's rows are {cohort.unit}s, coarser than {unit!r}; link with unit={unit!r}")
    index = cohort.obs.index.to_series()
    if unit != cohort.unit and key not in cohort.obs:
        raise UnitError(f"the cohort's {cohort.unit}s do not say their {key}; link with unit={unit!r}")
    owners = index if unit == cohort.unit else cohort.obs[key]
    if unit != cohort.unit and owners.duplicated().any():
        raise UnitError(
            f"the cohort has {len(owners)} {cohort.unit}s of {owners.nunique()} {unit}s; counting them all as {unit}s "
            f"would make chance look like a finding. Link with unit={unit!r} and reduce=..., or use "
            f"reduce_units(cohort, unit={unit!r}), or mixed_model(unit={cohort.unit!r}, random='subject')"
        )
    subjects = cohort.obs.get(SUBJECT_ID, index)
    if independent and subjects.duplicated().any():
        raise UnitError(
            f"{len(subjects)} {unit}s of {subjects.nunique()} subjects are no independent evidence: one subject's are "
            "alike, and p-values would be too small. Link with unit='subject' and reduce=..., or use "
            f"reduce_units(cohort), or mixed_model(unit={unit!r}, random='subject')"
        )
    return np.asarray(pd.factorize(subjects)[0])


def check_rows(cohort: Cohort, unit: str) -> None:
    """Raise unless the rows of a cohort are what `unit` says; several may belong to one subject."""
    check_choice("unit", unit, tuple(LEVELS))
    if unit != cohort.unit:
        raise UnitError(f"the cohort's rows are {cohort.unit}s, not {unit}s; say unit={cohort.unit!r}")


def check_repeated(cohort: Cohort, unit: str) -> None:
    """Raise unless the rows of a cohort are what `unit` says, and some subject has several."""
    check_rows(cohort, unit)
    if SUBJECT_ID not in cohort.obs or not cohort.obs[SUBJECT_ID].duplicated().any():
        raise UnitError(f"no subject has two {unit}s: nothing is random; use associate(unit='subject')")


def check_choice(argument: str, given: str, options: Sequence[str]) -> None:
    """Raise when an argument is none of its options; the closest is named."""
    if given not in options:
        error = UnitError if argument == "unit" else ParameterError
        raise error(f"no {argument} {given!r}; {closest(given, options)}")
