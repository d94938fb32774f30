"""What a measured column is: its unit, level, definition and origin, in a form that survives every file format."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEATURE_COLUMNS", "Feature", "feature_table"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One measured column.

    Parameters
    ----------
    name
        Column name, unique within its table, e.g. ``"CD45_mean"`` or ``"area_um2"``.
    unit
        UCUM code: ``"um2"``, ``"[pix]"``, ``"1"`` for a ratio, ``"{counts}"``; ``""`` when the source does not say.
    level
        What one row is: ``"subject"``, ``"specimen"``, ``"acquisition"``, ``"region"`` or ``"instance"``.
    definition
        IBSI id, CURIE or the measuring function, e.g. ``"IBSI:Q4LE"``.
    tool
        Package and version that measured it.
    settings_hash, input_hash
        Hashes of the settings and of the inputs; equal hashes mean an equal computation.
    channel, statistic
        For image features: which channel and which statistic; otherwise ``""``.
    """

    name: str
    unit: str
    level: str
    definition: str
    tool: str = ""
    settings_hash: str = ""
    input_hash: str = ""
    channel: str = ""
    statistic: str = ""


FEATURE_COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Feature) if field.name != "name")


def feature_table(features: Iterable[Feature]) -> pd.DataFrame:
    """Return one row per feature, index ``name``: the ``var`` of an AnnData.

    Every column holds strings without missing values, so h5ad, zarr and Parquet keep it unchanged.

    Raises
    ------
    DataError
        If two features share a name.

    Examples
    --------
    >>> feature_table([Feature("area_um2", "um2", "instance", "IBSI:6Q3T")]).loc["area_um2", "unit"]
    'um2'
    """
    import pandas as pd

    from integrate.errors import DataError, some

    features = list(features)
    names = [feature.name for feature in features]
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise DataError(f"two features have the same name: {some(repeated)}; rename one of the channels")
    columns = {key: [getattr(one, key) for one in features] for key in FEATURE_COLUMNS}
    return pd.DataFrame(columns, index=pd.Index(names, dtype=object), dtype=object)
