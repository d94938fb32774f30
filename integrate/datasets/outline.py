"""The tumour outlines two annotators draw on a planted slide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from shapely.geometry import MultiPolygon

    from integrate.datasets.tissue import Architecture
    from integrate.datasets.warp import Warp

__all__ = ["dice", "draw_outlines"]

STEP_UM = 4.0


def draw_outlines(
    tissue: Architecture, warp: Warp, rng: np.random.Generator, *, shape: tuple[int, int], pixel_um: float
) -> list[MultiPolygon]:
    """Return the tumour region as the first and the second annotator draw it, in pixels of the slide's level 0.

    The first follows the planted nests; the second is off by a smooth few micrometres and uses fewer vertices.
    A pixel ``i`` covers ``[i, i + 1)``, as in QuPath.

    Parameters
    ----------
    tissue, warp
        The architecture and the map from the slide to it.
    rng
        Source of the second annotator's deviations.
    shape, pixel_um
        Rows and columns of the slide, and the edge of a pixel.
    """
    import numpy as np
    from scipy import ndimage

    from integrate.datasets.tissue import smooth_noise

    rows, columns = (int(np.ceil(count * pixel_um / STEP_UM)) for count in shape)
    x, y = np.meshgrid((np.arange(columns) + 0.5) * STEP_UM, (np.arange(rows) + 0.5) * STEP_UM)
    place = warp.forward(np.stack([x, y], axis=-1))
    depth = np.minimum(*(tissue.at(name, place[..., 0], place[..., 1]) for name in ("tumour", "tissue")))
    depth = ndimage.gaussian_filter(depth, 1.2)
    wobble = smooth_noise(rng, max(rows, columns), 30 / STEP_UM)[:rows, :columns]
    second = depth + 3.5 * wobble + rng.uniform(-2.5, 2.5)
    scale = STEP_UM / pixel_um
    return [
        _polygons(field, scale=scale, simplify=tolerance / pixel_um)
        for field, tolerance in ((depth, 0.6), (second, 1.6))
    ]


def dice(first: Any, second: Any) -> float:
    """Return the Dice coefficient of two regions, from their exact areas; 1 when both are empty."""
    total = first.area + second.area
    return float(2 * first.intersection(second).area / total) if total else 1.0


def _polygons(field: NDArray[np.float64], *, scale: float, simplify: float) -> MultiPolygon:
    """Return where a field on a coarse raster is positive, as polygons in pixels; crumbs are left out."""
    import numpy as np
    from shapely.geometry import MultiPolygon, Polygon
    from skimage.measure import find_contours

    region: Any = MultiPolygon()
    for ring in find_contours(np.pad(field, 1, constant_values=-1.0), 0.0):
        # find_contours counts from pixel centres; the padding added one raster step.
        outline = Polygon((ring[:, ::-1] - 0.5) * scale).buffer(0)
        region = region.symmetric_difference(outline)  # a ring inside another one is a hole
    smallest = (20 * scale / STEP_UM) ** 2
    parts = [part.simplify(simplify) for part in getattr(region, "geoms", [region])]
    kept = [_rounded(part) for part in parts if part.area > smallest]
    return MultiPolygon([part for part in kept if part.is_valid and part.geom_type == "Polygon"])


def _rounded(part: Any) -> Any:
    """Return the polygon with coordinates to a hundredth of a pixel, as they are written."""
    import shapely

    return shapely.set_precision(part, 0.01)
