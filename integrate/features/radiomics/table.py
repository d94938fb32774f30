"""The table of measured lesions, with unit and origin of every column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrate.features.radiomics.nomenclature import Definition, define
from integrate.features.radiomics.process import Lesion
from integrate.features.radiomics.settings import FixedBinNumber, Radiomics
from integrate.keys import ATTRS, INSTANCE_ID
from integrate.model.feature import Feature, feature_table

if TYPE_CHECKING:
    import anndata as ad
    import numpy as np

__all__ = ["make_lesion_table"]

_REGION = "region"


def make_lesion_table(
    labels: Sequence[int],
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
            name=f"{one.tag}_{how}" if how else one.tag,
            unit=_unit(one, notes["intensity_unit"], levelled=levelled),
            level="instance",
            definition=f"IBSI:{one.ibsi}",
            statistic=f"{one.words}, {how}" if how else one.words,
            **origin,
        )
        for family in settings.families
        for one, how in define(family, settings.textures)
    ]


def _unit(one: Definition, intensity: str, *, levelled: bool) -> str:
    """Return the UCUM code; ``""`` where it hangs on an intensity whose unit the image does not say."""
    if one.unit not in ("i", "i2", "i*mm3", "g"):
        return one.unit
    if one.unit == "g" and levelled:
        return "1"
    if not intensity:
        return ""
    return {"i": intensity, "g": intensity, "i2": f"({intensity})2", "i*mm3": f"({intensity}).mm3"}[one.unit]
