"""The H&E picture of a planted section."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from integrate.datasets.drawing import Drawing
    from integrate.datasets.tissue import Architecture, Cells
    from integrate.datasets.warp import Warp

__all__ = ["cells_on_slide", "render_slide"]

#: Optical density per unit of stain in red, green and blue: haematoxylin (Ruifrok & Johnston 2001), eosin, red cells.
HAEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.09, 0.92, 0.38)
GLASS = (243.0, 242.0, 245.0)

#: Directions in which collagen is drawn; between them it is blended.
BANKS = 8

#: Haematoxylin in the nucleus, haematoxylin and eosin in the cytoplasm, in the order of `tissue.TYPES`.
LOOKS = (
    (1.15, 0.22, 0.42),  # tumour: large and pale, purple cytoplasm
    (2.0, 0.18, 0.25),  # cd8_t: small and dark
    (2.0, 0.18, 0.25),  # cd4_t
    (1.9, 0.20, 0.25),  # b_cell
    (1.25, 0.10, 0.30),  # macrophage: foamy
    (1.6, 0.05, 0.62),  # fibroblast
    (1.7, 0.05, 0.60),  # endothelial
)


def cells_on_slide(cells: Cells, warp: Warp) -> Cells:
    """Return cells given in fluorescence micrometres, in the H&E slide's own micrometres."""
    return replace(cells, xy=warp.inverse(cells.xy), angle=cells.angle - warp.rotation)


def render_slide(
    cells: Cells,
    tissue: Architecture,
    warp: Warp,
    rng: np.random.Generator,
    *,
    shape: tuple[int, int],
    pixel_um: float,
) -> NDArray[np.uint8]:
    """Return the stained slide, RGB ``(y, x, 3)``.

    Parameters
    ----------
    cells
        Cells in the slide's own micrometres, see `cells_on_slide`.
    tissue
        The architecture, in fluorescence micrometres.
    warp
        Map from the slide to the architecture.
    rng
        Source of texture and of the strength of the stains.
    shape
        Rows and columns of the slide.
    pixel_um
        Edge of a pixel.
    """
    import cv2
    import numpy as np

    from integrate.datasets.drawing import draw_cells, pixel_centres

    place = warp.forward(pixel_centres(shape, pixel_um))
    fields = {name: tissue.at(name, place[..., 0], place[..., 1]) for name in ("tissue", "tumour", "lumen", "fibre")}
    drawing = draw_cells(cells, rng, shape=shape, pixel_um=pixel_um)
    strands = _strands(rng, fields["fibre"] - np.float32(warp.rotation), pixel_um)
    grain = _grain(rng, shape, 0.5 / pixel_um)
    sharp = np.stack(_stains(cells, drawing, fields, strands, grain), axis=-1)
    stains = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 0.35 / pixel_um))
    colours = np.array([HAEMATOXYLIN, EOSIN]) * rng.uniform(0.9, 1.12, (2, 1))
    light = np.exp(-stains @ colours.astype(np.float32)) * np.array(GLASS, np.float32)
    return np.asarray(np.clip(light + 1.2 * grain[..., None], 0, 255), dtype=np.uint8)


def _grain(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> NDArray[np.float32]:
    """Return fine texture, mean 0 and standard deviation 1."""
    import cv2
    import numpy as np

    noise = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), sigma)
    return np.asarray(noise / noise.std())


def _strands(rng: np.random.Generator, angle: NDArray[np.float32], pixel_um: float) -> NDArray[np.float32]:
    """Return collagen: noise drawn out along the local direction, mean 0 and standard deviation about 1."""
    import cv2
    import numpy as np

    rows, columns = angle.shape
    coarse = (max(8, round(columns * pixel_um)), max(8, round(rows * pixel_um)))  # 1 um is fine enough, and quick
    turn = cv2.resize(angle, coarse, interpolation=cv2.INTER_LINEAR) / np.pi * BANKS
    noise = rng.standard_normal(turn.shape, np.float32)
    strands = np.zeros_like(turn)
    for bank in range(BANKS):
        away = np.abs(np.mod(turn - bank + BANKS / 2, BANKS) - BANKS / 2)
        strands += np.clip(1 - away, 0, None) * cv2.filter2D(noise, cv2.CV_32F, _streak(np.pi * bank / BANKS))
    return np.asarray(cv2.resize(strands / strands.std(), (columns, rows), interpolation=cv2.INTER_CUBIC))


def _streak(angle: float) -> NDArray[np.float32]:
    """Return a kernel about 18 um long and 2 um wide, at 1 um per pixel."""
    import numpy as np

    y, x = np.mgrid[-9:10, -9:10]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kernel = np.exp(-((along / 5) ** 2) - across**2)
    return np.asarray(kernel / np.sqrt((kernel**2).sum()), dtype=np.float32)


def _stains(
    cells: Cells,
    drawing: Drawing,
    fields: dict[str, NDArray[np.float32]],
    strands: NDArray[np.float32],
    grain: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the amounts of haematoxylin and eosin in every pixel."""
    import numpy as np

    from integrate.datasets.tissue import TYPES

    flesh = np.clip(fields["tissue"] / 3 + 0.3 * strands, 0, 1) * np.clip(-fields["lumen"] / 1.5, 0, 1)
    nest = np.clip(fields["tumour"] / 4 + 0.5, 0, 1)
    collagen = np.clip(0.50 + 0.20 * strands, 0.06, 1.1)
    eosin = flesh * (nest * (0.34 + 0.05 * grain) + (1 - nest) * collagen)
    haematoxylin = flesh * (nest * 0.16 + (1 - nest) * 0.03)
    looks = np.array(((0.0, 0.0, 0.0), *LOOKS), dtype=np.float32)
    kind = np.concatenate([[0], cells.kind + 1])[drawing.owner]
    rim = np.concatenate([[1.0], cells.rim_um]).astype(np.float32)[drawing.owner]
    past = drawing.beyond_um
    inside = np.clip(0.5 - past, 0, 1)
    spindle = kind == TYPES.index("fibroblast") + 1  # its thin cytoplasm is lost among the collagen
    body = np.where((kind > 0) & ~spindle, np.clip(1.3 - past / np.maximum(rim, 0.1), 0, 1), 0)
    haematoxylin += body * (looks[kind, 1] * (1 + 0.25 * grain) - haematoxylin)
    eosin += body * (looks[kind, 2] * (1 + 0.15 * grain) - eosin)
    chromatin = 0.75 + 0.25 * np.clip(1 + past / 1.1, 0, 1) + 0.22 * grain
    haematoxylin += inside * (looks[kind, 0] * chromatin - haematoxylin)
    eosin *= 1 - 0.6 * inside
    return haematoxylin.astype(np.float32), np.clip(eosin + _red_cells(fields, grain), 0, None).astype(np.float32)


def _red_cells(fields: dict[str, NDArray[np.float32]], grain: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the eosin of blood in the vessels; lumina inside nests stay empty."""
    import numpy as np

    blood = (fields["lumen"] > 1) & (fields["tumour"] < 0) & (fields["tissue"] > 0)
    return np.asarray(np.where(blood, 1.15 + 0.25 * grain, 0), dtype=np.float32)
