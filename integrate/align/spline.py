"""The bend between two pictures of sections: a B-spline of few nodes, found by mutual information."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integrate.align.itk import itk_affine, itk_mask, mutual_search, to_itk
from integrate.align.space import Space
from integrate.align.transform import Affine, DisplacementField, Transform

if TYPE_CHECKING:
    import SimpleITK as sitk

    from integrate.align.working import Picture

__all__ = ["bend_section"]

#: Samples of the metric: enough for a stable gradient, whatever the size of the picture.
SAMPLES = 12_000


def bend_section(
    fixed: Picture, moving: Picture, flat: Affine, *, nodes: int, rate: float, seed: int
) -> Transform | None:
    """Return the affine way preceded by a smooth displacement within the fixed space; None if it left the picture."""
    import numpy as np
    import SimpleITK as sitk

    here, there = to_itk(fixed), to_itk(moving)
    pixel = min(here.GetSpacing())
    given = itk_affine(flat.array)
    longest = max(here.GetSize())
    coarse = [max(1, round(nodes / 2 * size / longest)) for size in here.GetSize()]
    spline = sitk.BSplineTransformInitializer(here, coarse)
    search = mutual_search(bins=32, fraction=min(1.0, SAMPLES / fixed.values.size), seed=seed)
    search.SetMetricFixedMask(itk_mask(fixed))
    search.SetOptimizerAsGradientDescentLineSearch(rate, 15, 1e-4, 5)
    search.SetMovingInitialTransform(given)
    search.SetInitialTransformAsBSpline(spline, inPlace=True, scaleFactors=[1, 2])
    search.SetShrinkFactorsPerLevel([2, 1])
    search.SetSmoothingSigmasPerLevel([pixel, 0.5 * pixel])
    search.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    try:
        search.Execute(here, there)
    except RuntimeError:  # SimpleITK: all samples map outside the moving picture
        return None
    space = fixed.grid.space
    straight = Space(f"{space.name} straightened", space.unit, space.axes)
    field = _field(spline, here, space, straight, step=max(1, longest // (16 * nodes)))
    return field.then(Affine(flat.matrix, straight, flat.target)) if np.any(field.vectors) else flat


def _field(spline: sitk.Transform, image: sitk.Image, source: Space, target: Space, *, step: int) -> DisplacementField:
    """Return a spline as displacements on nodes that follow it closely; beyond the picture it is not defined."""
    import numpy as np
    import SimpleITK as sitk

    count = [max(2, size // step + 1) for size in image.GetSize()]
    inner = [(size - 1.002) * one for size, one in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    spacing = [length / (nodes - 1) for length, nodes in zip(inner, count, strict=True)]
    origin = [first + 0.001 * one for first, one in zip(image.GetOrigin(), image.GetSpacing(), strict=True)]
    drawn = sitk.TransformToDisplacementField(spline, sitk.sitkVectorFloat64, count, origin, spacing)
    vectors = np.asarray(sitk.GetArrayFromImage(drawn))
    return DisplacementField(vectors, tuple(origin), tuple(spacing), source, target)
