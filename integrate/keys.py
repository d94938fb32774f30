"""The words of the package: one name for each identifier, level and attribute, used in every room."""

from __future__ import annotations

from typing import Final

SUBJECT_ID: Final = "subject_id"
SPECIMEN_ID: Final = "specimen_id"
ACQUISITION_ID: Final = "acquisition_id"
REGION_ID: Final = "region_id"
INSTANCE_ID: Final = "instance_id"
VISIT: Final = "visit"
DAY: Final = "day"
MODALITY: Final = "modality"

#: Levels of observation, from the person down to the cell, with the id that names a row of that level.
LEVELS: Final[dict[str, str]] = {
    "subject": SUBJECT_ID,
    "specimen": SPECIMEN_ID,
    "acquisition": ACQUISITION_ID,
    "region": REGION_ID,
    "instance": INSTANCE_ID,
}

#: Id columns a sample-map row may carry, most general first.
ID_COLUMNS: Final[tuple[str, ...]] = (SUBJECT_ID, SPECIMEN_ID, ACQUISITION_ID, REGION_ID)

#: Key under which we keep our notes in ``attrs`` (xarray, SpatialData) and ``uns`` (AnnData).
ATTRS: Final = "integrate"

#: Texts of a table that mean "missing" unless its catalog says otherwise; not the clinical words ("unknown").
MISSING_TEXTS: Final[tuple[str, ...]] = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
