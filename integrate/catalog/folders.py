"""A folder that is one thing as a whole: a Zarr store, or what a vendor's software wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["look_into_folder"]

Facts = dict[str, Any]

#: What a listing says the modality of a vendor's folder is.
MODALITY: dict[str, str] = {
    "isatab": "metadata",
    "visium": "visium",
    "visium_hd": "visiumhd",
    "xenium": "xenium",
    "merscope": "merscope",
    "cosmx": "cosmx",
    "steinbock": "IMC",
    "stereoseq": "stereoseq",
    "codex": "CODEX",
    "slideseq": "slideseq",
    "spatial_transcriptomics": "ST",
}
ZARR: frozenset[str] = frozenset({".zattrs", ".zgroup", "zarr.json"})
#: Units of length as OME-Zarr writes them, in micrometres.
MICROMETRES: dict[str, float] = {
    **{"micrometer": 1.0, "micrometre": 1.0, "um": 1.0, "µm": 1.0},
    **{"nanometer": 1e-3, "nanometre": 1e-3, "millimeter": 1e3, "millimetre": 1e3, "meter": 1e6, "metre": 1e6},
}


def look_into_folder(folder: Path, names: Iterable[str], inside: Iterable[str]) -> Facts | None:
    """Return what a folder is as a whole and says of itself, ``None`` when it is just a folder.

    Parameters
    ----------
    folder
        Where it is.
    names, inside
        Names of the files and the folders in it.

    Returns
    -------
    ``kind`` and, where the folder says so, ``modality``, ``channels``, ``shape``, ``pixel_size_um``; ``undecided``.
    """
    have, folders = set(names), set(inside)
    if have & ZARR:
        return _zarr(folder, folders)
    kind = _vendor(have, folders)
    return None if kind is None else {"kind": kind, "modality": MODALITY[kind]}


def _vendor(have: set[str], folders: set[str]) -> str | None:
    if "experiment.xenium" in have:
        return "xenium"
    if "binned_outputs" in folders:
        return "visium_hd"
    if "spatial" in folders and ("filtered_feature_bc_matrix.h5" in have or "filtered_feature_bc_matrix" in folders):
        return "visium"
    if "cell_by_gene.csv" in have and "detected_transcripts.csv" in have:
        return "merscope"
    if any("_fov_positions_file.csv" in name for name in have) and any("_tx_file" in name for name in have):
        return "cosmx"
    if "panel.csv" in have and "img" in folders and folders & {"masks", "intensities", "regionprops"}:
        return "steinbock"
    if folders & {"feature_expression", "04.tissuecut"} or any(name.endswith((".gef", ".gem.gz")) for name in have):
        return "stereoseq"
    if {"channelnames.txt", "experiment.json"} <= {name.lower() for name in have}:
        return "codex"
    if any("beadlocations" in name.lower().replace("_", "") for name in have):
        return "slideseq"
    if sum("stdata" in name for name in have) == 1:
        return "spatial_transcriptomics"
    if any(name.startswith("i_") and name.endswith(".txt") for name in have):
        return "isatab"
    return None


def _zarr(folder: Path, folders: set[str]) -> Facts:
    """Return what a Zarr group says in its attributes; no array is opened."""
    said = _attributes(folder)
    if "spatialdata_attrs" in said or folders >= {"tables", "images"} or folders >= {"shapes", "images"}:
        return {"kind": "spatialdata", "modality": ""}
    encoding = str(said.get("encoding-type", "")).lower()
    if encoding in ("anndata", "mudata"):
        told = "keys: which obs column, or obs_names, holds which ids?"
        return {"kind": f"{encoding}_zarr", "undecided": [told]}
    inner = _part(said)
    if "plate" in inner:
        return {"kind": "ome_zarr_plate"}
    if "bioformats2raw.layout" in inner and (folder / "0").is_dir():
        inner = _part(_attributes(folder / "0"))
        said = _attributes(folder / "0")
    scales = inner.get("multiscales")
    if not isinstance(scales, list) or not scales or not isinstance(scales[0], Mapping):
        return {"kind": "zarr", "undecided": ["a Zarr store that says neither OME, SpatialData nor AnnData"]}
    channels = _channels(inner)
    told = f"modality: IF, IMC or MIBI? {len(channels)} channels named" if channels else "modality: the store has none"
    facts: Facts = {"kind": "ome_zarr", "channels": channels, "undecided": [told]}
    size = _pixel_size(scales[0])
    if size is None:
        return facts
    return {**facts, "pixel_size_um": size, "spacing": dict(zip("yx", size, strict=True)), "unit": "um"}


def _attributes(folder: Path) -> Facts:
    """Return the attributes of a Zarr group, version 2 or 3; none when they are no mapping."""
    for name, key in (("zarr.json", "attributes"), (".zattrs", "")):
        path = folder / name
        if path.is_file() and path.stat().st_size < 20_000_000:
            found = json.loads(path.read_text(encoding="utf-8"))
            found = found.get(key) if key and isinstance(found, Mapping) else found
            return dict(found) if isinstance(found, Mapping) else {}
    return {}


def _part(said: Facts) -> Facts:
    """Return what stands under ``ome`` since version 0.5, and at the top before."""
    ome = said.get("ome")
    return dict(ome) if isinstance(ome, Mapping) else said


def _channels(said: Facts) -> list[str]:
    shown = said.get("omero")
    listed = shown.get("channels") if isinstance(shown, Mapping) else None
    named = [one.get("label") for one in listed or [] if isinstance(one, Mapping)]
    return [str(name) for name in named] if named and all(named) else []


def _pixel_size(scales: Mapping[str, Any]) -> list[float] | None:
    """Return the ``y, x`` edge of a pixel of the largest level, where axes and units say it."""
    axes = [one for one in scales.get("axes") or [] if isinstance(one, Mapping)]
    datasets = scales.get("datasets")
    first = datasets[0] if isinstance(datasets, list) and datasets and isinstance(datasets[0], Mapping) else {}
    factors = [1.0] * len(axes)
    for holder in (first, scales):
        for one in holder.get("coordinateTransformations") or []:
            if isinstance(one, Mapping) and one.get("type") == "scale" and len(one.get("scale") or []) == len(axes):
                factors = [a * float(b) for a, b in zip(factors, one["scale"], strict=True)]
    sizes = {
        str(axis.get("name")): factor * MICROMETRES[str(axis.get("unit"))]
        for axis, factor in zip(axes, factors, strict=True)
        if str(axis.get("unit")) in MICROMETRES
    }
    return [sizes["y"], sizes["x"]] if {"y", "x"} <= set(sizes) else None
