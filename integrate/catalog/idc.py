"""Collections of the Imaging Data Commons, taken from its index of all series."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from integrate.catalog.registry import qualified_reader
from integrate.catalog.scan import READERS
from integrate.catalog.write import catalog_text, write_text_whole
from integrate.errors import CatalogError, DataError, DatasetNotFoundError, SourceNotFoundError, closest, some

__all__ = ["import_idc"]

#: What the index calls its licences, as SPDX says it.
LICENCES: dict[str, str] = {
    "CC BY 4.0": "CC-BY-4.0",
    "CC BY 3.0": "CC-BY-3.0",
    "CC BY-NC 4.0": "CC-BY-NC-4.0",
    "CC BY-NC 3.0": "CC-BY-NC-3.0",
}
QUERY = """
SELECT SeriesInstanceUID AS item, PatientID AS subject_id, Modality AS modality, collection_id AS collection,
    StudyInstanceUID AS study_uid, rtrim(series_aws_url, '/*') AS path, license_short_name AS licence,
    source_DOI AS doi, CAST(instanceCount AS VARCHAR) AS files, CAST(series_size_MB AS VARCHAR) AS size_mb
FROM index WHERE list_contains(?, collection_id) ORDER BY collection_id, subject_id, modality, item
"""


def import_idc(index: Path, folder: Path, *, collections: Iterable[str]) -> Path:
    """Write a catalog of public series, one dataset per modality, from the index of the Imaging Data Commons.

    Parameters
    ----------
    index
        ``idc_index.parquet``, which comes with the package ``idc-index-data``.
    folder
        Where ``catalog.yaml`` and ``assets.parquet`` are written.
    collections
        Names of collections, e.g. ``["tcga_luad"]``.

    Returns
    -------
    The catalog's path. Nothing of the images is fetched; each is when it is loaded. Series of a modality for which no
    reader is installed are in the table and in no dataset. Dates are left out.

    Raises
    ------
    SourceNotFoundError
        If there is no index.
    DatasetNotFoundError
        If a collection is not in it; the closest are given.
    DataError
        If it is not such an index.
    CatalogError
        If a catalog is there already.
    """
    import duckdb
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    index, folder, wanted = Path(index), Path(folder), sorted(set(collections))
    if not index.is_file():
        raise SourceNotFoundError(f"no index at {str(index)!r}; it comes with `pip install idc-index-data`")
    catalog = folder / "catalog.yaml"
    if catalog.exists() or (folder / "assets.parquet").exists():
        raise CatalogError(f"there is a catalog in {folder.name!r} already; give another folder")
    with duckdb.connect() as connection:
        try:
            connection.from_parquet(str(index)).create_view("index")
            known = [row[0] for row in connection.execute("SELECT DISTINCT collection_id FROM index").fetchall()]
            absent = [name for name in wanted if name not in known]
            if absent or not wanted:
                name = absent[0] if absent else ""
                raise DatasetNotFoundError(f"no collection {name!r} in the index; {closest(name, sorted(known))}")
            table: Any = connection.sql(QUERY, params=[wanted]).to_arrow_table()
        except duckdb.Error as error:
            raise DataError(f"{index.name} is not an index of the Imaging Data Commons: {error}") from error
    spdx = [LICENCES.get(name, f"LicenseRef-{_plain(name)}") for name in table["licence"].to_pylist()]
    table = table.set_column(table.schema.get_field_index("licence"), "licence", [spdx])
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "assets.parquet")
    modalities = sorted(pc.unique(table["modality"]).to_pylist())
    entries = {name: entry for modality in modalities for name, entry in _entry(modality)}
    document = {
        "version": 2,
        "metadata": {
            "name": "-".join(wanted) if len(wanted) < 4 else f"idc-{len(wanted)}-collections",
            "description": f"Imaging Data Commons: {some(wanted)}; licence and DOI stand with each series",
            "access": "open",
        },
        "entries": entries,
    }
    write_text_whole(catalog, catalog_text(document, where=catalog.name))
    return catalog


def _entry(modality: str) -> list[tuple[str, dict[str, Any]]]:
    reader = next((one for one in READERS.get(modality, READERS["dicom"]) if qualified_reader(one)), None)
    if reader is None:
        return []
    item = {
        "reader": reader,
        "url": "<path>",
        "storage_options": {"anon": True},
        "ids": {"subject_id": "<subject_id>", "dicom_patient": "<subject_id>"},
    }
    kwargs = {"url": "{CATALOG_DIR}/assets.parquet", "where": {"modality": modality}, "key": "item", "item": item}
    metadata = {"description": f"All {modality} series", "modality": modality, "level": "acquisition"}
    return [(modality.lower(), {"reader": "AssetTable", "kwargs": kwargs, "metadata": metadata})]


def _plain(name: str | None) -> str:
    kept = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in name or "unknown")
    return "-".join(part for part in kept.split("-") if part)
