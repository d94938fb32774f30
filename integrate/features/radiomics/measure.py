"""Measuring lesions: from a volume and a mask to a table with one row per lesion."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, DatasetNotFoundError, ParameterError, closest, some
from integrate.features.grid import shared_ids
from integrate.features.radiomics.families import explain, measure_region
from integrate.features.radiomics.grid import Pose, VoxelGrid, read_grid
from integrate.features.radiomics.perturb import Inputs, Perturbation
from integrate.features.radiomics.process import Lesion, Scene, make_scene, process_region, process_response
from integrate.features.radiomics.settings import Radiomics
from integrate.features.radiomics.table import define_columns, make_lesion_table
from integrate.keys import ATTRS
from integrate.model.image import image_notes
from integrate.model.progress import follow
from integrate.model.provenance import hash_array, hash_settings, record

if TYPE_CHECKING:
    import anndata as ad
    import geopandas as gpd
    import numpy as np
    import xarray as xr

__all__ = ["measure_perturbed", "measure_radiomics"]


def measure_radiomics(
    volume: xr.DataArray,
    mask: xr.DataArray | gpd.GeoDataFrame,
    *,
    settings: Radiomics = Radiomics(),  # noqa: B008 - a frozen record
    labels: Sequence[int | str] | None = None,
    region: str | None = None,
    threads: int | None = None,
) -> ad.AnnData:
    """Return one row per lesion with its radiomics features, as the Image Biomarker Standardisation Initiative defines.

    Parameters
    ----------
    volume
        Intensities, dims ``(z, y, x)``, as `integrate.readers.dicom` returns them: voxel size in mm from
        ``attrs["integrate"]["affine_lps"]``, else from z, y and x coordinates in mm. NaN is "no intensity".
    mask
        Labels, dims ``(z, y, x)``: 0 is background, every other value one lesion; a boolean mask is lesion 1. On the
        grid of `volume` or another one of the same patient; it is never the volume that is moved. `DicomSeg` gives such
        labels with names. Or the contours that `RtStruct` gives: each structure is a lesion, and they may overlap.
    settings
        Image processing, grey levels, families: see `Radiomics`.
    labels
        Lesions to measure, by label or by name; by default all that occur. A label that does not occur is a row of NaN
        with a reason.
    region
        Name of the mask, to which rows belong. By default the ``region_id``, else the ``acquisition_id`` the arrays
        carry, else ``"lesions"``.
    threads
        How many lesions are measured at a time; by default one per processor. Memory grows with it, results do not
        depend on it.

    Returns
    -------
    AnnData, lesions in ascending order of label (or as in `labels`) by features, float64.

    - ``obs``: ``instance_id`` (the label), ``name`` (``""`` where the mask names none), ``region``, ids, ``n_voxels``
      (of the morphological mask, after interpolation), ``n_measured`` (of them, with an intensity that counts),
      ``n_nan`` (of them, without intensity) and ``reason``: why features are missing, or that the lesion is cut off by
      the edge of the image.
    - ``var``: IBSI tags such as ``cm_joint_max_3D_comb``, after the name of a filter such as ``log_1.5mm_stat_mean``,
      with unit, IBSI ids, words, settings and input hash.
    - ``obsm["spatial"]``: centres of mass ``x, y, z`` in mm, in patient coordinates where the volume states them.
    - ``uns["integrate"]``: ids, settings, hashes, the grid of measurement and what `normalise_intensity` did before.

    NaN is a feature that is not defined for a lesion. Without any lesion the table has no rows.

    Raises
    ------
    DataError
        If an array is no volume, or the mask does not hold labels.
    UnitError
        If the size of voxels in mm is unknown.
    AlignmentError
        If nothing says how mask and volume lie to each other.
    IdentityError
        If they carry different ids.
    ParameterError
        If `threads` is below 1 or `labels` repeat.
    DatasetNotFoundError
        If no lesion has a wanted name.

    Notes
    -----
    In ``2D`` aggregations a slice without a matrix, or for which a feature is undefined, is left out of the mean.
    Rounding half a level is that of numpy (to even). All voxels of the volume are held in memory once, besides a copy
    of the box around each lesion that is being measured.

    Examples
    --------
    >>> from integrate.features.radiomics.phantom import digital_phantom
    >>> image, mask = digital_phantom()
    >>> lesion = measure_radiomics(image, mask, settings=ig.Radiomics(ig.FixedBinSize(1)))
    >>> float(lesion[:, "stat_mean"].X[0, 0].round(2))
    2.15
    >>> lesion.var.loc["stat_mean", "definition"]
    'IBSI:Q4LE'
    """
    import xarray as xr

    if not isinstance(mask, xr.DataArray):
        return _measure_structures(volume, mask, settings, labels, region, threads)
    inputs = _load(volume, mask, labels, threads)
    name = region or inputs.region
    table = _measure_table(inputs, settings, name, threads)
    _record(table, name)
    return table


def measure_perturbed(
    volume: xr.DataArray,
    mask: xr.DataArray,
    perturbations: Sequence[Perturbation],
    *,
    settings: Radiomics,
    labels: Sequence[int | str] | None = None,
    region: str | None = None,
    threads: int | None = None,
) -> ad.AnnData:
    """Return the features of every lesion once for each perturbation of image and outline, to see which are repeatable.

    Parameters
    ----------
    volume, mask, labels, region, threads
        As for `measure_radiomics`.
    perturbations
        What to change; ``Perturbation()`` changes nothing. `Perturbation.every` crosses lists of changes.
    settings
        As for `measure_radiomics`. Turning and shifting interpolate, so they need `resample`.

    Returns
    -------
    AnnData like that of `measure_radiomics`, with a row per perturbation and lesion: ``obs["perturbation"]`` names it,
    ``obs["lesion"]`` the region and label. `icc` of ``lesion`` by ``perturbation`` tells which features repeat.

    Raises
    ------
    ParameterError
        If `perturbations` are none or repeat, or one interpolates without `resample`.
    IntegrateError
        As `measure_radiomics`.

    Notes
    -----
    Zwanenburg et al., Scientific Reports 2019. Turns and shifts move the grid of measurement, so that image and mask
    are interpolated once.

    Examples
    --------
    >>> from integrate.features.radiomics.phantom import digital_phantom
    >>> image, mask = digital_phantom()
    >>> changes = Perturbation.every(shift=[0, 0.5], noise=[0, 1])
    >>> table = measure_perturbed(image, mask, changes, settings=ig.Radiomics(resample=ig.Resample(2)))
    >>> table.obs["perturbation"].tolist()
    ['none', 'noise1', 'shift0.5', 'shift0.5_noise1']
    """
    import anndata as ad

    names = [one.name for one in perturbations]
    if not names or len(set(names)) < len(names):
        raise ParameterError(f"perturbations are {names}; expected one or more, each once")
    moving = [one.name for one in perturbations if one.pose != Pose()]
    if moving and settings.resample is None:
        raise ParameterError(f"{some(moving)} interpolate: say how with settings=Radiomics(resample=Resample(...))")
    inputs = _load(volume, mask, labels, threads)
    name = region or inputs.region
    tables = []
    for one in follow(perturbations, "perturbations"):
        table = _measure_table(one.change(inputs), settings, name, threads, one.pose)
        table.obs["lesion"] = table.obs_names.astype(object)
        table.obs["perturbation"] = one.name
        table.obs_names = [f"{lesion}:{one.name}" for lesion in table.obs_names]
        tables.append(table)
    together = ad.concat(tables, merge="same")
    together.uns[ATTRS] = {**tables[0].uns[ATTRS], "perturbations": [repr(one) for one in perturbations]}
    _record(together, name)
    return together


def _measure_structures(
    volume: xr.DataArray,
    structures: gpd.GeoDataFrame,
    settings: Radiomics,
    names: Sequence[int | str] | None,
    region: str | None,
    threads: int | None,
) -> ad.AnnData:
    """Return one row per structure, each drawn on the volume's grid by itself as they may overlap."""
    import anndata as ad

    from integrate.readers.rtstruct import CLOSED, label_structures

    if "roi_name" not in structures:
        raise DataError(f"the mask is a {type(structures).__name__}; expected labels (z, y, x) or contours of RtStruct")
    known = list(dict.fromkeys(structures.loc[structures["kind"].isin(CLOSED), "roi_name"]))
    tables = []
    for number, structure in enumerate(known, start=1):
        if names is None or structure in names or number in names:
            drawn = label_structures(structures, volume, names=[structure]) * number
            drawn.attrs[ATTRS] = {**image_notes(volume), "labels": {str(number): structure}}
            inputs = _load(volume, drawn, [number], threads)
            tables.append(_measure_table(inputs, settings, region or inputs.region, threads))
    lost = [one for one in names or () if one not in known and one not in range(1, len(known) + 1)]
    if lost or not tables:
        raise DatasetNotFoundError(f"no structure named {some(lost)}; {closest(str((lost or [''])[0]), known)}")
    table = ad.concat(tables, merge="first")
    together = hash_settings([one.uns[ATTRS]["input_hash"] for one in tables])
    table.var["input_hash"] = together
    table.uns.update({**tables[0].uns, ATTRS: {**tables[0].uns[ATTRS], "input_hash": together}})
    _record(table, table.obs["region"].iloc[0])
    return table


def _load(volume: xr.DataArray, mask: xr.DataArray, labels: Sequence[int | str] | None, threads: int | None) -> Inputs:
    """Return image and labels in memory, checked."""
    if threads is not None and threads < 1:
        raise ParameterError(f"threads is {threads}; expected 1 or more, or None for one per processor")
    from integrate.features.radiomics.label_kernels import find_boxes

    grids = read_grid(volume, what="volume"), read_grid(mask, what="mask")
    ids = shared_ids(volume, mask)
    image, drawn = _load_image(volume), _load_labels(mask)
    boxes = find_boxes(drawn)
    names = {int(label): str(name) for label, name in image_notes(mask).get("labels", {}).items()}
    wanted = _wanted(labels, boxes[0].tolist(), names, boolean=mask.dtype.kind == "b")
    input_hash = hash_settings([hash_array(image), asdict(grids[0]), hash_array(drawn), asdict(grids[1])])
    return Inputs(image, grids[0], drawn, grids[1], boxes, wanted, names, ids, image_notes(volume), input_hash)


def _measure_table(
    inputs: Inputs,
    settings: Radiomics,
    name: str,
    threads: int | None,
    pose: Pose = Pose(),  # noqa: B008
) -> ad.AnnData:
    import numpy as np

    scene = make_scene(inputs.image, inputs.image_grid, inputs.drawn, inputs.mask_grid, settings, pose)
    boxes = {int(label): (ends[:3], ends[3:]) for label, ends in zip(*inputs.boxes, strict=True)}
    rows = _measure_all(scene, inputs.labels, boxes, settings, threads)
    return make_lesion_table(
        inputs.labels,
        inputs.names,
        [lesion for lesion, _, _ in rows],
        [row for _, row, _ in rows],
        settings,
        region=name,
        notes=_notes(inputs, scene.grid, settings),
        ids=inputs.ids,
        centres=np.array([centre for _, _, centre in rows]).reshape(len(rows), 3),
    )


def _record(table: ad.AnnData, name: str) -> None:
    notes = table.uns[ATTRS]
    events = {key: notes[key] for key in ("tool", "settings", "settings_hash", "input_hash")}
    record("measure", region=name, ids=notes["ids"], instances=table.n_obs, features=table.n_vars, **events)


def _load_image(volume: xr.DataArray) -> np.ndarray[Any, Any]:
    import numpy as np

    if volume.dtype.kind not in "buif":
        raise DataError(f"voxels are {volume.dtype}; expected numbers")
    return np.ascontiguousarray(volume.values)


def _load_labels(mask: xr.DataArray) -> np.ndarray[Any, Any]:
    """Return labels as integers; NIfTI masks are often floats that hold whole numbers."""
    import numpy as np

    drawn = np.ascontiguousarray(mask.values)
    if drawn.dtype.kind == "b":
        return drawn.view(np.uint8)
    if drawn.dtype.kind == "f":
        whole = np.nan_to_num(drawn, nan=0.5)
        if (whole != np.rint(whole)).any():
            odd = drawn[whole != np.rint(whole)][:5]
            raise DataError(f"the mask holds {some(odd)}; expected whole numbers, 0 for background")
        drawn = drawn.astype(np.int64)
    if drawn.dtype.kind not in "iu" or (drawn.dtype.kind == "i" and drawn.min() < 0):
        raise DataError(f"the mask is {mask.dtype} from {drawn.min()}; expected labels of 0 and above")
    return drawn


def _wanted(
    labels: Sequence[int | str] | None, present: Sequence[int], names: Mapping[int, str], *, boolean: bool
) -> list[int]:
    if labels is None:
        return sorted(present) or ([1] if boolean else [])
    wanted = []
    for label in labels:
        named = [number for number, name in names.items() if name == label]
        if isinstance(label, str) and not named:
            raise DatasetNotFoundError(f"no lesion named {label!r}; {closest(label, names.values())}")
        wanted += named if isinstance(label, str) else [int(label)]
    if len(set(wanted)) < len(wanted) or any(label < 1 for label in wanted):
        raise ParameterError(f"labels are {wanted}; expected different numbers of 1 and above")
    return wanted


def _measure_all(
    scene: Scene, wanted: Sequence[int], boxes: dict[int, Any], settings: Radiomics, threads: int | None
) -> list[tuple[Lesion, np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    import os
    from concurrent.futures import ThreadPoolExecutor

    work: Callable[[int], Any] = lambda label: _measure_one(scene, label, boxes.get(label), settings)  # noqa: E731
    number = min(threads or os.cpu_count() or 1, max(len(wanted), 1))
    if number == 1:
        return [work(label) for label in follow(wanted, "radiomics", unit="lesion")]
    with ThreadPoolExecutor(number) as pool:
        return list(follow(pool.map(work, wanted), "radiomics", total=len(wanted), unit="lesion"))


def _measure_one(
    scene: Scene, label: int, ends: Any, settings: Radiomics
) -> tuple[Lesion, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return a lesion without its voxels, its features and its centre of mass in mm ``(x, y, z)``."""
    from dataclasses import replace

    import numpy as np

    from integrate.features.radiomics.morphology_kernels import sum_moments

    lesion = Lesion(None, "no voxel has this label") if ends is None else process_region(scene, label, ends, settings)
    if lesion.region is None:
        return lesion, np.full(len(define_columns(settings)), np.nan), np.full(3, np.nan)
    of_responses = settings.of_responses()
    features = [measure_region(lesion.region, settings)]
    features += [
        measure_region(process_response(scene, lesion, one, settings), of_responses) for one in settings.filters
    ]
    reasons = [one for one in (lesion.reason, explain(lesion.region, settings)) if one]
    voxels, *sums = sum_moments(lesion.region.inside)[:4].tolist()
    index = np.array(sums) / voxels + lesion.corner
    centre = scene.grid.matrix[:3, :3] @ index + scene.grid.matrix[:3, 3]
    return replace(lesion, region=None, reason="; ".join(reasons)), np.concatenate(features), centre


def _notes(inputs: Inputs, grid: VoxelGrid, settings: Radiomics) -> dict[str, Any]:
    from integrate import __version__

    return {
        "ids": inputs.ids,
        "tool": f"integrate {__version__}",
        "settings": json.dumps(asdict(settings)),
        "settings_hash": hash_settings([settings, [repr(one) for one in settings.filters]]),
        "input_hash": inputs.input_hash,
        "intensity_unit": str(inputs.notes.get("unit") or ""),
        "processing": list(inputs.notes.get("processing", [])),
        "spacing_mm": list(grid.spacing_mm),
        "shape": list(grid.shape),
        "space": grid.space,
    }
