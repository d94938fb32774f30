"""The digital phantom of the Image Biomarker Standardisation Initiative: 80 voxels on which every feature is agreed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integrate.features.radiomics.volume import make_volume

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["digital_phantom"]

#: From the IBSI reference manual (digital phantom by Alex Zwanenburg, CC BY 4.0). A line is a slice: four rows of five.
_IMAGE = """
1 4 4 1 1  1 4 6 1 1  4 1 6 4 1  4 4 6 4 1
1 4 4 1 1  1 1 6 1 1  1 1 3 1 1  4 4 6 1 1
1 4 4 1 1  1 1 1 1 1  1 1 9 1 1  1 1 6 1 1
1 4 4 1 1  1 1 1 1 1  1 1 1 1 1  1 1 6 1 1
"""
_MASK = """
1 1 1 1 1  1 1 1 1 1  1 1 1 1 1  1 1 1 1 1
1 1 1 1 1  1 1 1 1 1  0 1 1 1 1  1 1 1 1 1
1 1 1 0 0  1 1 1 1 1  1 1 0 1 1  1 1 1 1 1
1 1 1 0 0  1 1 1 1 1  1 1 1 1 1  1 1 1 1 1
"""


def digital_phantom() -> tuple[xr.DataArray, xr.DataArray]:
    """Return image and mask, 4 × 4 × 5 voxels of 2 mm.

    Examples
    --------
    >>> image, mask = digital_phantom()
    >>> int(mask.sum())
    74
    """
    import numpy as np

    image, mask = (np.array(text.split(), int).reshape(4, 4, 5) for text in (_IMAGE, _MASK))
    return make_volume(image, spacing_mm=(2, 2, 2)), make_volume(mask, spacing_mm=(2, 2, 2))
