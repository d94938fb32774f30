"""Steinbock: the output folder of an IMC pipeline as images, masks and cells in micrometres."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, SourceNotFoundError, some
from integrate.keys import ATTRS, INSTANCE_ID
from integrate.readers.base import Reader
from integrate.readers.cell_parts import element_notes, find_file, read_text
from integrate.readers.tiff import lazy_level

if TYPE_CHECKING:
    import anndata as ad
    import spatialdata as sd

__all__ = ["Steinbock"]


class Steinbock(Reader):
    r"""Read the output folder of steinbock as one SpatialData.

    Parameters
    ----------
    name
        Beginning of every element's name.
    images
        Names of the images to read (without suffix); all by default.
    masks
        Name of the folder of masks, which may be several (``"masks_deepcell"``); ``"masks"`` by default.

    Returns
    -------
    SpatialData with, for every image, ``<name>_<image>_image`` and, where they are there, ``<name>_<image>_labels``,
    lazy, in the coordinate system ``<name>_<image>``: micrometres, a pixel of IMC being 1 µm. ``<name>_table`` holds
    the intensities of ``intensities/``, cells × channels, with the columns of ``regionprops/``; it annotates the masks.

    Raises
    ------
    SourceNotFoundError
        If there is no panel, or no image of a name asked for.
    DataError
        If a file is damaged, an image has other channels than the panel keeps, or a mask is of another shape.

    Examples
    --------
    >>> import numpy as np, tifffile
    >>> for folder in ("img", "masks", "intensities"):
    ...     (tmp_path / folder).mkdir()
    >>> _ = (tmp_path / "panel.csv").write_text("channel,name,keep\nIr191,DNA1,1\n")
    >>> tifffile.imwrite(tmp_path / "img" / "a.tiff", np.ones((1, 4, 5), "float32"), metadata={"axes": "CYX"})
    >>> tifffile.imwrite(tmp_path / "masks" / "a.tiff", np.eye(4, 5, dtype="uint16"))
    >>> _ = (tmp_path / "intensities" / "a.csv").write_text("Object,DNA1\n1,1.0\n")
    >>> Steinbock(url=tmp_path).read()["steinbock_table"].to_df().to_dict()
    {'DNA1': {'a_1': 1.0}}
    """

    output_instance = "spatialdata:SpatialData"
    is_folder = True

    def _open(
        self, path: Path, *, name: str = "steinbock", images: list[str] | None = None, masks: str = "masks"
    ) -> sd.SpatialData:
        import spatialdata as sd

        channels = _panel(path)
        found = {file.stem: file for file in sorted((path / "img").glob("*.tif*"))}
        absent = [one for one in images or () if one not in found]
        if absent or not found:
            raise SourceNotFoundError(
                f"{path.name}/img has no {some(absent) or 'image'}; it has {some(found) or 'none'}"
            )
        elements: dict[str, Any] = {}
        for image in images or list(found):
            elements |= _elements(found[image], path / masks / f"{image}.tiff", channels, f"{name}_{image}")
        tables = [_cells(path, image, f"{name}_{image}_labels") for image in images or found]
        if kept := [one for one in tables if one is not None]:
            elements[f"{name}_table"] = _joined(kept)
        notes = element_notes(elements, unit="um", pixel_size_um=[1.0, 1.0])
        return sd.SpatialData.init_from_elements(elements, attrs={ATTRS: notes})


def _panel(path: Path) -> list[str]:
    """Return the names of the channels that the panel keeps, in the order of the images."""
    panel = read_text(find_file(path, "panel.csv"), ("channel", "name"))
    if "keep" in panel:
        panel = panel[panel["keep"].astype(float) == 1]
    names = panel["name"].fillna(panel["channel"]).astype(str).tolist()
    if len(set(names)) < len(names):
        raise DataError(f"panel.csv of {path.name} keeps channels of the same name; name each once")
    return names


def _elements(file: Path, mask: Path, channels: list[str], prefix: str) -> dict[str, Any]:
    from spatialdata.models import Image2DModel, Labels2DModel
    from spatialdata.transformations import Identity

    pixels = lazy_level(file)
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[0] != len(channels):
        raise DataError(f"{file.name} has shape {pixels.shape}, the panel keeps {len(channels)} channels")
    placed = {prefix: Identity()}
    image = Image2DModel.parse(pixels, dims=("c", "y", "x"), c_coords=channels, transformations=placed)
    made = {f"{prefix}_image": image}
    if mask.exists():
        labels = lazy_level(mask)
        if labels.shape != pixels.shape[1:] or labels.dtype.kind not in "iu":
            raise DataError(f"mask {mask.name} is {labels.dtype} of {labels.shape}; the image is {pixels.shape[1:]}")
        made[f"{prefix}_labels"] = Labels2DModel.parse(labels, dims=("y", "x"), transformations=placed)
    return made


def _cells(path: Path, image: str, region: str) -> ad.AnnData | None:
    import anndata as ad
    import pandas as pd

    file = path / "intensities" / f"{image}.csv"
    if not file.exists():
        return None
    values = read_text(file, ("Object",)).set_index("Object")
    obs = pd.DataFrame({INSTANCE_ID: values.index.to_numpy(int), "region": region}, index=values.index)
    shape = path / "regionprops" / f"{image}.csv"
    if shape.exists():
        obs = obs.join(read_text(shape, ("Object",)).set_index("Object"))
    obs.index = [f"{image}_{one}" for one in values.index]
    return ad.AnnData(values.to_numpy("float32"), obs=obs, var=pd.DataFrame(index=values.columns.astype(str)))


def _joined(tables: list[ad.AnnData]) -> ad.AnnData:
    import anndata as ad
    from spatialdata.models import TableModel

    table = tables[0] if len(tables) == 1 else ad.concat(tables, join="outer", fill_value=float("nan"))
    table.obs["region"] = table.obs["region"].astype("category")
    regions = list(table.obs["region"].cat.categories)
    return TableModel.parse(table, region=regions, region_key="region", instance_key=INSTANCE_ID)
