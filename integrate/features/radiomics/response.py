"""The response map of a filter in a box of an image, as the whole image would give it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from integrate.features.radiomics.filters import (
    LAWS,
    Filter,
    GaborFilter,
    LaplacianOfGaussian,
    LawsFilter,
    MeanFilter,
    SimoncelliFilter,
    WaveletFilter,
    split_kernels,
)
from integrate.features.radiomics.sample import Box

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]
    Source = Callable[[Box], Array]

__all__ = ["respond", "respond_everywhere"]

#: numpy's names of how an image goes on.
_PADDING: Final[dict[str, str]] = {"mirror": "symmetric", "nearest": "edge", "periodic": "wrap", "zero": "constant"}
#: Where a Gaussian in units of its width is below 1e-9.
_GAUSSIAN_END: Final = 6.5


@dataclass(frozen=True, slots=True)
class Stage:
    """One convolution: how many voxels it needs on each side, and what it makes of an image with that margin."""

    reach: tuple[int, int, int]
    apply: Callable[[Array], Array]


def respond(
    source: Source, box: Box, shape: tuple[int, ...], spacing: tuple[float, float, float], filter_: Filter
) -> Array:
    """Return the response to a filter in a box.

    Parameters
    ----------
    source
        Gives the intensities of a box inside the image.
    box
        Where to filter.
    shape
        Voxels of the image, beyond which the filter's boundary begins.
    spacing
        Voxel edges ``(z, y, x)`` in mm.
    filter_
        Any but `SimoncelliFilter`, which needs the whole image: see `respond_everywhere`.
    """
    import numpy as np

    chains, after = _plan(filter_, spacing)
    reach = np.max([np.sum([one.reach for one in chain], axis=0) for chain in chains], axis=0)
    reach = reach + np.sum([one.reach for one in after] or [(0, 0, 0)], axis=0)
    held, _ = _inside(box, tuple(reach.tolist()), shape, filter_.boundary)
    image = source(held)

    def part(wanted: Box) -> Array:
        corner = [a - b for a, b in zip(wanted[0], held[0], strict=True)]
        return image[tuple(slice(first, first + n) for first, n in zip(corner, wanted[1], strict=True))]

    def run(first: Source, stages: Sequence[Stage], wanted: Box) -> Array:
        if not stages:
            return first(wanted)
        before: Source = lambda inner: run(first, stages[:-1], inner)  # noqa: E731
        return stages[-1].apply(_padded(before, wanted, stages[-1].reach, shape, filter_.boundary))

    def pooled(wanted: Box) -> Array:
        return pool((run(part, chain, wanted) for chain in chains), getattr(filter_, "pool", None))

    return run(pooled, after, box)


def respond_everywhere(image: Array, filter_: SimoncelliFilter) -> Array:
    """Return the response of a whole image to a filter that is made of frequencies.

    Notes
    -----
    The frequencies are those with which the IBSI consensus is met: from -1 to 1 in as many steps as an axis has voxels,
    in units of half the sampling frequency. For an even number none of them is 0, and the response would be complex;
    its real part is that to the mean gain of a wave and of the opposite one, and turns with the image only nearly.
    """
    import numpy as np
    from scipy import fft

    axes = (1, 2) if filter_.slicewise else (0, 1, 2)
    ways = []
    for sign in (1, -1):
        frequencies = [np.zeros((1, 1, 1))] * 3
        for axis in axes:
            n = image.shape[axis]
            order = sign * np.arange(n // 2 + 1 if axis == 2 else n) % n
            along = fft.ifftshift(np.linspace(-1, 1, n) if n > 1 else np.zeros(1))[order]
            frequencies[axis] = along.reshape([-1 if k == axis else 1 for k in range(3)])
        ways.append(_ring(filter_, frequencies))
    gain = (ways[0] + ways[1].conj()) / 2
    return np.asarray(fft.irfftn(fft.rfftn(image, axes=axes) * gain, s=[image.shape[k] for k in axes], axes=axes))


def pool(responses: Iterable[Array], how: str | None) -> Array:
    """Return the mean or the maximum of responses, of which two are held at a time."""
    import numpy as np

    several = iter(responses)
    total, number = next(several), 1
    for one in several:
        total = np.maximum(total, one) if how == "max" else total + one
        number += 1
    return total if how == "max" or number == 1 else total / number


def _ring(filter_: SimoncelliFilter, frequencies: Sequence[Array]) -> Array:
    """Return the gain of the filter at frequencies along z, y and x; Riesz transforms are 0 at frequency 0."""
    import numpy as np

    distance = np.sqrt(frequencies[0] ** 2 + frequencies[1] ** 2 + frequencies[2] ** 2)
    top = 0.5 ** (filter_.level - 1)
    within = (distance > top / 4) & (distance <= top)
    gain = np.zeros(distance.shape)
    gain[within] = np.cos(np.pi / 2 * np.log2(2 * distance[within] / top))
    if filter_.riesz is None:
        return gain
    order = sum(filter_.riesz)
    several = math.factorial(order) / math.prod(math.factorial(one) for one in filter_.riesz)
    along = math.prod(frequencies[axis] ** one for axis, one in zip((2, 1, 0), filter_.riesz, strict=True))
    return np.asarray((-1j) ** order * math.sqrt(several) * along / np.where(distance > 0, distance, 1) ** order * gain)


def _plan(filter_: Filter, spacing: tuple[float, float, float]) -> tuple[list[list[Stage]], list[Stage]]:
    """Return chains of convolutions whose results are pooled, and what follows."""
    import numpy as np

    if isinstance(filter_, MeanFilter):
        flat = np.full(filter_.size, 1 / filter_.size)
        return [[_separable(None if filter_.slicewise else flat, flat, flat)]], []
    if isinstance(filter_, LaplacianOfGaussian):
        return [[_laplacian(filter_, spacing)]], []
    if isinstance(filter_, LawsFilter):
        return _laws(filter_)
    if isinstance(filter_, GaborFilter):
        return [[_gabor(filter_, plane, spacing)] for plane in ((0, 1, 2) if filter_.orthogonal else (0,))], []
    if isinstance(filter_, WaveletFilter):
        return _wavelet(filter_), []
    raise TypeError(f"{type(filter_).__name__} is applied to whole images")


def _separable(*kernels: Array | None) -> Stage:
    """Return the convolution with one kernel of odd length per axis ``z, y, x``, or none."""
    from scipy import ndimage

    def apply(image: Array) -> Array:
        for axis, kernel in enumerate(kernels):
            if kernel is not None:
                image = ndimage.convolve1d(image, kernel, axis=axis, mode="constant")
        return _crop(image, reach)

    reach = tuple(0 if kernel is None else len(kernel) // 2 for kernel in kernels)
    return Stage(reach, apply)  # type: ignore[arg-type]


def _laplacian(filter_: LaplacianOfGaussian, spacing: tuple[float, float, float]) -> Stage:
    """Return the Laplacian of a Gaussian as the sum of what each axis gives; it is exact, as the kernel ends in a box.

    As in the IBSI manual second derivatives are per voxel edge; of unequal edges it is the geometric mean.
    """
    import numpy as np

    axes = (1, 2) if filter_.slicewise else (0, 1, 2)
    edge = math.prod(spacing[axis] for axis in axes) ** (1 / len(axes))
    gaussians: list[Array | None] = [None] * 3
    bends: list[Array | None] = [None] * 3
    for axis in axes:
        sigma = filter_.sigma_mm / spacing[axis]
        end = math.floor(filter_.cutoff * sigma + 0.5)
        off = np.arange(-end, end + 1) / sigma
        gaussian = np.exp(-(off**2) / 2) / (math.sqrt(2 * math.pi) * sigma)
        gaussians[axis], bends[axis] = gaussian, (off**2 - 1) * gaussian * (edge / filter_.sigma_mm) ** 2
    terms = [_separable(*(bends[k] if k == axis else gaussians[k] for k in range(3))) for axis in axes]
    return Stage(terms[0].reach, lambda image: np.sum([term.apply(image) for term in terms], axis=0))


def _laws(filter_: LawsFilter) -> tuple[list[list[Stage]], list[Stage]]:
    import numpy as np

    named = [np.array(LAWS[name], float) for name in split_kernels(filter_.kernels)]
    kernels = [kernel / np.linalg.norm(kernel) for kernel in named]
    chains = [[_separable(*one)] for one in _rotations(kernels, rotate=filter_.pool is not None)]
    if filter_.energy_distance is None:
        return chains, []
    size = 2 * filter_.energy_distance + 1
    flat = np.full(size, 1 / size)
    smooth = _separable(flat if len(kernels) == 3 else None, flat, flat)
    return chains, [Stage(smooth.reach, lambda response: smooth.apply(np.abs(response)))]


def _wavelet(filter_: WaveletFilter) -> list[list[Stage]]:
    """Return for each rotation a low pass per level below that asked for, then the passes asked for.

    Kernels of even length end in a 0, and between coefficients lie as many as the level asks for (à trous).
    """
    import numpy as np

    from integrate.features.radiomics.wavelets import decompose

    low, high = (np.append(one, [0.0] * (1 - len(one) % 2)) for one in decompose(filter_.family))
    chains = []
    passes = [low if letter == "L" else high for letter in filter_.passes]
    both = _rotations(list(zip([low] * len(passes), passes, strict=True)), rotate=filter_.pool is not None)
    for pairs in both:
        stages = []
        for level in range(filter_.level):
            which = int(level == filter_.level - 1)
            stages.append(_separable(*(None if pair is None else _spread(pair[which], level) for pair in pairs)))
        chains.append(stages)
    return chains


def _spread(kernel: Array, level: int) -> Array:
    """Return a kernel with ``2 ** level - 1`` zeros between its coefficients."""
    import numpy as np

    spread = np.zeros((len(kernel) - 1) * 2**level + 1)
    spread[:: 2**level] = kernel
    return spread


def _rotations(kernels: Sequence[Any], *, rotate: bool) -> list[tuple[Any, Any, Any]]:
    """Return kernels given along x, y (and z) in the order z, y, x for each distinct rotation by right angles.

    A kernel may be a tuple of arrays that turn together. Along an axis that none is given for there is ``None``.
    """
    import numpy as np

    number = len(kernels)
    found: dict[Any, list[Any]] = {}
    for order in itertools.permutations(range(number)):
        parity = np.linalg.det(np.eye(number)[list(order)])
        for signs in itertools.product((1, -1), repeat=number):
            if round(parity * math.prod(signs)) == 1:
                turned = [_flip(kernels[k], sign) for k, sign in zip(order, signs, strict=True)]
                found.setdefault(tuple(np.ravel(one).tobytes() for one in turned), turned)
    chosen = list(found.values()) if rotate else [list(kernels)]
    return [tuple([None] * (3 - number) + one[::-1]) for one in chosen]


def _flip(kernel: Any, sign: int) -> Any:
    if isinstance(kernel, tuple):
        return tuple(_flip(one, sign) for one in kernel)
    return kernel[::sign]


def _gabor(filter_: GaborFilter, plane: int, spacing: tuple[float, float, float]) -> Stage:
    """Return the convolution of all planes across axis `plane` with all directions, pooled."""
    import numpy as np
    from scipy import fft

    axes = tuple(axis for axis in range(3) if axis != plane)
    kernels = [np.expand_dims(one, plane) for one in _gabor_kernels(filter_, *(spacing[axis] for axis in axes))]
    reach = tuple(n // 2 for n in kernels[0].shape)
    parts: dict[str, Callable[[Array], Array]] = {"modulus": np.abs, "real": np.real, "imaginary": np.imag}
    take = parts[filter_.response]

    def apply(image: Array) -> Array:
        size = [fft.next_fast_len(image.shape[axis]) for axis in axes]
        spectrum = fft.fftn(image, size, axes=axes)
        valid = tuple(slice(2 * r, n) for r, n in zip(reach, image.shape, strict=True))
        responses = (
            take(fft.ifftn(spectrum * fft.fftn(kernel, size, axes=axes), axes=axes)[valid]) for kernel in kernels
        )
        return pool(responses, filter_.pool)

    return Stage(reach, apply)


def _gabor_kernels(filter_: GaborFilter, down: float, right: float) -> list[Array]:
    """Return the complex kernel of each direction for voxels of ``down × right`` mm."""
    import numpy as np

    reach_mm = _GAUSSIAN_END * filter_.sigma_mm * max(1, 1 / filter_.gamma)
    ends = [math.ceil(reach_mm / step) for step in (down, right)]
    y, x = (np.arange(-end, end + 1) * step for end, step in zip(ends, (down, right), strict=True))
    number = 1 if filter_.pool is None else round(180 / filter_.step_deg)
    kernels = []
    for k in range(number):
        theta = math.radians(filter_.theta_deg + k * filter_.step_deg)
        along = x * math.cos(theta) + y[:, None] * math.sin(theta)
        across = y[:, None] * math.cos(theta) - x * math.sin(theta)
        envelope = np.exp(-(along**2 + (filter_.gamma * across) ** 2) / (2 * filter_.sigma_mm**2))
        kernels.append(envelope * np.exp(2j * math.pi * along / filter_.wavelength_mm))
    return kernels


def _padded(source: Source, box: Box, reach: tuple[int, int, int], shape: tuple[int, ...], boundary: str) -> Array:
    """Return a box with a margin, beyond the image as `boundary` says."""
    import numpy as np

    inner, margins = _inside(box, reach, shape, boundary)
    padded = np.pad(source(inner), margins, mode=_PADDING[boundary])  # type: ignore[call-overload]
    cut = [
        slice(first - r - start + before, first - r - start + before + n + 2 * r)
        for first, n, r, start, (before, _) in zip(*box, reach, inner[0], margins, strict=True)
    ]
    return np.asarray(padded[tuple(cut)])


def _inside(
    box: Box, reach: tuple[int, ...], shape: tuple[int, ...], boundary: str
) -> tuple[Box, list[tuple[int, int]]]:
    """Return the part of a box with its margin that lies in the image, and how much of the margin does not.

    A periodic image is needed whole along an axis whose border is passed.
    """
    start, size, margins = [], [], []
    for first, n, r, limit in zip(*box, reach, shape, strict=True):
        low, high = first - r, first + n + r
        before, after = max(0, -low), max(0, high - limit)
        whole = boundary == "periodic" and (before or after)
        inner = (0, limit) if whole else (max(low, 0), min(high, limit))
        start.append(inner[0])
        size.append(inner[1] - inner[0])
        margins.append((before, after))
    return (tuple(start), tuple(size)), margins  # type: ignore[return-value]


def _crop(image: Array, reach: tuple[int, ...]) -> Array:
    return image[tuple(slice(r, n - r) for r, n in zip(reach, image.shape, strict=True))]
