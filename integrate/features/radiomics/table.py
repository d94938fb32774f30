"""The table of measured lesions, with unit and origin of every column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from integrate.features.radiomics.filters import Filter
from integrate.features.radiomics.nomenclature import Definition, define
from integrate.features.radiomics.process import Lesion
from integrate.features.radiomics.settings import FixedBinNumber, Radiomics
from integrate.keys import ATTRS, INSTANCE_ID
from integrate.model.feature import Feature, feature_table

if TYPE_CHECKING:
    import anndata as ad
    import numpy as np

__all__ = ["Column", "define_columns", "make_lesion_table"]

_REGION = "region"


class Column(NamedTuple):
    """One measured column: what it is, how it is aggregated (``""`` for not), and of the response to which filter."""

    feature: Definition
    how: str
    filter: Filter | None

    @property
    def name(self) -> str:
        """Filter, IBSI tag and aggregation."""
        return "_".join(one for one in (self.filter.name if self.filter else "", self.feature.tag, self.how) if one)

    @property
    def definition(self) -> str:
        """IBSI ids of the feature and of the filter."""
        return f"IBSI:{self.feature.ibsi}" + (f" of IBSI:{self.filter.ibsi}" if self.filter else "")

    @property
    def statistic(self) -> str:
        """The definition in words."""
        words = f"{self.feature.words}, {self.how}" if self.how else self.feature.words
        return f"{words}, of {self.filter!r}" if self.filter else words


def define_columns(settings: Radiomics) -> list[Column]:
    """Return every column that `settings` ask for, in the order in which values are measured."""
    plain = [Column(*pair, None) for family in settings.families for pair in define(family, settings.textures)]
    filtered = [
        Column(*pair, one)
        for one in settings.filters
        for family in settings.filter_families
        for pair in define(family, settings.textures)
    ]
    return plain + filtered


def make_lesion_table(
    labels: Sequence[int],
    names: Mapping[int, str],
    lesions: Sequence[Lesion],
    rows: Sequence[np.ndarray[Any, Any]],
    settings: Radiomics,
    *,
    region: str,
    notes: Mapping[str, Any],
    ids: Mapping[str, str],
    centres: np.ndarray[Any, Any],
) -> ad.AnnData:
    """Return one row per lesion; the same form as the tables of `integrate.features.measure.measure`."""
    import anndata as ad
    import numpy as np
    import pandas as pd

    number = len(labels)
    obs = pd.DataFrame(
        {
            INSTANCE_ID: np.array(labels, np.int64),
            "name": np.array([names.get(label, "") for label in labels], object),
            _REGION: pd.Categorical([region] * number, categories=[region]),
            **{key: pd.Categorical([value] * number, categories=[value]) for key, value in ids.items()},
            **{name: np.array([getattr(one, name) for one in lesions], np.int64) for name in _COUNTS},
            "reason": np.array([one.reason for one in lesions], object),
        },
        index=pd.Index([f"{region}:{label}" for label in labels], dtype=object),
    )
    features = _features(settings, notes)
    x = np.array(rows).reshape(number, len(features))
    table = ad.AnnData(X=x, obs=obs, var=feature_table(features), obsm={"spatial": centres})
    table.uns[ATTRS] = dict(notes)
    annotated = region if number else []  # SpatialData refuses a region that no row names
    table.uns["spatialdata_attrs"] = {"region": annotated, "region_key": _REGION, "instance_key": INSTANCE_ID}
    return table


_COUNTS = ("n_voxels", "n_measured", "n_nan")


def _features(settings: Radiomics, notes: Mapping[str, Any]) -> list[Feature]:
    levelled = isinstance(settings.ivh_bins, FixedBinNumber)
    origin = {key: notes[key] for key in ("tool", "settings_hash", "input_hash")}
    return [
        Feature(
            name=one.name,
            unit=_unit(one.feature, notes["intensity_unit"], levelled=levelled and one.filter is None),
            level="instance",
            definition=one.definition,
            statistic=one.statistic,
            **origin,
        )
        for one in define_columns(settings)
    ]


def _unit(one: Definition, intensity: str, *, levelled: bool) -> str:
    """Return the UCUM code; ``""`` where it hangs on an intensity whose unit the image does not say."""
    if one.unit not in ("i", "i2", "i*mm3", "g"):
        return one.unit
    if one.unit == "g" and levelled:
        return "1"
    if not intensity:
        return ""
    if intensity == "1":
        return "mm3" if one.unit == "i*mm3" else "1"
    return {"i": intensity, "g": intensity, "i2": f"({intensity})2", "i*mm3": f"({intensity}).mm3"}[one.unit]
