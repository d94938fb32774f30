"""Stacked tables keep every row and column, and refuse what was not measured alike."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

import integrate as ig
from integrate.errors import AlignmentError
from integrate.features.stack import stack_cells
from integrate.model.image import make_image, make_labels


def measured(region: str, *, pixel_size_um: tuple[float, float] | None = None, channels: str = "AB") -> ad.AnnData:
    pixels = np.arange(16 * len(channels), dtype="uint8").reshape(len(channels), 4, 4)
    labels = make_labels(np.kron([[1, 2], [0, 3]], np.ones((2, 2), int)), pixel_size_um=pixel_size_um)
    image = make_image(pixels, channels=list(channels), pixel_size_um=pixel_size_um, ids={"acquisition_id": region})
    return ig.measure(image, labels, region=region)


def test_rows_keep_their_order_and_values() -> None:
    first, second = measured("a"), measured("b")
    stacked = stack_cells([first, second])
    assert stacked.obs_names.tolist() == [*first.obs_names, *second.obs_names]
    np.testing.assert_array_equal(stacked.X, np.vstack([first.X, second.X]))
    assert stacked.var["unit"].equals(first.var["unit"])
    assert stacked.uns["spatialdata_attrs"]["region"] == ["a", "b"]


def test_another_panel_is_missing_not_zero() -> None:
    stacked = stack_cells([measured("a", channels="AB"), measured("b", channels="AC")])
    assert np.isnan(stacked.obs_vector("C_mean")[:3]).all()
    assert np.isnan(stacked.obs_vector("B_mean")[3:]).all()
    assert not np.isnan(stacked.obs_vector("A_mean")).any()


def test_pixels_and_micrometres_do_not_mix() -> None:
    in_pixels, in_micrometres = measured("a"), measured("b", pixel_size_um=(0.5, 0.5))
    in_micrometres.var_names = in_pixels.var_names  # as a careless rename would
    with pytest.raises(AlignmentError, match="not measured alike"):
        stack_cells([in_pixels, in_micrometres])


def test_the_same_image_twice_is_refused() -> None:
    with pytest.raises(AlignmentError, match="same image was given twice"):
        stack_cells([measured("a"), measured("a")])


def test_nothing_is_refused() -> None:
    with pytest.raises(AlignmentError, match="no tables"):
        stack_cells([])


def test_an_image_without_cells_is_nothing_found_not_unmeasured() -> None:
    study = ig.datasets.toy_study()
    tables = []
    for image in study.each("fields"):
        labels = ig.segment_nuclei(image, channels="DNA")
        if image.attrs["integrate"]["ids"]["acquisition_id"] == "f4":
            labels = labels * 0
            labels.attrs = image.attrs
        tables.append(ig.measure(image, labels))
    cohort = ig.link(study, unit="subject", cells=stack_cells(tables), reduce={"cells": "mean"})
    assert cohort.missing_reason["cells"].tolist() == ["", "", "nothing found"]
