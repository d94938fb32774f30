"""The IBSI phantoms, their consensus values and the settings the reference manual prescribes for them."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
import xarray as xr

from integrate.features.radiomics.settings import FixedBinNumber, FixedBinSize, Radiomics, Resample, Resegment
from integrate.features.radiomics.volume import make_volume

IN_PLANE = ("2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb")
IN_SPACE = ("3D_avg", "3D_comb")

#: IBSI reference manual, table of image processing configurations.
CONFIGURATIONS = {
    "digital": Radiomics(FixedBinSize(1, start=1), textures=IN_PLANE + IN_SPACE),
    "A": Radiomics(FixedBinSize(25), resegment=Resegment(interval=(-500, 400)), textures=IN_PLANE),
    "B": Radiomics(
        FixedBinNumber(32),
        resample=Resample((None, 2, 2), round_to=1),
        resegment=Resegment(interval=(-500, 400)),
        textures=IN_PLANE,
    ),
    "C": Radiomics(
        FixedBinSize(25),
        resample=Resample(2, round_to=1),
        resegment=Resegment(interval=(-1000, 400)),
        ivh_bins=FixedBinSize(2.5),
        textures=IN_SPACE,
    ),
    "D": Radiomics(
        FixedBinNumber(32),
        resample=Resample(2, round_to=1),
        resegment=Resegment(outliers_sigma=3),
        textures=IN_SPACE,
    ),
    "E": Radiomics(
        FixedBinNumber(32),
        resample=Resample(2, method="cubic", round_to=1),
        resegment=Resegment(interval=(-1000, 400), outliers_sigma=3),
        ivh_bins=FixedBinNumber(1000),
        textures=IN_SPACE,
    ),
}

#: What the consensus says of the regions themselves, and where the table says it.
COUNTS = {"morph_mask_vox_count_reseg_roi": "n_voxels", "int_mask_vox_count_reseg_roi": "n_measured"}


class Consensus(NamedTuple):
    """A published value; `half_digit` is how far it may be from the value it was rounded from, to three digits."""

    tag: str
    value: float
    tolerance: float

    @property
    def half_digit(self) -> float:
        return 10.0 ** (math.floor(math.log10(abs(self.value))) - 2) / 2 if self.value else 0.0

    def holds(self, found: float) -> bool:
        return abs(found - self.value) <= self.tolerance + self.half_digit * (1 + 1e-9)


def read_consensus(folder: Path, configuration: str) -> list[Consensus]:
    """Return the consensus values; those without one are empty in the files and left out."""
    name = "dig_phantom" if configuration == "digital" else f"chest_config_{configuration.lower()}"
    with (folder / "reference_values" / f"ibsi_1_{name}.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter=";"))
    return [
        Consensus(row["tag"], float(row["reference value"]), float(row["tolerance"]))
        for row in rows
        if row["reference value"] and row["tolerance"]
    ]


def read_nifti(path: Path, *, unit: str = "") -> xr.DataArray:
    """Return a NIfTI file as a volume; SimpleITK gives directions and positions in LPS."""
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return make_volume(sitk.GetArrayFromImage(image), spacing_mm=image.GetSpacing()[::-1], affine_lps=affine, unit=unit)
