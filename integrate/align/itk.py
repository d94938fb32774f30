"""A working picture in SimpleITK's words, with the matrices and the search that go with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import SimpleITK as sitk

    from integrate.align.working import Picture

__all__ = ["itk_affine", "itk_mask", "matrix_of", "middle_of", "mutual_search", "to_itk"]


def to_itk(picture: Picture, *, longest: int | None = None) -> sitk.Image:
    """Return a picture for SimpleITK, whose origin is the centre of the first pixel; reduced to a longest edge."""
    import numpy as np
    import SimpleITK as sitk

    values = np.nan_to_num(picture.values).astype(np.float32)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(picture.grid.size[::-1])
    image.SetOrigin(picture.grid.affine.map_points(np.full((1, values.ndim), 0.5))[0].tolist())
    factor = 1 if longest is None else max(values.shape) // longest
    if factor > 1:
        soft = sitk.SmoothingRecursiveGaussian(image, [0.5 * factor * one for one in image.GetSpacing()])
        image = sitk.Shrink(soft, [min(factor, n) for n in image.GetSize()])
    return image


def itk_mask(picture: Picture) -> sitk.Image:
    """Return the foreground of a picture for SimpleITK."""
    import numpy as np
    import SimpleITK as sitk

    mask = sitk.GetImageFromArray(picture.foreground.astype(np.uint8))
    mask.CopyInformation(to_itk(picture))
    return mask


def mutual_search(*, bins: int, fraction: float, seed: int) -> sitk.ImageRegistrationMethod:
    """Return a search by Mattes mutual information at a random share of the pixels."""
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # sums over threads differ in the last bits, and a result must not
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(bins)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerScalesFromPhysicalShift()
    if fraction < 1:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(fraction, seed + 1)
    return method


def itk_affine(matrix: np.ndarray[Any, Any]) -> sitk.AffineTransform:
    """Return a homogeneous matrix as SimpleITK's transform."""
    import SimpleITK as sitk

    n = len(matrix) - 1
    made = sitk.AffineTransform(n)
    made.SetMatrix(matrix[:n, :n].ravel().tolist())
    made.SetTranslation(matrix[:n, n].tolist())
    return made


def middle_of(image: sitk.Image) -> np.ndarray[Any, Any]:
    """Return the middle between the centres of the first and the last pixel."""
    import numpy as np

    return np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))


def matrix_of(transform: Any) -> np.ndarray[Any, Any]:
    """Return SimpleITK's matrix, centre and translation as one homogeneous matrix."""
    import numpy as np

    n = transform.GetDimension()
    linear = np.array(transform.GetMatrix()).reshape(n, n)
    centre = np.array(transform.GetCenter())
    matrix = np.eye(n + 1)
    matrix[:n, :n] = linear
    matrix[:n, n] = np.array(transform.GetTranslation()) + centre - linear @ centre
    return matrix
