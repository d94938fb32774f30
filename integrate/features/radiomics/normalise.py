"""Intensity normalisation: volumes of arbitrary units, above all MR, brought to one scale."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError, ParameterError
from integrate.features.radiomics.filters import check_choice, check_positive
from integrate.features.radiomics.grid import index_map, read_grid
from integrate.keys import ATTRS
from integrate.model.image import image_notes
from integrate.model.provenance import record

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    Array = np.ndarray[Any, Any]

__all__ = [
    "BiasField",
    "Clip",
    "HistogramScale",
    "WhiteStripe",
    "ZScore",
    "fit_histogram_scale",
    "normalise_intensity",
]


@dataclass(frozen=True, slots=True)
class Clip:
    """Intensities beyond an interval become its ends, e.g. Hounsfield units of metal.

    Parameters
    ----------
    low, high
        Ends of the interval.

    Examples
    --------
    >>> Clip(-1000, 400)
    Clip(low=-1000, high=400)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse an interval that holds nothing."""
        if not self.low < self.high:
            raise ParameterError(f"the interval is {self.low} to {self.high}; expected low < high")


@dataclass(frozen=True, slots=True)
class ZScore:
    """Intensities in standard deviations from the mean of the mask.

    Parameters
    ----------
    outliers_sigma
        Leave voxels further than this many standard deviations from the mean out of mean and deviation, once.

    Examples
    --------
    >>> ZScore()
    ZScore(outliers_sigma=None)
    """

    outliers_sigma: float | None = None

    def __post_init__(self) -> None:
        """Refuse a distance of nothing."""
        if self.outliers_sigma is not None:
            check_positive("outliers_sigma", self.outliers_sigma)


@dataclass(frozen=True, slots=True)
class WhiteStripe:
    """Intensities in standard deviations of normal-appearing white matter (Shinohara et al., NeuroImage Clin. 2014).

    Parameters
    ----------
    contrast
        ``"T1"``: white matter is the brightest peak of the brain's histogram; ``"T2"`` (also FLAIR): the highest one.
    width
        The stripe holds this share of voxels on each side of the peak.

    Notes
    -----
    The mask must hold the brain. The histogram is a Gaussian kernel density with Silverman's bandwidth; peaks lower
    than a tenth of the highest do not count.

    Examples
    --------
    >>> WhiteStripe("T2").width
    0.05
    """

    contrast: str = "T1"
    width: float = 0.05

    def __post_init__(self) -> None:
        """Refuse other contrasts."""
        check_choice("contrast", self.contrast, ("T1", "T2"))
        if not 0 < self.width <= 0.5:
            raise ParameterError(f"width is {self.width}; expected above 0 and at most 0.5")


@dataclass(frozen=True, slots=True)
class HistogramScale:
    """A piecewise linear scale on which percentiles of the mask fall on those of a cohort (Nyúl et al., IEEE TMI 2000).

    Parameters
    ----------
    percentiles
        Which percentiles of a mask are landmarks.
    scale
        Where each of them falls; `fit_histogram_scale` finds them in a cohort.

    Examples
    --------
    >>> HistogramScale((1, 50, 99), (0, 40, 100)).scale
    (0, 40, 100)
    """

    percentiles: tuple[float, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse scales that do not rise."""
        for what in ("percentiles", "scale"):
            values = tuple(getattr(self, what))
            if len(values) < 2 or any(a >= b for a, b in itertools.pairwise(values)):
                raise ParameterError(f"{what} are {values}; expected two or more, rising")
            object.__setattr__(self, what, values)
        if len(self.percentiles) != len(self.scale):
            raise ParameterError(f"{len(self.percentiles)} percentiles have {len(self.scale)} places on the scale")


@dataclass(frozen=True, slots=True)
class BiasField:
    """Slow changes of brightness over an MR volume are divided out (N4, Tustison et al., IEEE TMI 2010).

    Parameters
    ----------
    shrink
        The field is estimated on every so-manyth voxel of each axis.
    iterations
        How often at most the field is refined on each level, from coarse to fine.

    Examples
    --------
    >>> BiasField(shrink=2).iterations
    (50, 50, 50, 50)
    """

    shrink: int = 4
    iterations: tuple[int, ...] = (50, 50, 50, 50)

    def __post_init__(self) -> None:
        """Refuse to do nothing."""
        object.__setattr__(self, "iterations", tuple(self.iterations))
        if self.shrink < 1 or not self.iterations or min(self.iterations) < 1:
            raise ParameterError(f"expected shrink and iterations of 1 and above, found {self}")


Normalisation = Clip | ZScore | WhiteStripe | HistogramScale | BiasField


def normalise_intensity(volume: xr.DataArray, by: Normalisation, *, mask: xr.DataArray | None = None) -> xr.DataArray:
    """Return a volume with normalised intensities.

    Parameters
    ----------
    volume
        Intensities, dims ``(z, y, x)``; NaN is "no intensity" and stays so.
    by
        `Clip`, `ZScore`, `WhiteStripe`, `HistogramScale` or `BiasField`.
    mask
        Voxels that tell the scale, not 0, on the grid of `volume`: the brain or the body, not the lesion. By default
        every voxel above 0 of an MR is body, or every voxel where none is below 0 or the volume is negative.

    Returns
    -------
    DataArray, float64, with the coordinates and notes of `volume`; ``attrs["integrate"]["processing"]`` lists what was
    done, and the unit is ``"1"`` where the scale is a new one. `measure_radiomics` writes the list into its table.

    Raises
    ------
    DataError
        If no voxel of the mask has an intensity, or all have the same.
    AlignmentError
        If mask and volume are not on one grid.

    Notes
    -----
    PET becomes SUV where it is read. A window of Hounsfield units that only restricts what is measured is
    `Resegment`; `Clip` changes voxels.

    Examples
    --------
    >>> from integrate.features.radiomics.phantom import digital_phantom
    >>> image, mask = digital_phantom()
    >>> scaled = normalise_intensity(image, ig.ZScore(), mask=mask)
    >>> abs(float(scaled.where(mask > 0).mean())) < 1e-12
    True
    >>> scaled.attrs["integrate"]["processing"]
    ['ZScore(outliers_sigma=None) in mask']
    """
    import numpy as np

    image = np.where(np.isfinite(volume.values), volume.values, np.nan).astype(np.float64)
    inside = _inside(volume, mask)
    values = image[inside & ~np.isnan(image)]
    if not values.size:
        raise DataError("no voxel of the mask has an intensity; nothing tells the scale")
    notes = dict(image_notes(volume))
    if isinstance(by, Clip):
        image = np.clip(image, by.low, by.high)
    elif isinstance(by, BiasField):
        image = _divide_bias(image, inside, by)
    else:
        image = _rescale(image, values, by)
        notes["unit"] = "1"
    done = f"{by!r} in {'the voxels above 0' if mask is None else 'mask'}"
    notes["processing"] = [*notes.get("processing", []), repr(by) if isinstance(by, Clip) else done]
    record("normalise", by=repr(by), ids=notes.get("ids", {}))
    return volume.copy(data=image).assign_attrs({ATTRS: notes})


def fit_histogram_scale(
    volumes: Iterable[xr.DataArray],
    *,
    masks: Iterable[xr.DataArray | None] | None = None,
    percentiles: tuple[float, ...] = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99),
) -> HistogramScale:
    """Return the standard scale of a cohort: the mean place of each percentile, where the outermost are 0 and 100.

    Parameters
    ----------
    volumes
        Volumes of one kind of contrast; they are taken one at a time.
    masks
        For each of them the voxels that count, as for `normalise_intensity`.
    percentiles
        Which percentiles are landmarks, rising.

    Returns
    -------
    The scale, for `normalise_intensity`. Fit it on the training subjects only.

    Raises
    ------
    DataError
        If there is no volume, or the landmarks of one of them coincide.

    Examples
    --------
    >>> from integrate.features.radiomics.phantom import digital_phantom
    >>> image, _ = digital_phantom()
    >>> fit_histogram_scale([image, 2 * image], percentiles=(0, 80, 100)).scale
    (0.0, 37.5, 100.0)
    """
    import numpy as np

    places = []
    for volume, mask in zip(volumes, masks if masks is not None else itertools.repeat(None), strict=False):
        values = volume.values[_inside(volume, mask) & np.isfinite(volume.values)].astype(np.float64)
        found = _landmarks(values, percentiles)
        places.append((found - found[0]) / (found[-1] - found[0]) * 100)
    if not places:
        raise DataError("there is no volume to find landmarks in")
    return HistogramScale(percentiles, tuple(np.mean(places, axis=0).tolist()))


def _inside(volume: xr.DataArray, mask: xr.DataArray | None) -> Array:
    import numpy as np

    if mask is None:
        above = volume.values > 0
        return above if above.any() else np.ones(volume.shape, bool)
    grids = [read_grid(one, what=what) for one, what in ((mask, "mask"), (volume, "volume"))]
    if volume.shape != mask.shape or not np.array_equal(index_map(*grids), np.eye(4)):
        raise AlignmentError(f"the mask {mask.shape} is not on the grid of the volume {volume.shape}; resample it")
    inside: Array = mask.values > 0
    return inside


def _rescale(image: Array, values: Array, by: ZScore | WhiteStripe | HistogramScale) -> Array:
    import numpy as np

    if isinstance(by, HistogramScale):
        return _interpolate(image, _landmarks(values, by.percentiles), np.array(by.scale, float))
    if isinstance(by, WhiteStripe):
        values = _stripe(values, by)
    elif by.outliers_sigma is not None:
        values = values[np.abs(values - values.mean()) <= by.outliers_sigma * values.std()]
    deviation = values.std()
    if not deviation > 0:
        raise DataError(f"every voxel that tells the scale has intensity {values[0]:g}; there is no spread to scale by")
    scaled: Array = (image - values.mean()) / deviation
    return scaled


def _landmarks(values: Array, percentiles: tuple[float, ...]) -> Array:
    import numpy as np

    found = np.percentile(values, percentiles) if values.size else np.zeros(len(percentiles))
    if (np.diff(found) <= 0).any():
        raise DataError(
            f"the percentiles {percentiles} are {found.round(3).tolist()}; expected them to rise: give a mask without "
            "background, or fewer percentiles"
        )
    return np.asarray(found)


def _interpolate(image: Array, places: Array, scale: Array) -> Array:
    """Return the scale between landmarks, and beyond them that of the outermost pair."""
    import numpy as np

    piece = np.clip(np.searchsorted(places, image) - 1, 0, len(places) - 2)
    slope = np.diff(scale) / np.diff(places)
    result: Array = scale[piece] + (image - places[piece]) * slope[piece]
    return result


def _stripe(values: Array, by: WhiteStripe) -> Array:
    """Return the intensities around the peak of white matter."""
    import numpy as np
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import find_peaks

    low, high = np.percentile(values, [0.1, 99.9])
    spread = min(values.std(), np.subtract(*np.percentile(values, [75, 25])) / 1.349)
    if not (high > low and spread > 0):
        raise DataError(f"the mask holds {values.min():g} to {values.max():g}, too alike for a histogram with peaks")
    counts, edges = np.histogram(values, bins=2000, range=(low, high))
    width = 0.9 * spread * len(values) ** -0.2 / (edges[1] - edges[0])
    smooth = gaussian_filter1d(counts.astype(float), width, mode="constant")
    peaks, _ = find_peaks(np.pad(smooth, 1), height=smooth.max() / 10)
    peak = (peaks[-1] if by.contrast == "T1" else peaks[np.pad(smooth, 1)[peaks].argmax()]) - 1
    share = np.mean(values <= (edges[peak] + edges[peak + 1]) / 2)
    ends = np.quantile(values, np.clip([share - by.width, share + by.width], 0, 1))
    chosen: Array = values[(values >= ends[0]) & (values <= ends[1])]
    return chosen


def _divide_bias(image: Array, inside: Array, by: BiasField) -> Array:
    import numpy as np
    import SimpleITK as sitk

    inside = inside & np.isfinite(image)
    if image[inside].min() <= 0:
        raise DataError(f"the mask holds {image[inside].min():g}; a bias field is estimated from intensities above 0")
    whole = sitk.GetImageFromArray(np.where(np.isfinite(image), image, 0).astype(np.float32))
    shrink = [max(1, min(by.shrink, n // 8)) for n in whole.GetSize()]
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations(by.iterations)
    corrector.Execute(sitk.Shrink(whole, shrink), sitk.Shrink(sitk.GetImageFromArray(inside.astype(np.uint8)), shrink))
    field = np.exp(sitk.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(whole)).astype(np.float64))
    corrected: Array = image / field
    return corrected
