"""One planted piece of tissue: nests, stroma, lumina and vessels, with the cells that fill them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "CELL_TYPES",
    "TYPES",
    "Architecture",
    "CellType",
    "Cells",
    "adjacent_cells",
    "grow_tissue",
    "place_cells",
    "smooth_noise",
]


@dataclass(frozen=True, slots=True)
class CellType:
    """One cell type: equivalent nuclear radius, elongation, rim of cytoplasm, personal space, share that divides."""

    nucleus_um: float
    aspect: float
    rim_um: float
    space_um: float
    cycling: float


CELL_TYPES: dict[str, CellType] = {
    "tumour": CellType(3.9, 1.2, 3.6, 8.2, 0.22),
    "cd8_t": CellType(3.0, 1.08, 1.3, 6.8, 0.06),
    "cd4_t": CellType(3.0, 1.08, 1.3, 6.8, 0.04),
    "b_cell": CellType(3.1, 1.05, 1.2, 6.6, 0.05),
    "macrophage": CellType(3.4, 1.35, 3.0, 8.8, 0.01),
    "fibroblast": CellType(3.0, 2.0, 1.6, 9.0, 0.01),
    "endothelial": CellType(2.9, 1.9, 1.3, 7.5, 0.01),
}
TYPES = tuple(CELL_TYPES)


@dataclass(frozen=True)
class Architecture:
    """Smooth fields that say what is where, on a coarse raster that reaches a quarter beyond the section.

    Parameters
    ----------
    section_um
        Edge of the square section; its corner is the origin.
    step_um, origin_um
        Raster spacing, and the coordinate of the raster's corner on both axes.
    tissue, tumour, lumen
        Signed distance to the edge in micrometres, positive inside; ``(y, x)``.
    fibre
        Direction of the collagen, radians; ``(y, x)``.
    vessels
        ``(n, 3)``: x, y and radius in micrometres.
    """

    section_um: float
    step_um: float
    origin_um: float
    tissue: NDArray[np.float32]
    tumour: NDArray[np.float32]
    lumen: NDArray[np.float32]
    fibre: NDArray[np.float32]
    vessels: NDArray[np.float64]

    def at(self, field: str, x: Any, y: Any) -> NDArray[np.float32]:
        """Return one field at points or pixel grids in micrometres, bilinearly interpolated."""
        import numpy as np

        from integrate.datasets.field_kernels import sample

        values = np.empty(np.shape(x), np.float32)
        sample(getattr(self, field), self.origin_um, self.step_um, np.ravel(x), np.ravel(y), values.reshape(-1))
        return values


@dataclass(frozen=True)
class Cells:
    """The cells of one section, one array entry per cell; coordinates and lengths in micrometres.

    ``cell_id`` counts from 1 and is shared by the parts of one cell seen in two adjacent sections. ``kind`` indexes
    `TYPES`.
    """

    cell_id: NDArray[np.int32]
    kind: NDArray[np.int8]
    xy: NDArray[np.float64]
    nucleus_um: NDArray[np.float64]
    aspect: NDArray[np.float64]
    angle: NDArray[np.float64]
    rim_um: NDArray[np.float64]
    cycling: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.cell_id)

    def pick(self, which: Any) -> Cells:
        """Return the chosen cells (mask or positions)."""
        return Cells(**{name: getattr(self, name)[which] for name in Cells.__dataclass_fields__})

    def counts(self) -> dict[str, int]:
        """Return the number of cells of each type."""
        return {name: int((self.kind == code).sum()) for code, name in enumerate(TYPES)}


def grow_tissue(rng: np.random.Generator, *, section_um: float) -> Architecture:
    """Return a new piece of tissue: an irregular square with tumour nests, gland lumina and stromal vessels."""
    import numpy as np

    step = 2.0
    count = int(np.ceil(1.5 * section_um / step))
    origin = section_um / 2 - count * step / 2
    centres = origin + (np.arange(count) + 0.5) * step - section_um / 2
    squareness = (np.abs(centres[:, None]) ** 5 + np.abs(centres[None, :]) ** 5) ** 0.2
    tissue = 0.46 * section_um - squareness + 0.016 * section_um * smooth_noise(rng, count, 30 / step)
    nests = smooth_noise(rng, count, 34 / step) + 0.3 * smooth_noise(rng, count, 11 / step)
    inside = tissue > 0
    tumour = _signed_distance(nests > np.quantile(nests[inside], 1 - rng.uniform(0.42, 0.58)), step)
    glands = smooth_noise(rng, count, 10 / step)
    lumen = _signed_distance((tumour > 15) & (glands > 1.25) & (tissue > 20), step)
    vessels = _place_vessels(rng, tissue=tissue, tumour=tumour, step=step, origin=origin)
    x = origin + (np.arange(count) + 0.5) * step
    for vessel_x, vessel_y, radius in vessels:
        lumen = np.maximum(lumen, radius - np.hypot(x[None, :] - vessel_x, x[:, None] - vessel_y))
    return Architecture(
        section_um=section_um,
        step_um=step,
        origin_um=origin,
        tissue=tissue.astype(np.float32),
        tumour=tumour.astype(np.float32),
        lumen=lumen.astype(np.float32),
        fibre=(1.1 * smooth_noise(rng, count, 45 / step)).astype(np.float32),
        vessels=vessels,
    )


def place_cells(tissue: Architecture, rng: np.random.Generator, *, immune_rate: float) -> Cells:
    """Return the cells of a section.

    Parameters
    ----------
    tissue
        Where things are.
    rng
        Source of randomness.
    immune_rate
        Factor on the chance that a place holds a lymphocyte; 1 in an average subject.
    """
    import numpy as np

    wanted = _candidates(tissue, rng, immune_rate=immune_rate, focus=_aggregates(tissue, rng, immune_rate))
    kept = wanted.pick(_spaced(wanted))
    return replace(kept, cell_id=np.arange(1, len(kept) + 1, dtype=np.int32))


def adjacent_cells(
    cells: Cells, tissue: Architecture, rng: np.random.Generator, *, immune_rate: float, shared: float = 0.6
) -> Cells:
    """Return the cells of the next section: a share of the same ones, a little moved, and others between them.

    Parameters
    ----------
    cells
        Cells of the first section.
    tissue, rng, immune_rate
        As for `place_cells`.
    shared
        Share of the cells that both sections cut.
    """
    import numpy as np

    same = cells.pick(rng.random(len(cells)) < shared)
    same = replace(same, xy=same.xy + rng.normal(0, 0.6, same.xy.shape))
    wanted = _candidates(tissue, rng, immune_rate=immune_rate, focus=np.empty((0, 2)))
    fresh = replace(wanted, cell_id=np.arange(1, len(wanted) + 1, dtype=np.int32) + int(cells.cell_id.max()))
    both = Cells(
        **{name: np.concatenate([getattr(same, name), getattr(fresh, name)]) for name in Cells.__dataclass_fields__}
    )
    return both.pick(_spaced(both))


def smooth_noise(rng: np.random.Generator, count: int, sigma: float) -> NDArray[np.float64]:
    """Return a square of smooth noise with mean 0 and standard deviation 1; its edges continue on the other side."""
    import numpy as np
    from scipy import fft, ndimage

    noise = fft.rfft2(rng.normal(size=(count, count)))
    noise = fft.irfft2(ndimage.fourier_gaussian(noise, sigma, n=count), s=(count, count))
    return np.asarray((noise - noise.mean()) / noise.std())


def _signed_distance(mask: NDArray[np.bool_], step: float) -> NDArray[np.float64]:
    """Return the distance to the edge of a mask, positive inside, a little smoothed against raster steps."""
    import numpy as np
    from scipy import ndimage

    if not mask.any():
        return np.full(mask.shape, -1e3)
    distance = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    return np.asarray(ndimage.gaussian_filter(distance * step, 1.0))


def _place_vessels(
    rng: np.random.Generator, *, tissue: NDArray[Any], tumour: NDArray[Any], step: float, origin: float
) -> NDArray[np.float64]:
    """Return vessels in the stroma, one per (130 um)² of it, none touching another: columns x, y, radius."""
    import numpy as np

    free = np.argwhere((tissue > 18) & (tumour < -12))
    found: list[tuple[float, float, float]] = []
    for row, column in free[rng.permutation(len(free))[: int(len(free) * (step / 130) ** 2) * 6]]:
        x, y, radius = origin + (column + 0.5) * step, origin + (row + 0.5) * step, rng.uniform(5, 10)
        if all(np.hypot(x - other[0], y - other[1]) > 70 for other in found):
            found.append((x, y, radius))
    return np.array(found).reshape(-1, 3)


def _aggregates(tissue: Architecture, rng: np.random.Generator, immune_rate: float) -> NDArray[np.float64]:
    """Return the centres of lymphoid aggregates in the stroma; inflamed tissue has more of them."""
    import numpy as np

    places = np.argwhere((tissue.tissue > 40) & (tissue.tumour < -14) & (tissue.lumen < -15))
    count = rng.poisson(min(0.9 * immune_rate, 4.0) * (tissue.section_um / 600) ** 2)
    chosen = places[rng.permutation(len(places))[:count]]
    return np.asarray(tissue.origin_um + (chosen[:, ::-1] + 0.5) * tissue.step_um, dtype=float)


def _candidates(
    tissue: Architecture, rng: np.random.Generator, *, immune_rate: float, focus: NDArray[np.float64]
) -> Cells:
    """Return more cells than fit, in order of precedence: vessel walls first, then at random."""
    import numpy as np

    span = (tissue.origin_um, tissue.origin_um + len(tissue.tissue) * tissue.step_um)
    xy = rng.uniform(*span, size=(int((span[1] - span[0]) ** 2 / 12), 2))
    x, y = xy.T
    depth = tissue.at("tumour", x, y)
    held = (tissue.at("tissue", x, y) > 4) & (tissue.at("lumen", x, y) < -2.5)
    held &= (depth > 0) | (rng.random(len(xy)) < 0.42)
    xy, depth = xy[held], depth[held]
    kind = _draw_types(rng, xy, depth, immune_rate=immune_rate, focus=focus)
    angle = np.where(kind == TYPES.index("fibroblast"), tissue.at("fibre", *xy.T), rng.uniform(0, np.pi, len(xy)))
    wall_xy, wall_angle = _vessel_walls(tissue, rng)
    kind = np.concatenate([np.full(len(wall_xy), TYPES.index("endothelial"), np.int8), kind])
    angle = np.concatenate([wall_angle, angle + rng.normal(0, 0.2, len(angle))])
    return _shape_cells(rng, np.concatenate([wall_xy, xy]), kind, angle)


def _draw_types(
    rng: np.random.Generator,
    xy: NDArray[np.float64],
    depth: NDArray[Any],
    *,
    immune_rate: float,
    focus: NDArray[np.float64],
) -> NDArray[np.int8]:
    """Draw a type for every place from its depth in the nest, the immune rate and the distance to an aggregate."""
    import numpy as np

    nest = depth > 0
    border = np.exp(-np.abs(depth) / 45)
    near = np.zeros(len(xy))
    for centre in focus:
        near = np.maximum(near, np.exp(-((np.hypot(*(xy - centre).T) / 34) ** 4)))
    weight = np.zeros((len(TYPES), len(xy)))
    lymphocyte = immune_rate * np.where(nest, 0.035 + 0.05 * border, 0.12 + 0.45 * border)
    weight[TYPES.index("tumour")] = np.where(nest, 1.0, 0.0)
    weight[TYPES.index("cd8_t")] = lymphocyte
    weight[TYPES.index("cd4_t")] = lymphocyte * np.where(nest, 0.35, 0.8) + 3 * near * ~nest
    weight[TYPES.index("b_cell")] = lymphocyte * np.where(nest, 0.05, 0.25) + 6 * near * ~nest
    weight[TYPES.index("macrophage")] = np.where(nest, 0.03, 0.22)
    weight[TYPES.index("fibroblast")] = np.where(nest, 0.0, 1.0)
    weight[TYPES.index("endothelial")] = np.where(nest, 0.0, 0.03)
    cumulative = np.cumsum(weight, axis=0) / weight.sum(axis=0)
    return np.asarray((rng.random(len(xy)) > cumulative).sum(axis=0), dtype=np.int8)


def _vessel_walls(tissue: Architecture, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return places and directions of endothelial nuclei around every vessel."""
    import numpy as np

    places, angles = [np.empty((0, 2))], [np.empty(0)]
    for x, y, radius in tissue.vessels:
        count = max(3, round(2 * np.pi * (radius + 2.5) / 12))
        turn = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(count) / count
        places.append(np.stack([x + (radius + 2.5) * np.cos(turn), y + (radius + 2.5) * np.sin(turn)], axis=1))
        angles.append(turn + np.pi / 2)
    return np.concatenate(places), np.concatenate(angles)


def _shape_cells(
    rng: np.random.Generator, xy: NDArray[np.float64], kind: NDArray[np.int8], angle: NDArray[np.float64]
) -> Cells:
    """Give every cell its size and elongation, varying around those of its type."""
    import numpy as np

    looks = np.array([(t.nucleus_um, t.aspect, t.rim_um, t.cycling) for t in CELL_TYPES.values()])[kind]
    return Cells(
        cell_id=np.zeros(len(kind), np.int32),
        kind=kind,
        xy=xy,
        nucleus_um=looks[:, 0] * np.exp(rng.normal(0, 0.07, len(kind))),
        aspect=np.maximum(1.0, looks[:, 1] * np.exp(rng.normal(0, 0.08, len(kind)))),
        angle=angle,
        rim_um=looks[:, 2] * np.exp(rng.normal(0, 0.1, len(kind))),
        cycling=rng.random(len(kind)) < looks[:, 3],
    )


def _spaced(cells: Cells) -> NDArray[np.bool_]:
    """Return which cells stay when, in order, each keeps its personal space free of later ones."""
    import numpy as np
    from scipy.spatial import cKDTree

    from integrate.datasets.field_kernels import thin

    space = np.array([kind.space_um for kind in CELL_TYPES.values()])[cells.kind]
    first, second = cKDTree(cells.xy).query_pairs(space.max(initial=1.0), output_type="ndarray").T
    near = np.hypot(*(cells.xy[first] - cells.xy[second]).T) < space[first]
    first, second = first[near], second[near]
    order = np.argsort(first, kind="stable")
    stays = np.ones(len(cells), bool)
    thin(first[order], second[order], stays)
    return stays
