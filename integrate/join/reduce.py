"""How several rows of one unit become one: declared reductions, never a default."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from integrate.errors import AlignmentError, ParameterError, UnitError, closest
from integrate.model.feature import Feature, feature_table
from integrate.model.provenance import hash_settings

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.rows import Rows

__all__ = ["Composition", "Fraction", "Mean", "Median", "Quantile", "Reduction", "Step", "Steps", "parse_reduce"]


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of every feature over the rows of a unit; missing values are left out.

    Parameters
    ----------
    weights
        Column or feature that weighs the rows, e.g. ``"area_px"``; ``"n"`` is the number of rows that already stand
        behind each value. ``None`` weighs rows equally.

    Examples
    --------
    >>> Mean(weights="area_px").label
    'mean weighted by area_px'
    """

    weights: str | None = None
    columnwise: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """The reduction in words."""
        return "mean" if self.weights is None else f"mean weighted by {self.weights}"

    def apply(self, rows: Rows, codes: Any, n_groups: int) -> tuple[Any, Any, pd.DataFrame]:
        """Return values and n per group and feature, and the features."""
        from integrate.join.grouped import grouped_mean

        return *grouped_mean(rows.values, codes, n_groups, weights=_weights(rows, self.weights), n=rows.n), rows.var


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of every feature over the rows of a unit, linear between neighbours; missing values are left out.

    Parameters
    ----------
    q
        Between 0 and 1.

    Raises
    ------
    ParameterError
        If `q` is not between 0 and 1.

    Examples
    --------
    >>> Quantile(0.9).label
    'quantile 0.9'
    """

    q: float
    columnwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.q <= 1:
            raise ParameterError(f"Quantile({self.q}): give a number between 0 and 1")

    @property
    def label(self) -> str:
        """The reduction in words."""
        return f"quantile {self.q:g}"

    def apply(self, rows: Rows, codes: Any, n_groups: int) -> tuple[Any, Any, pd.DataFrame]:
        """Return values and n per group and feature, and the features."""
        from integrate.join.grouped import grouped_quantile

        return *grouped_quantile(rows.values, codes, n_groups, q=self.q, n=rows.n), rows.var


@dataclass(frozen=True, slots=True)
class Median:
    """The median of every feature over the rows of a unit; missing values are left out.

    Examples
    --------
    >>> Median().label
    'median'
    """

    columnwise: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """The reduction in words."""
        return "median"

    def apply(self, rows: Rows, codes: Any, n_groups: int) -> tuple[Any, Any, pd.DataFrame]:
        """Return values and n per group and feature, and the features."""
        return Quantile(0.5).apply(rows, codes, n_groups)


@dataclass(frozen=True, slots=True)
class Fraction:
    """The share of rows for which something is true: one new feature between 0 and 1.

    Parameters
    ----------
    of
        Column or feature. A true/false column needs nothing more.
    equals
        Value of a text or categorical column that counts, e.g. ``Fraction("cell_type", equals="T cell")``.
    above
        Threshold a number must exceed to count, e.g. ``Fraction("Ki67_mean", above=0.5)``.
    weights
        Column or feature that weighs the rows, e.g. ``"area_px"``.

    Raises
    ------
    ParameterError
        If both `equals` and `above` are given.

    Examples
    --------
    >>> Fraction("cell_type", equals="T cell").label
    'fraction cell_type=T cell'
    """

    of: str
    equals: str | None = None
    above: float | None = None
    weights: str | None = None
    columnwise: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.equals is not None and self.above is not None:
            raise ParameterError(f"Fraction({self.of!r}): give equals= or above=, not both")

    @property
    def label(self) -> str:
        """The reduction in words."""
        return f"fraction {self._name}"

    @property
    def _name(self) -> str:
        name = self.of
        if self.equals is not None:
            name = f"{self.of}={self.equals}"
        elif self.above is not None:
            name = f"{self.of}>{self.above:g}"
        return name + _suffix(self.weights)

    def apply(self, rows: Rows, codes: Any, n_groups: int) -> tuple[Any, Any, pd.DataFrame]:
        """Return values and n per group, and the new feature."""
        counted = self.counted(rows.column(self.of), rows.name)
        return _shares(rows, codes, n_groups, counted.reshape(-1, 1), [self._name], self)

    def counted(self, column: pd.Series[Any], assay: str) -> Any:
        """Return 1.0 where the row counts, 0.0 where not, NaN where unknown."""
        import pandas as pd

        missing = column.isna().to_numpy()
        if self.above is not None:
            if not pd.api.types.is_numeric_dtype(column):
                raise ParameterError(f"{assay}: {self.of!r} is not a number, so above= has no meaning; use equals=")
            true = (column > self.above).fillna(False)
        elif self.equals is not None:
            if self.equals not in set(column.dropna().astype(str)):
                known = sorted(set(column.dropna().astype(str)))
                raise ParameterError(f"{assay}: no row has {self.of} = {self.equals!r}; {closest(self.equals, known)}")
            true = column.astype(object).map(str) == self.equals
        elif set(column.dropna().unique()) <= {0, 1}:
            true = column == 1
        else:
            raise ParameterError(f"{assay}: {self.of!r} is not true/false; say what counts with equals= or above=")
        counted = true.to_numpy(dtype=float)
        counted[missing] = float("nan")
        return counted


@dataclass(frozen=True, slots=True)
class Composition:
    """The share of rows in each category of a column: one feature per category, adding up to 1.

    Parameters
    ----------
    of
        Text or categorical column, e.g. ``"cell_type"``. Declared categories that no row has are 0.
    weights
        Column or feature that weighs the rows, e.g. ``"area_px"``.

    Examples
    --------
    >>> Composition("cell_type", weights="area_px").label
    'composition of cell_type by area_px'
    """

    of: str
    weights: str | None = None
    columnwise: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The reduction in words."""
        return f"composition of {self.of}{_suffix(self.weights)}"

    def apply(self, rows: Rows, codes: Any, n_groups: int) -> tuple[Any, Any, pd.DataFrame]:
        """Return values and n per group and category, and the new features."""
        import numpy as np
        import pandas as pd

        column = rows.column(self.of)
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            raise ParameterError(f"{rows.name}: {self.of!r} holds numbers; use 'mean' or Fraction(above=...)")
        values = column.astype("category")
        counted = np.eye(len(values.cat.categories))[values.cat.codes.to_numpy()]
        counted[values.isna().to_numpy()] = np.nan
        names = [f"{self.of}={category}{_suffix(self.weights)}" for category in values.cat.categories]
        return _shares(rows, codes, n_groups, counted, names, self)


Reduction = Mean | Median | Quantile | Fraction | Composition

#: Reductions that need no parameter, by name.
NAMED: dict[str, Reduction] = {"mean": Mean(), "median": Median()}


@dataclass(frozen=True, slots=True)
class Steps:
    """A climb in several steps, so that the units of the middle step weigh equally.

    ``"mean"`` over the cells of a subject lets a field with 3,000 cells count thirty times a field with 100.
    ``Steps(acquisition="mean", subject="mean")`` first gives each field one value, then weighs fields equally.
    ``Steps(acquisition="mean", subject=Mean(weights="n"))`` is the mean over cells again.

    Parameters
    ----------
    region, acquisition, specimen, subject
        What is done to reach that level, from the finest up; the last one given must be the cohort's unit.

    Examples
    --------
    >>> Steps(acquisition="median", subject="mean").path()
    [('acquisition', 'median'), ('subject', 'mean')]
    """

    region: Any = None
    acquisition: Any = None
    specimen: Any = None
    subject: Any = None

    def path(self) -> list[tuple[str, Any]]:
        """Return the declared steps, finest level first."""
        return [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) is not None]


@dataclass(frozen=True, slots=True)
class Step:
    """One climb to one level."""

    level: str
    reductions: tuple[Reduction, ...]

    @property
    def label(self) -> str:
        """The step in words."""
        return f"{self.level}: {' + '.join(reduction.label for reduction in self.reductions)}"


def parse_reduce(declared: Any, *, unit: str, where: str) -> tuple[Step, ...]:
    """Return the steps of one assay's ``reduce=`` value.

    Parameters
    ----------
    declared
        A name (``"mean"``, ``"median"``), a reduction, a list of them (side by side), or `Steps`.
    unit
        Level the last step must reach.
    where
        Name of the assay, for messages.

    Raises
    ------
    ParameterError
        If a reduction is unknown.
    UnitError
        If the steps do not end at the unit.

    Examples
    --------
    >>> steps = parse_reduce(Steps(acquisition="median", subject="mean"), unit="subject", where="cells")
    >>> [step.label for step in steps]
    ['acquisition: median', 'subject: mean']
    """
    path = declared.path() if isinstance(declared, Steps) else [(unit, declared)]
    if not path or path[-1][0] != unit:
        last = path[-1][0] if path else "no level"
        raise UnitError(f"reduce of {where!r} ends at {last!r}, but the unit is {unit!r}; add {unit}='mean' to Steps")
    return tuple(Step(level, tuple(_reduction(one, where) for one in _listed(given))) for level, given in path)


def _shares(
    rows: Rows, codes: Any, n_groups: int, counted: Any, names: list[str], reduction: Fraction | Composition
) -> tuple[Any, Any, pd.DataFrame]:
    from integrate.join.grouped import grouped_mean

    weights = _weights(rows, reduction.weights)
    if weights is not None and weights.shape[1] != 1:
        raise ParameterError(f"{rows.name}: weights='n' belongs to a mean of values that were reduced before")
    values, n = grouped_mean(counted, codes, n_groups, weights=weights)
    definition, settings = f"integrate.join.{type(reduction).__name__}", hash_settings(reduction)
    described = [Feature(name, "1", rows.level, definition, "integrate", settings) for name in names]
    return values, n, feature_table(described)


def _suffix(weights: str | None) -> str:
    return "" if weights is None else f" by {weights}"


def _weights(rows: Rows, name: str | None) -> Any:
    """Return weights, (rows, 1) or (rows, features), or ``None`` for equal ones."""
    import numpy as np

    if name is None:
        return None
    if name == "n" and rows.n is not None:
        return rows.n.astype(float)
    weights = rows.column(name).to_numpy(dtype=float, na_value=np.nan).reshape(-1, 1)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        raise AlignmentError(
            f"{int(wrong.sum())} of {len(weights)} rows of {rows.name!r} have no weight {name!r} or a negative one; "
            "leave those rows out first"
        )
    return weights


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]


def _reduction(given: Any, where: str) -> Reduction:
    if isinstance(given, Reduction):
        return given
    if isinstance(given, str) and given in NAMED:
        return NAMED[given]
    if isinstance(given, Steps):
        raise ParameterError(f"reduce of {where!r}: Steps cannot stand inside Steps or a list")
    if given == "quantile":
        raise ParameterError(f"reduce of {where!r}: write Quantile(0.9) instead of 'quantile'")
    raise ParameterError(
        f"reduce of {where!r}: no reduction {given!r}; {closest(given, NAMED)}, Quantile, Fraction, Composition, Steps"
    )
