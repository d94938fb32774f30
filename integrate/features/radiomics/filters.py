"""Filters of the Image Biomarker Standardisation Initiative as settings: what an image is convolved with."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import ClassVar, Final

from integrate.errors import ParameterError, closest

__all__ = [
    "Filter",
    "GaborFilter",
    "LaplacianOfGaussian",
    "LawsFilter",
    "MeanFilter",
    "SimoncelliFilter",
    "WaveletFilter",
]

#: How an image goes on beyond its border: 0, its outermost voxel, its other end, or mirrored at the outer face.
BOUNDARIES: Final[tuple[str, ...]] = ("mirror", "nearest", "periodic", "zero")
#: Laws' kernels before they are normalised.
LAWS: Final[dict[str, tuple[int, ...]]] = {
    "L3": (1, 2, 1),
    "E3": (-1, 0, 1),
    "S3": (-1, 2, -1),
    "L5": (1, 4, 6, 4, 1),
    "E5": (-1, -2, 0, 2, 1),
    "S5": (-1, 0, 2, 0, -1),
    "W5": (-1, 2, 0, -2, 1),
    "R5": (1, -4, 6, -4, 1),
}
#: Families of separable wavelets.
WAVELETS: Final[tuple[str, ...]] = ("haar", *(f"db{order}" for order in range(1, 11)), "coif1")


@dataclass(frozen=True, slots=True)
class MeanFilter:
    """The mean of the voxels around each voxel.

    Parameters
    ----------
    size
        Edge of the neighbourhood in voxels, odd.
    slicewise
        Average within slices only.
    boundary
        ``"mirror"``, ``"nearest"``, ``"periodic"`` or ``"zero"`` beyond the border of the image.

    Examples
    --------
    >>> MeanFilter(5).name
    'mean_5'
    """

    ibsi: ClassVar[str] = "S60F"

    size: int
    slicewise: bool = False
    boundary: str = "mirror"

    def __post_init__(self) -> None:
        """Refuse sizes without a middle."""
        if int(self.size) != self.size or self.size < 1 or self.size % 2 == 0:
            raise ParameterError(f"size is {self.size}; expected an odd number of voxels")
        check_choice("boundary", self.boundary, BOUNDARIES)

    @property
    def name(self) -> str:
        """What column names begin with."""
        return _name("mean", self.size, self.slicewise and "2D", _boundary(self.boundary))


@dataclass(frozen=True, slots=True)
class LaplacianOfGaussian:
    """The Laplacian of the image after Gaussian smoothing: edges, and blobs of one size (bright ones below 0).

    Parameters
    ----------
    sigma_mm
        Width of the Gaussian.
    cutoff
        The kernel ends this many sigma from its centre.
    slicewise
        Filter each slice for itself.
    boundary
        ``"mirror"``, ``"nearest"``, ``"periodic"`` or ``"zero"`` beyond the border of the image.

    Examples
    --------
    >>> LaplacianOfGaussian(1.5).name
    'log_1.5mm'
    """

    ibsi: ClassVar[str] = "L6PA"

    sigma_mm: float
    cutoff: float = 4.0
    slicewise: bool = False
    boundary: str = "mirror"

    def __post_init__(self) -> None:
        """Refuse kernels without extent."""
        for what in ("sigma_mm", "cutoff"):
            check_positive(what, getattr(self, what))
        check_choice("boundary", self.boundary, BOUNDARIES)

    @property
    def name(self) -> str:
        """What column names begin with."""
        cut = self.cutoff != 4 and f"cut{self.cutoff:g}"
        return _name("log", f"{self.sigma_mm:g}mm", cut, self.slicewise and "2D", _boundary(self.boundary))


@dataclass(frozen=True, slots=True)
class LawsFilter:
    """Laws' kernels: level, edge, spot, wave and ripple, one along each axis.

    Parameters
    ----------
    kernels
        Such as ``"L5E5E5"`` (along x, y and z), or ``"L5E5"`` to filter each slice for itself; of ``L3``, ``E3``,
        ``S3``, ``L5``, ``E5``, ``S5``, ``W5`` and ``R5``.
    pool
        ``"max"`` or ``"mean"`` of the responses to all right-angled rotations of the kernels; ``None`` does not rotate.
    energy_distance
        Texture energy: the mean of absolute responses up to this many voxels away; ``None`` keeps responses.
    boundary
        ``"mirror"``, ``"nearest"``, ``"periodic"`` or ``"zero"`` beyond the border of the image.

    Examples
    --------
    >>> LawsFilter("L5E5E5", pool="max", energy_distance=7).name
    'laws_L5E5E5_max_energy7'
    """

    ibsi: ClassVar[str] = "JTXT"

    kernels: str
    pool: str | None = None
    energy_distance: int | None = None
    boundary: str = "mirror"

    def __post_init__(self) -> None:
        """Refuse unknown kernels."""
        for one in split_kernels(self.kernels):
            check_choice("kernels", one, tuple(LAWS))
        if len(self.kernels) not in (4, 6):
            raise ParameterError(f"kernels are {self.kernels!r}; expected three as in 'L5E5E5', or two as in 'L5E5'")
        if self.energy_distance is not None and self.energy_distance < 1:
            raise ParameterError(f"energy_distance is {self.energy_distance}; expected 1 voxel or more, or None")
        _check_pool(self.pool)
        check_choice("boundary", self.boundary, BOUNDARIES)

    @property
    def name(self) -> str:
        """What column names begin with."""
        energy = self.energy_distance is not None and f"energy{self.energy_distance}"
        return _name("laws", self.kernels, self.pool, energy, _boundary(self.boundary))


@dataclass(frozen=True, slots=True)
class GaborFilter:
    """Waves of one length and direction within a Gaussian, in planes.

    Parameters
    ----------
    sigma_mm
        Width of the Gaussian along the wave.
    wavelength_mm
        Length of the wave.
    gamma
        Width along the wave by width across it.
    theta_deg
        Direction of the wave, clockwise from the x axis; with `pool` the first direction.
    step_deg
        Distance of directions that are pooled, a part of 180.
    pool
        ``"mean"`` or ``"max"`` of the responses to all directions; ``None`` takes one direction.
    orthogonal
        Pool the responses in the three orthogonal planes instead of taking that in slices.
    response
        ``"modulus"``, ``"real"`` or ``"imaginary"``.
    boundary
        ``"mirror"``, ``"nearest"``, ``"periodic"`` or ``"zero"`` beyond the border of the image.

    Notes
    -----
    The kernel is not normalised (as the IBSI manual has it) and ends where the Gaussian is below 1e-9.

    Examples
    --------
    >>> GaborFilter(5, 2, gamma=1.5, pool="mean", step_deg=22.5).name
    'gabor_5mm_2mm_g1.5_mean22.5'
    """

    ibsi: ClassVar[str] = "Q88H"

    sigma_mm: float
    wavelength_mm: float
    gamma: float = 1.0
    theta_deg: float = 0.0
    step_deg: float = 45.0
    pool: str | None = None
    orthogonal: bool = False
    response: str = "modulus"
    boundary: str = "mirror"

    def __post_init__(self) -> None:
        """Refuse kernels without extent and steps that do not close."""
        for what in ("sigma_mm", "wavelength_mm", "gamma", "step_deg"):
            check_positive(what, getattr(self, what))
        if abs(180 / self.step_deg - round(180 / self.step_deg)) > 1e-9:
            raise ParameterError(f"step_deg is {self.step_deg}; expected a part of 180 such as 45 or 22.5")
        if self.orthogonal and self.pool is None:
            raise ParameterError("orthogonal planes need pool='mean' or 'max': they give three responses")
        _check_pool(self.pool)
        check_choice("response", self.response, ("modulus", "real", "imaginary"))
        check_choice("boundary", self.boundary, BOUNDARIES)

    @property
    def name(self) -> str:
        """What column names begin with."""
        direction = f"t{self.theta_deg:g}" if self.pool is None or self.theta_deg else None
        return _name(
            "gabor",
            f"{self.sigma_mm:g}mm",
            f"{self.wavelength_mm:g}mm",
            f"g{self.gamma:g}",
            direction,
            self.pool and f"{self.pool}{self.step_deg:g}",
            self.orthogonal and "planes",
            self.response != "modulus" and self.response,
            _boundary(self.boundary),
        )


@dataclass(frozen=True, slots=True)
class WaveletFilter:
    """A separable wavelet, undecimated (à trous): low or high pass along each axis.

    Parameters
    ----------
    family
        ``"haar"``, ``"db1"`` to ``"db10"`` (Daubechies) or ``"coif1"`` (Coiflet).
    passes
        Such as ``"LLH"``: low pass along x and y, high pass along z; two letters filter each slice for itself.
    level
        Level of decomposition, from 1.
    pool
        ``"mean"`` or ``"max"`` of the responses to all right-angled rotations; ``None`` does not rotate.
    boundary
        ``"mirror"``, ``"nearest"``, ``"periodic"`` or ``"zero"`` beyond the border of the image.

    Examples
    --------
    >>> WaveletFilter("db3", "LLH", pool="mean").name
    'wavelet_db3_LLH_1_mean'
    """

    ibsi: ClassVar[str] = "25BO"

    family: str
    passes: str
    level: int = 1
    pool: str | None = None
    boundary: str = "mirror"

    def __post_init__(self) -> None:
        """Refuse unknown wavelets."""
        check_choice("family", self.family, WAVELETS)
        if not re.fullmatch("[LH]{2,3}", self.passes):
            raise ParameterError(f"passes are {self.passes!r}; expected three of L and H, or two for slices")
        if int(self.level) != self.level or not 1 <= self.level <= 8:
            raise ParameterError(f"level is {self.level}; expected a whole number from 1 to 8")
        _check_pool(self.pool)
        check_choice("boundary", self.boundary, BOUNDARIES)

    @property
    def name(self) -> str:
        """What column names begin with."""
        return _name("wavelet", self.family, self.passes, self.level, self.pool, _boundary(self.boundary))


@dataclass(frozen=True, slots=True)
class SimoncelliFilter:
    """Simoncelli's non-separable wavelet: a ring of frequencies of all directions; optionally its Riesz transform.

    Parameters
    ----------
    level
        Level of decomposition: the ring ends at half the sampling frequency at level 1, at a quarter at 2, and so on.
    slicewise
        Filter each slice for itself.
    riesz
        Order of the Riesz transform along x, y and z, such as ``(1, 0, 0)``, like a derivative along x.

    Notes
    -----
    It is applied to the frequencies of the whole image, which therefore goes on periodically beyond its border, and of
    which one response is held in memory. The IBSI found no consensus on Riesz transforms; the definition is that of its
    manual.

    Examples
    --------
    >>> SimoncelliFilter(2).name
    'simoncelli_2'
    """

    ibsi: ClassVar[str] = "LODD"
    boundary: ClassVar[str] = "periodic"

    level: int = 1
    slicewise: bool = False
    riesz: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        """Refuse levels and orders without meaning."""
        if int(self.level) != self.level or not 1 <= self.level <= 8:
            raise ParameterError(f"level is {self.level}; expected a whole number from 1 to 8")
        if self.riesz is not None:
            orders = tuple(self.riesz)
            if len(orders) != 3 or any(one < 0 for one in orders) or not any(orders):
                raise ParameterError(f"riesz is {self.riesz}; expected three orders (x, y, z) such as (1, 0, 0)")
            if self.slicewise and orders[2]:
                raise ParameterError(f"riesz is {self.riesz} within slices; expected order 0 along z")
            object.__setattr__(self, "riesz", orders)

    @property
    def name(self) -> str:
        """What column names begin with."""
        riesz = self.riesz and "riesz" + "".join(map(str, self.riesz))
        return _name("simoncelli", self.level, self.slicewise and "2D", riesz)


Filter = MeanFilter | LaplacianOfGaussian | LawsFilter | GaborFilter | WaveletFilter | SimoncelliFilter


def split_kernels(kernels: str) -> list[str]:
    """Return the names of kernels in pairs of letters.

    Examples
    --------
    >>> split_kernels("L5E5")
    ['L5', 'E5']
    """
    return [kernels[at : at + 2] for at in range(0, len(kernels), 2)]


def check_choice(what: str, given: str, known: tuple[str, ...]) -> None:
    """Refuse a name that is none of those known.

    Raises
    ------
    ParameterError
        If `given` is not among them.
    """
    if given not in known:
        raise ParameterError(f"no {what} {given!r}; {closest(given, known)}")


def check_positive(what: str, given: float) -> None:
    """Refuse a number that is not above 0.

    Raises
    ------
    ParameterError
        If it is 0, negative, infinite or NaN.
    """
    if not 0 < given < math.inf:
        raise ParameterError(f"{what} is {given}; expected a number above 0")


def _check_pool(pool: str | None) -> None:
    if pool is not None:
        check_choice("pool", pool, ("max", "mean"))


def _boundary(boundary: str) -> str | None:
    return None if boundary == "mirror" else boundary


def _name(*parts: object) -> str:
    return "_".join(str(one) for one in parts if one not in (None, False))
