"""One subject's images, labels, shapes and tables in named physical spaces: a SpatialData."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from integrate.align.aligned import add_aligned, add_declared, register_datasets
from integrate.align.annotate import annotate_elements, annotating
from integrate.align.grid import read_grid, with_channels
from integrate.align.transform import Transform
from integrate.errors import DataError
from integrate.keys import ACQUISITION_ID, ATTRS, LEVELS, REGION_ID, SPECIMEN_ID, SUBJECT_ID
from integrate.model.image import channel_names, image_notes, pixel_size_um
from integrate.model.study import Study

if TYPE_CHECKING:
    import pandas as pd
    import spatialdata as sd
    import xarray as xr

__all__ = ["load_region", "load_subject", "place_image"]

#: Levels whose datasets hold elements, not rows of a table.
ELEMENT_LEVELS: tuple[str, ...] = ("specimen", "acquisition", "region", "instance")


def load_subject(
    study: Study,
    subject_id: str,
    *,
    datasets: Iterable[str] | None = None,
    transforms: Iterable[Transform] = (),
    register: Mapping[str, str] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> sd.SpatialData:
    """Return a subject's images, volumes, labels, outlines and spatial tables as one SpatialData in physical spaces.

    Parameters
    ----------
    study
        The study.
    subject_id
        Our id of the subject.
    datasets
        Names of datasets to open; by default every dataset that opens item by item. What is no element is left out and
        named in ``attrs["integrate_left_out"]``.
    transforms
        Declared or earlier found transforms between spaces of the subject, e.g. of `read_transform`.
    register
        Datasets whose images are registered to those of another dataset on the same specimen, e.g.
        ``{"he": "fluorescence"}``. A bad registration is refused.
    cache
        Folder in which registrations are kept; see `register`.

    Returns
    -------
    SpatialData. With transforms, registrations, or where a catalog entry declares one (``transform: {to: dataset,
    unit: um, affine: [rows]}``; see docs/align.md), every element of a source space is there once more in the target
    space, named ``<element>_in_<space>``: images and labels lazily on the grid of the image there, outlines and spots
    moved.
    ``attrs["integrate_registered"]`` holds the quality of each registration, None where a specimen has only one of the
    two images; ``attrs["integrate_declared"]`` the hashes of declared transforms. Elements are named ``<dataset>_<id>``
    and stay lazy. A 2-D image or label image is placed in a coordinate system of its own name: micrometres when the
    pixel size is known, ``<name>_px`` when it is not. Volumes lie in patient LPS millimetres, ``<name>_lps_mm``, shared
    by series of one frame of reference. Outlines, spots and their images whose catalog entry says of which dataset's
    pixels they speak (``coordinate_system: {of: …}``) lie in that image's space, and the regions of tables name the
    elements. A table of cells whose entry says ``annotates: {dataset: …, instance: column}`` annotates the subject's
    label images or outlines of that dataset. ``attrs["integrate"]`` holds ids, pixel size and origin of every element,
    because SpatialData does not keep attributes of elements on disk.

    Raises
    ------
    ParameterError
        If the study has no such subject in any of the datasets.
    RegistrationError
        If a registration is not good enough.
    CatalogError, UnitError
        If a transform that an entry declares is none, or is in other units than its images.

    Examples
    --------
    >>> sorted(load_subject(ig.datasets.toy_study(), "P02").images)
    ['fields_f2', 'fields_f3']
    """
    space, of = _load(study, SUBJECT_ID, subject_id, datasets)
    declared = add_declared(space, study, of)
    if declared:
        space.attrs[f"{ATTRS}_declared"] = declared
    for transform in transforms:
        add_aligned(space, transform)
    if register:
        space.attrs[f"{ATTRS}_registered"] = register_datasets(space, of, register, cache=cache)
    return space


def load_region(study: Study, region_id: str, *, datasets: Iterable[str] | None = None) -> sd.SpatialData:
    """Return everything of one region, or of one acquisition, as a SpatialData.

    Parameters
    ----------
    study
        The study.
    region_id
        Our id of a region (field, core, lesion, slice); or of an acquisition, where the study has no such region.
    datasets
        As for `load_subject`, whose result this is for one region.

    Returns
    -------
    SpatialData as of `load_subject`.

    Raises
    ------
    ParameterError
        If the study has no such region or acquisition in any of the datasets.

    Examples
    --------
    >>> list(load_region(ig.datasets.toy_study(), "f3").images)
    ['fields_f3']
    """
    known = set(study.sample_map[REGION_ID].dropna())
    return _load(study, REGION_ID if region_id in known else ACQUISITION_ID, region_id, datasets)[0]


def _load(
    study: Study, column: str, value: str, datasets: Iterable[str] | None
) -> tuple[sd.SpatialData, dict[str, str]]:
    """Return the elements, and of which dataset each is."""
    import spatialdata as sd

    tables = [name for name in study.datasets if annotating(study, name)]
    listed = [n for n, d in study.datasets.items() if d.level in ELEMENT_LEVELS and n not in study.tables]
    names = [*dict.fromkeys([*listed, *tables])] if datasets is None else list(datasets)
    placed = _Placed()
    for name in sorted(names, key=lambda one: bool(_space_of(study, one))):  # first what others lie upon
        rows = study.sample_map[(study.sample_map["assay"] == name) & (study.sample_map[column] == value)]
        if name in tables or name in study.tables or rows.empty or getattr(study.dataset(name), "keys", None):
            continue  # of a dataset with keys the rows are the observations; it opens whole, not item by item
        for opened in study.each(name, **{column: value}):
            placed.add(name, opened, level=study.dataset(name).level)
    for name in (name for name in tables if name in names):
        rows = study.sample_map[(study.sample_map["assay"] == name) & (study.sample_map[column] == value)]
        if len(rows):
            placed.annotate(study, name, rows)
    if not placed.elements:
        study.rows(names[0], **{column: value})  # raises with the closest ids when the id is unknown
        raise DataError(
            f"{column} {value!r} has no image, outline or table in {names}; found {sorted(placed.left_out)}"
        )
    attrs = {ATTRS: placed.notes, f"{ATTRS}_left_out": sorted(placed.left_out)}
    return sd.SpatialData.init_from_elements(placed.elements, attrs=attrs), placed.datasets


def _space_of(study: Study, name: str) -> str:
    return str(dict(study.dataset(name).metadata.get("coordinate_system") or {}).get("of", ""))


class _Placed:
    """Elements placed so far, their notes, and what was no element."""

    def __init__(self) -> None:
        self.elements: dict[str, Any] = {}
        self.notes: dict[str, Any] = {}
        self.left_out: set[str] = set()
        self._frames: dict[str, str] = {}
        self.datasets: dict[str, str] = {}

    def add(self, name: str, opened: Any, *, level: str) -> None:
        """Place one opened item of a dataset."""
        opened = with_channels(opened)
        notes = image_notes(opened)
        element = self._name(name, notes.get("ids", {}), level)
        dims = getattr(opened, "dims", None)
        if dims == ("c", "y", "x"):
            made = {element: place_image(opened, space=element)}
        elif dims == ("y", "x") and opened.dtype.kind in "iu":
            made = {element: _place_labels(opened, element)}
        elif dims == ("z", "y", "x") and "affine_lps" in notes:
            frame = str(notes.get("frame_of_reference_uid") or element)
            made = {element: _place_volume(opened, self._frames.setdefault(frame, f"{element}_lps_mm"))}
        elif hasattr(opened, "geom_type"):
            made = {element: _place_shapes(opened, *self._space(element, notes))}
        elif hasattr(opened, "gen_elements"):
            self._add_several(name, opened, element, notes)
            return
        else:
            made = {}
        if any(one is None for one in made.values()) or not made:
            self.left_out.add(name)
            return
        self._keep(name, made, notes)

    def annotate(self, study: Study, name: str, rows: pd.DataFrame) -> None:
        """Add a table of a dataset's rows that describe elements placed before."""
        upon = annotating(study, name)["dataset"]
        described = {one: self.notes[one].get("ids", {}) for one, dataset in self.datasets.items() if dataset == upon}
        table = annotate_elements(study, name, rows, described)
        self.elements[name] = table
        self.notes[name] = {"annotates": sorted(described)}

    def _keep(self, name: str, made: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
        self.elements |= made
        self.notes |= {element: dict(notes) for element in made}
        self.datasets |= dict.fromkeys(made, name)

    def _add_several(self, name: str, opened: Any, element: str, notes: Mapping[str, Any]) -> None:
        """Place every element of a SpatialData, under names that say whose it is."""
        from spatialdata.transformations import Sequence, get_transformation, set_transformation

        renamed = {own: f"{element}_{own.removeprefix(f'{name}_')}" for _, own, _ in opened.gen_elements()}
        for kind, own, held in list(opened.gen_elements()):
            said = {**dict(opened.attrs.get(ATTRS, {}).get(own) or {}), "ids": notes.get("ids", {})}
            if kind == "tables":
                _rename_regions(held, renamed)
            else:
                space, scale = self._space(element, said)
                before = next(iter(get_transformation(held, get_all=True).values()))
                set_transformation(held, {space: Sequence([before, scale])}, set_all=True)
            self._keep(name, {renamed[own]: held}, said)

    def _space(self, element: str, notes: Mapping[str, Any]) -> tuple[str, Any]:
        """Return the space of coordinates that speak of an image's pixels, and what takes them there."""
        from spatialdata.transformations import Identity, Scale

        said = dict(notes.get("coordinate_system") or {})
        size = said.get("pixel_size_um")
        scale = Identity() if size is None else Scale([float(size)] * 2, axes=("y", "x"))
        own = element if size is not None else f"{element}_px"
        ids = dict(notes.get("ids") or {})
        upon = [one for one, dataset in self.datasets.items() if dataset == said.get("of")]
        for key in (ACQUISITION_ID, SPECIMEN_ID):
            mine = [one for one in upon if key in ids and self.notes[one].get("ids", {}).get(key) == ids[key]]
            if len(mine) == 1 and size is not None and self.notes[mine[0]].get("pixel_size_um") is not None:
                return mine[0], scale
        return own, scale

    def _name(self, dataset: str, ids: Mapping[str, str], level: str) -> str:
        own = ids.get(LEVELS.get(level, ""), ids.get(ACQUISITION_ID, "image"))
        text = "".join(c if c.isalnum() or c in "_.-" else "_" for c in f"{dataset}_{own}")
        name, number = text, 2
        while any(one == name or one.startswith(f"{name}_") for one in self.elements):
            name, number = f"{text}_{number}", number + 1
        return name


def _place_labels(labels: xr.DataArray, space: str) -> Any:
    from spatialdata.models import Labels2DModel

    placed = {_space_name(labels, space): _placement(labels)}
    return _noted(Labels2DModel.parse(labels.data, dims=("y", "x"), transformations=placed), labels)


def _space_name(image: xr.DataArray, space: str) -> str:
    return f"{space}_px" if pixel_size_um(image) is None else space


def _placement(image: xr.DataArray) -> Any:
    """Return the map from pixels to the unit of the coordinates, which know where a crop begins."""
    from spatialdata.transformations import Affine, Scale

    grid = read_grid(image)
    if grid.is_straight and not grid.affine.array[:2, 2].any():
        return Scale(list(grid.size), axes=("y", "x"))
    return Affine(grid.affine.array, input_axes=("x", "y"), output_axes=("x", "y"))


def _noted(element: Any, image: xr.DataArray) -> Any:
    """Return an element that keeps our notes while it is in memory; on disk only SpatialData's own ``attrs`` last."""
    element.attrs[ATTRS] = image_notes(image)
    return element


def _place_volume(volume: xr.DataArray, space: str) -> Any:
    """Place a volume by its affine, which speaks of voxel centres where SpatialData speaks of corners."""
    from spatialdata.models import Image3DModel
    from spatialdata.transformations import Affine

    axes = ("x", "y", "z")
    affine = Affine(read_grid(volume).affine.array, input_axes=axes, output_axes=axes)
    element = Image3DModel.parse(volume.data[None], dims=("c", "z", "y", "x"), transformations={space: affine})
    return _noted(element, volume)


def _place_shapes(outlines: Any, space: str, scale: Any) -> Any:
    """Return polygons as a SpatialData element; nothing when they are not polygons."""
    from spatialdata.models import ShapesModel

    if not len(outlines) or not set(outlines.geom_type) <= {"Polygon", "MultiPolygon"}:
        return None
    return ShapesModel.parse(outlines.reset_index(drop=True), transformations={space: scale})


def _rename_regions(table: Any, renamed: Mapping[str, str]) -> None:
    """Make a table annotate its elements under their new names."""
    notes = table.uns.get("spatialdata_attrs")
    if not notes:
        return
    key, region = notes["region_key"], notes["region"]
    regions = [region] if isinstance(region, str) else list(region)
    table.obs[key] = table.obs[key].astype(object).map(lambda one: renamed.get(one, one)).astype("category")
    new = [renamed.get(one, one) for one in regions]
    table.uns["spatialdata_attrs"] = {**notes, "region": new[0] if isinstance(region, str) else new}


def place_image(image: xr.DataArray, *, space: str) -> Any:
    """Return an image as a SpatialData element in the physical space of that name.

    Parameters
    ----------
    image
        Image with dims ``(c, y, x)`` as our readers give it.
    space
        Name of the coordinate system; ``_px`` is added when the pixel size is unknown.

    Returns
    -------
    A lazy SpatialData image. Its transformation maps pixel ``i`` (covering ``[i, i + 1)``) to micrometres by the pixel
    size of each axis, from where a crop begins, or is the identity in pixels. Our notes stay in
    ``attrs["integrate"]`` in memory, so that measuring it gives micrometres.
    """
    from spatialdata.models import Image2DModel

    placed = {_space_name(image, space): _placement(image)}
    element = Image2DModel.parse(
        image.data, dims=("c", "y", "x"), c_coords=channel_names(image), transformations=placed
    )
    return _noted(element, image)
