"""One subject's images, labels, shapes and tables in named physical spaces: a SpatialData."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError
from integrate.keys import ATTRS
from integrate.model.image import channel_names, image_notes, pixel_size_um
from integrate.model.study import Study

if TYPE_CHECKING:
    import spatialdata as sd
    import xarray as xr

__all__ = ["load_subject", "place_image"]


def load_subject(study: Study, subject_id: str, *, datasets: Iterable[str] | None = None) -> sd.SpatialData:
    """Return a subject's 2-D images as one SpatialData, each in the physical space of its acquisition.

    Parameters
    ----------
    study
        The study.
    subject_id
        Our id of the subject.
    datasets
        Names of datasets to open; by default every dataset of acquisitions. What is not a 2-D image is left out and
        named in ``attrs["integrate_left_out"]``.

    Returns
    -------
    SpatialData. Elements are named ``<dataset>_<acquisition_id>`` and stay lazy. Each is placed in a coordinate system
    of its own name: micrometres when the pixel size is known, ``<name>_px`` when it is not. Two acquisitions share a
    space only through a declared or registered transform. ``attrs["integrate"]`` holds ids, pixel size and origin of
    every element, because SpatialData does not keep attributes of elements on disk.

    Raises
    ------
    ParameterError
        If the study has no such subject in any of the datasets.

    Examples
    --------
    >>> sorted(load_subject(ig.datasets.toy_study(), "P02").images)
    ['fields_f2', 'fields_f3']
    """
    import spatialdata as sd

    names = (
        list(datasets) if datasets is not None else [n for n, d in study.datasets.items() if d.level == "acquisition"]
    )
    elements: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    left_out: list[str] = []
    for name in names:
        rows = study.sample_map[(study.sample_map["assay"] == name) & (study.sample_map["subject_id"] == subject_id)]
        if name in study.tables or rows.empty:
            continue
        for opened in study.each(name, subject_id=subject_id):
            if getattr(opened, "dims", None) != ("c", "y", "x"):
                left_out.append(name)
                continue
            element = _element_name(name, image_notes(opened).get("ids", {}))
            elements[element] = place_image(opened, space=element)
            notes[element] = image_notes(opened)
    if not elements:
        study.rows(names[0], subject_id=subject_id)  # raises with the closest ids when the subject is unknown
        raise DataError(f"subject {subject_id!r} has no 2-D image in {names}; found only {sorted(set(left_out))}")
    return sd.SpatialData.init_from_elements(elements, attrs={ATTRS: notes, f"{ATTRS}_left_out": sorted(set(left_out))})


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
    size of each axis, or is the identity in pixels.
    """
    from spatialdata.models import Image2DModel
    from spatialdata.transformations import Identity, Scale

    size = pixel_size_um(image)
    placed = {f"{space}_px": Identity()} if size is None else {space: Scale(list(size), axes=("y", "x"))}
    return Image2DModel.parse(image.data, dims=("c", "y", "x"), c_coords=channel_names(image), transformations=placed)


def _element_name(dataset: str, ids: dict[str, str]) -> str:
    text = f"{dataset}_{ids.get('acquisition_id', 'image')}"
    return "".join(c if c.isalnum() or c in "_.-" else "_" for c in text)
