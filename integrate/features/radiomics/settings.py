"""Settings of radiomics: how an image is processed before it is measured, and what is measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from integrate.errors import ParameterError
from integrate.features.radiomics.filters import Filter, check_choice
from integrate.features.radiomics.nomenclature import AGGREGATIONS, FAMILIES

__all__ = ["FixedBinNumber", "FixedBinSize", "Radiomics", "Resample", "Resegment"]

#: Ways to bring texture matrices together that a user chooses from.
TEXTURES: Final[tuple[str, ...]] = tuple(name for name in AGGREGATIONS if name.endswith(("_avg", "_comb")))


@dataclass(frozen=True, slots=True)
class Resample:
    """Interpolation of image and mask to another voxel size, on a grid with the same centre as the image's.

    Parameters
    ----------
    spacing_mm
        Voxel edges ``(z, y, x)`` to interpolate to, or one for all three. ``None`` leaves an axis as it is, so
        ``(None, 2, 2)`` interpolates slice by slice.
    method
        ``"linear"``, ``"cubic"`` (a cubic B-spline through the voxels) or ``"nearest"``.
    mask_method
        ``"linear"`` or ``"nearest"``: how the mask of each label, 0 or 1, is interpolated.
    mask_threshold
        A voxel belongs to the region from this interpolated mask value on.
    round_to
        Round interpolated intensities to multiples of this; 1 for Hounsfield units. ``None`` keeps them.

    Examples
    --------
    >>> Resample(2, round_to=1).spacing_mm
    (2.0, 2.0, 2.0)
    """

    spacing_mm: float | tuple[float | None, ...]
    method: str = "linear"
    mask_method: str = "linear"
    mask_threshold: float = 0.5
    round_to: float | None = None

    def __post_init__(self) -> None:
        """Bring the spacing to three numbers and refuse what has no meaning."""
        given = self.spacing_mm if isinstance(self.spacing_mm, (tuple, list)) else (self.spacing_mm,) * 3
        spacing = tuple(None if one is None else float(one) for one in given)
        if len(spacing) != 3 or any(one is not None and not 0 < one < math.inf for one in spacing):
            raise ParameterError(f"spacing_mm is {self.spacing_mm}; expected a length above 0, or three as (z, y, x)")
        object.__setattr__(self, "spacing_mm", spacing)
        check_choice("method", self.method, ("linear", "cubic", "nearest"))
        check_choice("mask_method", self.mask_method, ("linear", "nearest"))
        if not 0 < self.mask_threshold <= 1:
            raise ParameterError(f"mask_threshold is {self.mask_threshold}; expected above 0 and at most 1")
        if self.round_to is not None and not 0 < self.round_to < math.inf:
            raise ParameterError(f"round_to is {self.round_to}; expected a step above 0, or None")


@dataclass(frozen=True, slots=True)
class Resegment:
    """Voxels of a region that are left out of its intensities; its morphology keeps them.

    Parameters
    ----------
    interval
        Lowest and highest intensity that stays; an open end is ``-inf`` or ``inf``.
    outliers_sigma
        Leave out what lies further than this many standard deviations from the mean of the voxels inside `interval`.

    Examples
    --------
    >>> Resegment(interval=(-500, 400)).interval
    (-500.0, 400.0)
    """

    interval: tuple[float, float] | None = None
    outliers_sigma: float | None = None

    def __post_init__(self) -> None:
        """Refuse an interval that holds nothing."""
        if self.interval is not None:
            low, high = (float(end) for end in self.interval)
            if not low < high:
                raise ParameterError(f"interval is {self.interval}; expected (low, high) with low < high")
            object.__setattr__(self, "interval", (low, high))
        if self.outliers_sigma is not None and not self.outliers_sigma > 0:
            raise ParameterError(f"outliers_sigma is {self.outliers_sigma}; expected above 0, or None")


@dataclass(frozen=True, slots=True)
class FixedBinSize:
    """Grey levels of a fixed width of intensity, for calibrated units (HU, SUV).

    Parameters
    ----------
    width
        Intensity per grey level.
    start
        Where level 1 begins. By default the lower end of the re-segmentation interval, else the region's minimum.

    Examples
    --------
    >>> FixedBinSize(25).width
    25.0
    """

    width: float
    start: float | None = None

    def __post_init__(self) -> None:
        """Refuse a width that gives no levels."""
        if not 0 < self.width < math.inf:
            raise ParameterError(f"width is {self.width}; expected above 0")
        object.__setattr__(self, "width", float(self.width))


@dataclass(frozen=True, slots=True)
class FixedBinNumber:
    """A fixed number of grey levels between a region's minimum and maximum, for arbitrary units (MR).

    Parameters
    ----------
    number
        How many levels.

    Examples
    --------
    >>> FixedBinNumber(32).number
    32
    """

    number: int

    def __post_init__(self) -> None:
        """Refuse a number that gives no levels."""
        if int(self.number) != self.number or self.number < 1:
            raise ParameterError(f"number is {self.number}; expected a whole number of 1 or more")
        object.__setattr__(self, "number", int(self.number))


@dataclass(frozen=True, slots=True)
class Radiomics:
    """What is measured and how; the defaults measure every family in 3-D on the grid the image has.

    Parameters
    ----------
    bins
        Grey levels of histogram and textures.
    resample
        Interpolation before anything else; ``None`` keeps the grid.
    resegment
        Which intensities count; ``None`` keeps all.
    ivh_bins
        Grey levels of the intensity-volume histogram; ``None`` takes intensities as they are.
    families
        Any of ``"morphology"``, ``"local_intensity"``, ``"statistics"``, ``"histogram"``, ``"ivh"``, ``"glcm"``,
        ``"glrlm"``, ``"glszm"``, ``"gldzm"``, ``"ngtdm"`` and ``"ngldm"``.
    textures
        How texture matrices are brought together: any of ``"2D_avg"``, ``"2D_comb"`` (slice by slice), ``"2_5D_avg"``,
        ``"2_5D_comb"`` (in slices, slices merged), ``"3D_avg"`` and ``"3D_comb"``. ``avg`` averages the features of
        directions, ``comb`` merges their matrices; families without directions are given once per dimension.
    filters
        `MeanFilter`, `LaplacianOfGaussian`, `LawsFilter`, `GaborFilter`, `WaveletFilter` and `SimoncelliFilter`: the
        image is filtered after interpolation, and its responses are measured in the voxels that re-segmentation leaves.
    filter_families
        Which families are measured of responses; form and local intensity are not.
    filter_bins
        Grey levels of responses, whose intensities are arbitrary.
    max_levels
        Regions with more grey levels than this get no texture matrices (NaN with a reason), whose memory and time grow
        with the square of the levels.

    Notes
    -----
    Values follow the IBSI reference manual (Zwanenburg et al., Radiology 2020; arXiv 1612.07003): Chebyshev distance 1
    in all matrices, NGLDM coarseness 0, city-block distances in the GLDZM, spherical 1 cm³ peaks. Filters follow its
    second manual (arXiv 2006.05470; Whybra et al., Radiology 2024).

    Examples
    --------
    >>> ct = Radiomics(
    ...     FixedBinSize(25),
    ...     resample=Resample(1, method="cubic", round_to=1),
    ...     resegment=Resegment(interval=(-200, 200)),
    ... )
    >>> ct.textures
    ('3D_comb',)
    """

    bins: FixedBinNumber | FixedBinSize = FixedBinNumber(32)
    resample: Resample | None = None
    resegment: Resegment | None = None
    ivh_bins: FixedBinNumber | FixedBinSize | None = None
    families: tuple[str, ...] = tuple(FAMILIES)
    textures: tuple[str, ...] = ("3D_comb",)
    filters: tuple[Filter, ...] = ()
    filter_families: tuple[str, ...] = ("statistics",)
    filter_bins: FixedBinNumber | FixedBinSize = FixedBinNumber(32)
    max_levels: int = 1024

    def __post_init__(self) -> None:
        """Refuse unknown and repeated names."""
        filterable = tuple(family for family in FAMILIES if family not in ("morphology", "local_intensity"))
        known_names = (("families", tuple(FAMILIES)), ("textures", TEXTURES), ("filter_families", filterable))
        for name, known in known_names:
            chosen = getattr(self, name)
            if isinstance(chosen, str):
                raise ParameterError(f"{name} is {chosen!r}; expected a list, e.g. [{chosen!r}]")
            object.__setattr__(self, name, tuple(chosen))
            for one in chosen:
                check_choice(name, one, known)
            if len(set(chosen)) < len(chosen):
                raise ParameterError(f"{name} {tuple(chosen)} repeat; give each once")
        chosen_filters = (self.filters,) if isinstance(self.filters, Filter) else tuple(self.filters)
        object.__setattr__(self, "filters", chosen_filters)
        for one in chosen_filters:
            if not isinstance(one, Filter):
                raise ParameterError(f"filters hold {one!r}; expected filters such as LaplacianOfGaussian(1.5)")
        if len({one.name for one in chosen_filters}) < len(chosen_filters):
            raise ParameterError(f"filters {[one.name for one in chosen_filters]} repeat; give each once")

    def of_responses(self) -> Radiomics:
        """Return what is measured of the response to a filter."""
        return replace(
            self, bins=self.filter_bins, families=self.filter_families, resegment=None, ivh_bins=None, filters=()
        )
