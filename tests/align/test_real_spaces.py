"""Real scans share a space as their files say: DICOM and NIfTI, CT, MR and PET of one patient, CosMx fields."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from integrate.align.crop import crop
from integrate.align.grid import Grid, read_grid, set_space
from integrate.align.resample import resample, resample_like
from integrate.errors import AlignmentError
from integrate.readers.cosmx import CosMx
from integrate.readers.dicom import DicomSeries
from integrate.readers.volume import Volume


def test_dicom_and_its_nifti_lie_on_each_other(test_data: Callable[[str], Path]) -> None:
    """dcm2niix turns the rows around; in the patient every voxel has the same place and value."""
    folder = test_data("dicom-mr-to-nifti")
    dicom = DicomSeries(url=str(folder / "In" / "mr_0003")).read()
    nifti = Volume(url=str(folder / "Ref" / "EPI_PE=AP_3.nii")).read()
    one, other = (set_space(volume.isel(t=0), name="patient") for volume in (dicom, nifti))
    grids = read_grid(one), read_grid(other)
    assert not np.allclose(grids[0].affine.array, grids[1].affine.array)
    ends = [np.array(sorted(grid.corners().round(3).tolist())) for grid in grids]
    np.testing.assert_allclose(ends[0], ends[1], atol=2e-3)
    onto = resample_like(other, one) if other.dtype.kind == "f" else resample(other, like=one, labels=False)
    inner = (slice(1, -1),) * 3
    np.testing.assert_allclose(onto.values[inner], one.values[inner], rtol=1e-3, atol=0.5)


@pytest.fixture(scope="module")
def patient(test_data: Callable[[str], Path]) -> dict[str, Any]:
    folder = test_data("sts-ibsi-validation") / "nifti" / "STS_002"
    return {
        f"{modality}_{what}": Volume(url=str(folder / f"{modality}_{what}.nii.gz"), labels=what == "mask").read()
        for modality in ("CT", "MR_T1", "PET")
        for what in ("image", "mask")
    }


def ibsi_grid(grid: Grid, edge: float) -> Grid:
    """The grid of the IBSI: cubes along the volume's own axes, the two centres on each other."""
    shape = tuple(int(np.ceil(round(n * size / edge, 6))) for n, size in zip(grid.shape, grid.size, strict=True))
    factors = tuple(edge / size for size in grid.size)
    offset = tuple((n - m * f) / 2 for n, m, f in zip(grid.shape, shape, factors, strict=True))
    return grid.rescaled(factors, shape, offset=offset)


@pytest.mark.parametrize(("modality", "edge", "published"), [("CT", 1, 52975), ("MR_T1", 1, 53227), ("PET", 3, 53568)])
def test_resampled_masks_have_the_published_volume(
    patient: dict[str, Any], modality: str, edge: int, published: int
) -> None:
    """Six of the eight teams (of the PET five) publish this volume in mm³ (morph_vol_approx), to the voxel."""
    mask = patient[f"{modality}_mask"]
    part = set_space(mask.astype(np.float64), name="patient")
    fine = resample(part, like=ibsi_grid(read_grid(part), edge), fill=0)
    assert int((fine.values >= 0.5 - 1e-6).sum()) * edge**3 == published


def test_ct_mr_and_pet_of_a_patient_share_a_space(patient: dict[str, Any]) -> None:
    """The tumour, drawn once, lies at the same millimetres in all three once they are declared to share a space."""
    with pytest.raises(AlignmentError, match="space"):
        resample_like(patient["PET_mask"], patient["CT_mask"])
    masks = {m: set_space(patient[f"{m}_mask"], name="patient") for m in ("CT", "MR_T1", "PET")}
    places = {}
    for modality, mask in masks.items():
        index = np.argwhere(mask.values > 0)[:, ::-1] + 0.5
        places[modality] = read_grid(mask).affine.map_points(index).mean(axis=0)
    assert np.linalg.norm(places["CT"] - places["MR_T1"]) < 3
    assert np.linalg.norm(places["CT"] - places["PET"]) < 3
    pet = resample(masks["PET"], like=masks["CT"], labels=True)
    both, either = (
        ((pet.values > 0) & (masks["CT"].values > 0)).sum(),
        (pet.values > 0).sum() + (masks["CT"].values > 0).sum(),
    )
    assert 2 * both / either > 0.85


def test_a_cropped_cosmx_field_keeps_its_transcripts_on_their_cells(test_data: Callable[[str], Path]) -> None:
    """Vendor's y turned down and the crop's offset in; published: 98.6 % on the labelled cell."""
    offsets = {"2": [4800, 3000], "3": [0, 3000]}
    data = CosMx(url=str(test_data("cosmx-nsclc-mini")), offsets=offsets).read()
    points = data["cosmx_transcripts"].compute()
    for fov in (2, 3):
        labels = data[f"cosmx_f{fov}_labels"]
        low, high = read_grid(labels).corners().min(axis=0) + 100.4, read_grid(labels).corners().max(axis=0) - 99.7
        part = crop(labels, x=(low[0], high[0]), y=(low[1], high[1]))
        finer = resample(part, pixel_size=0.5)
        mine = points[(points["fov"] == fov) & (points["cell_ID"] > 0)]
        whole = on_label(labels, mine)
        assert whole[1] > 0.98
        assert on_label(part, mine)[1] == pytest.approx(whole[1], abs=0.005)
        assert on_label(finer, mine) == on_label(part, mine)


def on_label(labels: Any, points: pd.DataFrame) -> tuple[int, float]:
    """How many transcripts lie on the labels, and the share of these on their cell, through SpatialData's own words."""
    from spatialdata.transformations import get_transformation

    axes = ("x", "y")
    matrix = next(iter(get_transformation(labels, get_all=True).values())).to_affine_matrix(axes, axes)
    xy = np.c_[points["x"], points["y"], np.ones(len(points))] @ np.linalg.inv(matrix).T
    column, row = np.floor(xy[:, 0]).astype(int), np.floor(xy[:, 1]).astype(int)
    values = np.asarray(labels.values)
    inside = (column >= 0) & (row >= 0) & (column < values.shape[1]) & (row < values.shape[0])
    hits = values[row[inside], column[inside]] == points["cell_ID"].to_numpy()[inside]
    return int(inside.sum()), float(hits.mean())
