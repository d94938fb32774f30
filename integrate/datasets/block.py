"""One planted tissue block: the section under the fluorescence microscope, the next one on a slide, and their map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integrate.datasets.cohort import Subject, stream

if TYPE_CHECKING:
    from integrate.datasets.tissue import Architecture, Cells
    from integrate.datasets.warp import Warp

__all__ = ["PIXEL_UM", "Block", "grow_block"]

PIXEL_UM = 0.5


@dataclass(frozen=True)
class Block:
    """One block of one subject.

    ``cells`` are in micrometres of the fluorescence section, ``slide_cells`` in those of the H&E slide, whose rows and
    columns are ``slide_shape``; ``warp`` leads from the slide to the section.
    """

    subject: Subject
    section: int
    tissue: Architecture
    cells: Cells
    slide_cells: Cells
    slide_shape: tuple[int, int]
    warp: Warp

    @property
    def label(self) -> str:
        """What the pathology department calls it."""
        return self.subject.pathology_id(self.section)

    @property
    def specimen_id(self) -> str:
        """What we call it."""
        return self.subject.specimen_id(self.section)

    @property
    def where(self) -> tuple[int, int]:
        """Subject and section number, which key the random streams."""
        return (self.subject.number, self.section)


def grow_block(subject: Subject, section: int, *, seed: int, section_um: float, immune_rate: float) -> Block:
    """Return one block with its two adjacent sections.

    Parameters
    ----------
    subject, section
        Whose block, and which.
    seed
        Seed of the study.
    section_um
        Edge of the fluorescence section; the slide is a tenth wider.
    immune_rate
        Factor on the chance of lymphocytes; 1 in an average subject.
    """
    from integrate.datasets.histology import cells_on_slide
    from integrate.datasets.tissue import adjacent_cells, grow_tissue, place_cells
    from integrate.datasets.warp import plan_warp

    where = (subject.number, section)
    rng = stream(seed, "tissue", *where)
    tissue = grow_tissue(rng, section_um=section_um)
    cells = place_cells(tissue, rng, immune_rate=immune_rate)
    shape = (round(section_um / PIXEL_UM), round(1.1 * section_um / PIXEL_UM))
    slide_um = (shape[1] * PIXEL_UM, shape[0] * PIXEL_UM)
    warp = plan_warp(stream(seed, "warp", *where), section_um=section_um, slide_um=slide_um)
    following = adjacent_cells(cells, tissue, stream(seed, "adjacent", *where), immune_rate=immune_rate)
    return Block(subject, section, tissue, cells, cells_on_slide(following, warp), shape, warp)
