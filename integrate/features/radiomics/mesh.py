"""The surface of a mask: its volume, area and corners, from the forms of its cells."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["find_hull", "measure_surface"]


def measure_surface(inside: np.ndarray[Any, Any], spacing: tuple[float, float, float]) -> tuple[float, float]:
    """Return volume and area of the marching cubes surface halfway between voxels inside and outside.

    Parameters
    ----------
    inside
        Mask ``(z, y, x)``, padded by at least one voxel outside.
    spacing
        Voxel edges ``(z, y, x)``.

    Notes
    -----
    In a mask the triangles of a cell depend only on which of its eight corners are inside. So the surface is never
    made: cells are counted by form, and area, flux and normal of each of the 256 forms are known (Lewiner's cases, as
    scikit-image makes them). The volume follows from Gauss's theorem, as the flux of the position along x.
    """
    import numpy as np

    from integrate.features.radiomics.morphology_kernels import count_cells

    areas, fluxes, normals = _forms(spacing)
    count, position = count_cells(inside.view(np.uint8))
    return float(count @ fluxes + spacing[2] * (position @ normals)), float(count @ areas)


def find_hull(inside: np.ndarray[Any, Any], spacing: tuple[float, float, float]) -> tuple[Any, float, float]:
    """Return the corners of the convex hull of the mesh in mm, and the hull's volume and area."""
    import numpy as np
    from scipy.spatial import ConvexHull

    from integrate.features.radiomics.morphology_kernels import find_corners

    vertices = find_corners(inside) * np.asarray(spacing)
    hull = ConvexHull(vertices)  # a single voxel already is an octahedron, so the hull is never flat
    return vertices[hull.vertices], float(hull.volume), float(hull.area)


@lru_cache(maxsize=64)
def _forms(spacing: tuple[float, float, float]) -> tuple[np.ndarray[Any, Any], ...]:
    """Return area, flux of the position along x from the cell's corner, and normal along x of the 256 forms."""
    import numpy as np
    from skimage.measure import marching_cubes

    area, flux, normal = np.zeros(256), np.zeros(256), np.zeros(256)
    for form in range(1, 255):
        corners = ((form >> np.arange(8)) & 1).reshape(2, 2, 2).astype(np.float32)
        vertices, faces, _, _ = marching_cubes(corners, level=0.5, spacing=spacing, allow_degenerate=False)
        a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
        cross = (
            np.cross(b - a, c - a) / 2
        )  # points out of the region for scikit-image's "descent" order, seen (z, y, x)
        area[form] = np.linalg.norm(cross, axis=1).sum()
        flux[form] = (cross[:, 2] * (a + b + c)[:, 2] / 3).sum()
        normal[form] = cross[:, 2].sum()
    single = (
        flux[1] + 0.0
    )  # one corner inside at the origin: its surface faces away from the origin, so its flux is > 0
    sign = 1.0 if single > 0 else -1.0
    return area, sign * flux, sign * normal
