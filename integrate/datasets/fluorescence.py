"""The multiplexed fluorescence picture of a planted section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from integrate.datasets.drawing import Drawing
    from integrate.datasets.tissue import Architecture, Cells

__all__ = ["CHANNELS", "Channel", "Exposure", "plan_exposures", "render_fluorescence"]


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel: where its stain sits in a cell, and the level it reaches in the cell types that carry it."""

    name: str
    target: str
    where: str
    level: float
    carriers: tuple[str, ...]


CHANNELS = (
    Channel("DAPI", "DNA", "nucleus", 900, ()),
    Channel("PanCK", "KRT", "cytoplasm", 700, ("tumour",)),
    Channel("CD3", "CD3E", "membrane", 500, ("cd8_t", "cd4_t")),
    Channel("CD8", "CD8A", "membrane", 600, ("cd8_t",)),
    Channel("CD20", "MS4A1", "membrane", 550, ("b_cell",)),
    Channel("CD68", "CD68", "cytoplasm", 450, ("macrophage",)),
    Channel("Ki67", "MKI67", "nucleus", 500, ()),
    Channel("autofluorescence", "", "tissue", 0, ()),
)


#: Counts per photo-electron of the camera: recorded values are whole steps above the offset.
STEP = 32
#: How compact the chromatin is, and so how bright DAPI, in the order of `tissue.TYPES`.
COMPACTNESS = (0.8, 1.15, 1.15, 1.1, 0.9, 0.95, 0.95)


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a site's microscope adds to a channel: ``recorded = gain * light + offset``."""

    gain: float
    offset: float


def plan_exposures(rng: np.random.Generator) -> dict[str, Exposure]:
    """Return one site's exposure of every channel: gains within about ±35 %, offsets of 0 to 40 counts."""
    import numpy as np

    gains = np.round(np.exp(rng.normal(0, 0.2, len(CHANNELS))), 3)
    offsets = rng.integers(0, 9, len(CHANNELS)) * 5
    return {c.name: Exposure(float(g), float(o)) for c, g, o in zip(CHANNELS, gains, offsets, strict=True)}


def render_fluorescence(
    cells: Cells,
    tissue: Architecture,
    rng: np.random.Generator,
    *,
    pixel_um: float,
    exposures: Mapping[str, Exposure],
) -> NDArray[np.uint16]:
    """Return the picture, ``(c, y, x)`` in camera counts, channels in the order of `CHANNELS`.

    Parameters
    ----------
    cells
        Cells of the section, in micrometres from its corner.
    tissue
        The architecture around them; its autofluorescence is visible.
    rng
        Source of staining differences between cells and of camera noise.
    pixel_um
        Edge of a pixel.
    exposures
        Gain and offset per channel name.
    """
    import cv2
    import numpy as np

    from integrate.datasets.drawing import draw_cells

    edge = round(tissue.section_um / pixel_um)
    drawing = draw_cells(cells, rng, shape=(edge, edge), pixel_um=pixel_um)
    glow = _autofluorescence(tissue, edge, pixel_um)
    places = _places(cells, drawing)
    picture = np.empty((len(CHANNELS), edge, edge), np.uint16)
    for index, channel in enumerate(CHANNELS):
        light = glow * np.float32(110 if channel.where == "tissue" else 4)
        if channel.where in places:
            levels = np.concatenate([[0], _levels(channel, cells, rng)]).astype(np.float32)
            light += cv2.GaussianBlur(levels[drawing.owner] * places[channel.where], (0, 0), 0.45 / pixel_um)
        picture[index] = _expose(light, exposures[channel.name], rng)
    return picture


def _autofluorescence(tissue: Architecture, edge: int, pixel_um: float) -> NDArray[np.float32]:
    """Return the tissue's own light, 0 on glass and about 1 in collagen."""
    import numpy as np

    from integrate.datasets.drawing import pixel_centres

    x, y = np.moveaxis(pixel_centres((edge, edge), pixel_um), -1, 0)
    inside = np.clip(tissue.at("tissue", x, y) / 4, 0, 1) * np.clip(-tissue.at("lumen", x, y) / 2, 0, 1)
    bundles = 0.75 + 0.25 * np.sin(tissue.at("fibre", x, y) * 9)
    collagen = np.clip(-tissue.at("tumour", x, y) / 3, 0, 1)
    return np.asarray(inside * (0.35 + 0.65 * collagen * bundles), dtype=np.float32)


def _places(cells: Cells, drawing: Drawing) -> dict[str, NDArray[np.float32]]:
    """Return, for each part of a cell, how much of a stain that sits there every pixel shows."""
    import numpy as np

    rim = np.concatenate([[1.0], cells.rim_um]).astype(np.float32)[drawing.owner]
    past = drawing.beyond_um
    within = np.isfinite(past)
    nucleus = np.clip(0.5 - past, 0, 1) * (0.85 + 0.15 * np.clip(-past / 2, 0, 1))
    membrane = np.where(past > 0, 0.75 + 0.25 * np.clip(past / rim, 0, 1), np.clip(0.75 + past / 2, 0.12, 1))
    cytoplasm = np.where(past > 0, 1.0, np.clip(0.6 + past / 2, 0.1, 1))
    places = {"nucleus": nucleus, "membrane": membrane, "cytoplasm": cytoplasm}
    return {name: np.where(within, shape, 0).astype(np.float32) for name, shape in places.items()}


def _levels(channel: Channel, cells: Cells, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the stain level of every cell; all nuclei carry DNA and only cycling ones Ki67."""
    import numpy as np

    from integrate.datasets.tissue import TYPES

    if channel.name == "DAPI":
        compact = np.array(COMPACTNESS)[cells.kind]
        return np.asarray(channel.level * compact * np.exp(rng.normal(0, 0.15, len(cells))))
    if channel.name == "Ki67":
        carries = cells.cycling
    else:
        carries = np.isin(cells.kind, [TYPES.index(name) for name in channel.carriers])
    return np.asarray(np.where(carries, channel.level, 0.02 * channel.level) * np.exp(rng.normal(0, 0.3, len(cells))))


def _expose(light: NDArray[np.float32], exposure: Exposure, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return what the camera records: shot noise, the site's gain and offset, whole photo-electrons."""
    import numpy as np

    electrons = light * np.float32(exposure.gain / STEP)
    noise = rng.standard_normal(light.shape, np.float32)
    noise *= np.sqrt(np.float32(0.015) * electrons + np.float32(0.01))
    counts = np.rint(electrons + noise) * STEP + exposure.offset
    return np.asarray(np.clip(counts, 0, 65535), dtype=np.uint16)
