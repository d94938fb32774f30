"""Measured numbers against those that others published for the same files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from integrate.features.measure import measure
from integrate.model.image import make_image
from integrate.prepare.segment import segment_nuclei


def test_cytomapper_cells_have_the_published_means_and_areas(test_data: Callable[[str], Path]) -> None:
    folder = test_data("cytomapper-pancreas")
    channels = pd.read_csv(folder / "pancreasSCE_panel.csv")["clean_Target"].tolist()
    published = pd.read_csv(folder / "pancreasSCE_cells.csv").set_index(["ImageName", "CellNb"])
    compared = 0
    for name in ("E34", "G01", "J02"):
        image = make_image(tifffile.imread(folder / f"{name}_imc.tiff"), channels=channels, pixel_size_um=None)
        mask = tifffile.imread(folder / f"{name}_mask.tiff")
        table = measure(image, mask)
        border = np.unique(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]))
        inside = table[~table.obs["instance_id"].isin(border)]  # the crop cut the others after they were published
        rows = published.loc[f"{name}_imc.tiff"].loc[inside.obs["instance_id"]]
        means = inside[:, [f"{channel}_mean" for channel in channels]].X
        # To the last of the 15 printed digits.
        np.testing.assert_allclose(means, rows[[f"counts_{channel}" for channel in channels]], rtol=5e-15)
        np.testing.assert_array_equal(inside[:, "area_px2"].X.ravel(), rows["Area"])
        compared += inside.n_obs
    assert compared == 245


def test_nuclei_of_the_cellprofiler_example_are_found_at_their_published_size(
    test_data: Callable[[str], Path],
) -> None:
    # The label image was not published; the positions, sizes and intensities of its 289 nuclei were.
    folder = test_data("cellprofiler-human")
    published = pd.read_csv(folder / "measurements" / "Nuclei.csv")
    assert len(published) == 289
    assert published["AreaShape_Area"].mean() == pytest.approx(127.90, abs=0.005)
    pixels = tifffile.imread(folder / "images" / "AS_09125_050116030001_D03f00d0.tif")
    image = make_image(pixels[None], channels=["DNA"], pixel_size_um=None)
    nuclei = segment_nuclei(image, channels="DNA").values
    at_centre = nuclei[
        published["Location_Center_Y"].round().astype(int), published["Location_Center_X"].round().astype(int)
    ]
    assert (at_centre > 0).all()
    assert len(np.unique(at_centre)) >= 0.97 * 289
    border = np.unique(np.concatenate([nuclei[0], nuclei[-1], nuclei[:, 0], nuclei[:, -1]]))
    table = measure(image, np.where(np.isin(nuclei, border), 0, nuclei))  # CellProfiler leaves out those at the border
    assert table.n_obs == pytest.approx(289, rel=0.05)
    assert table[:, "area_px2"].X.mean() == pytest.approx(127.90, rel=0.12)
    alone = pd.Series(at_centre).map(pd.Series(at_centre).value_counts()).eq(1) & np.isin(
        at_centre, table.obs["instance_id"]
    )
    found = table[pd.Index(table.obs["instance_id"]).get_indexer(at_centre[alone])]
    assert np.corrcoef(found[:, "area_px2"].X.ravel(), published["AreaShape_Area"][alone])[0, 1] > 0.9
    assert np.corrcoef(found[:, "DNA_mean"].X.ravel(), published["Intensity_MeanIntensity_DNA"][alone])[0, 1] > 0.9
