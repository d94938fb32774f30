"""Two pictures of one drawn tissue in two modalities, with the planted map between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.ndimage as ndi

from integrate.align.grid import set_space
from integrate.align.space import Space
from integrate.align.transform import Affine, DisplacementField, Transform
from integrate.model.image import make_image

SLIDE, SECTION = Space("slide", "um"), Space("section", "um")


@dataclass(frozen=True)
class Pair:
    """A colour picture, a fluorescence-like one, and the planted way from the second to the first."""

    moving: Any
    fixed: Any
    way: Transform

    def error(self, transform: Transform) -> float:
        """Median distance from the truth over the middle of the section, micrometres."""
        truth = np.random.default_rng(0).uniform(80, 320, (300, 2))
        return float(np.median(np.linalg.norm(transform.map_points(self.way.map_points(truth)) - truth, axis=1)))


def tissue(seed: int, n: int = 200) -> np.ndarray:
    """Nuclei of several sizes in a lobed outline, 0 … 1.5."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros((n, n))
    for _ in range(500):
        y, x = rng.integers(12, n - 12, 2)
        r = rng.uniform(1.5, 4)
        rows, columns = np.ogrid[y - 6 : y + 7, x - 6 : x + 7]
        drawn[y - 6 : y + 7, x - 6 : x + 7] += ((rows - y) ** 2 + (columns - x) ** 2 < r * r) * rng.uniform(0.5, 1)
    envelope = ndi.gaussian_filter(rng.normal(size=(n, n)), 15)
    return np.asarray(np.clip(ndi.gaussian_filter(drawn, 0.7), 0, 1.2) + 0.3 * (envelope > 0))


def draw_pair(seed: int = 1, *, angle: float = 12.0, mirror: bool = False) -> Pair:
    """The fixed picture has pixels of 2 µm; the moving one is turned, scaled, shifted, bent and of inverse contrast."""
    drawn = tissue(seed)
    a, middle = np.deg2rad(angle), np.array([200.0, 200.0])
    turn = 1.04 * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    nodes = np.stack(np.meshgrid(np.arange(22) * 20.0, np.arange(22) * 20.0), axis=-1)
    bend = DisplacementField(6 * np.sin(nodes / 70 + 1), (0, 0), (20, 20), SECTION, Space("straight", "um"))
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = turn, middle - turn @ middle + [18, -14]
    way = bend.then(Affine(tuple(map(tuple, matrix)), Space("straight", "um"), SLIDE))
    y, x = np.indices((210, 200)) + 0.5
    from_fixed = way.inverse().map_points(np.c_[x.ravel() * 2, y.ravel() * 2]) / 2 - 0.5
    seen = ndi.map_coordinates(drawn, from_fixed[:, ::-1].T, order=1, cval=0).reshape(210, 200)
    colour = np.clip(240 * np.exp(-0.9 * seen) + np.random.default_rng(5).normal(0, 3, seen.shape), 0, 255)
    light = np.random.default_rng(6).poisson(200 * drawn + 10).astype(np.uint16)
    return Pair(
        set_space(
            make_image(
                np.stack([colour] * 3).astype(np.uint8), channels=["red", "green", "blue"], pixel_size_um=(2, 2)
            ),
            name="slide",
        ),
        set_space(make_image(light[None], channels=["DAPI"], pixel_size_um=(2, 2)), name="section"),
        way,
    )


@pytest.fixture(scope="session")
def pair() -> Pair:
    return draw_pair()
