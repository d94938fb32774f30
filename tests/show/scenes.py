"""Small images and cells whose pixels and values are known, to be looked at in viewers."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import xarray as xr

from integrate.model.image import make_image, make_labels


def discs(*, pixel_size_um: tuple[float, float] | None = (0.5, 0.5)) -> tuple[xr.DataArray, xr.DataArray]:
    """Return an image of 48 discs, DNA in all and CD8 in every other, and their labels."""
    labels = np.zeros((300, 400), dtype=np.int32)
    rows, columns = np.mgrid[:300, :400]
    for number, (j, i) in enumerate(np.ndindex(6, 8)):
        labels[(rows - 25 - 50 * j) ** 2 + (columns - 25 - 50 * i) ** 2 < 100] = number + 1
    data = np.stack([1000 * (labels > 0), 500 * (labels % 2 == 1)]).astype(np.uint16)
    ids = {"acquisition_id": "f1"}
    image = make_image(data, channels=["DNA", "CD8"], pixel_size_um=pixel_size_um, ids=ids)
    return image, make_labels(labels, pixel_size_um=pixel_size_um, ids=ids)


def cells_of_discs() -> anndata.AnnData:
    """Return a cell for each disc, in micrometres, with an embedding that puts CD8 cells on the right."""
    number = np.arange(48)
    obs = pd.DataFrame(
        {"kind": pd.Categorical(np.where(number % 2 == 0, "CD8", "other")), "acquisition_id": "f1"},
        index=[f"c{i}" for i in number],
    )
    cells = anndata.AnnData(number[:, None].astype(np.float32), obs=obs, var=pd.DataFrame(index=["number"]))
    rows, columns = np.divmod(number, 8)
    cells.obsm["spatial"] = np.c_[25 + 50 * columns, 25 + 50 * rows] * 0.5
    cells.obsm["X_umap"] = np.c_[np.where(number % 2 == 0, 5.0, -5.0), np.linspace(-1, 1, 48)]
    cells.uns["integrate"] = {"unit": "um"}
    return cells
