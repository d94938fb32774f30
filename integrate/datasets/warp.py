"""The planted misalignment between two adjacent sections: an affine map with a small smooth elastic part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Warp", "plan_warp"]


@dataclass(frozen=True)
class Warp:
    """A map from H&E micrometres to fluorescence micrometres, both in the order (x, y).

    ``f = A h + sum_k amplitude_k * sin(wave_k . h + phase_k)``, with ``A`` acting on ``(x, y, 1)``.

    Parameters
    ----------
    affine
        ``A``, 3 × 3.
    amplitude_um, wave_per_um, phase
        The elastic part: arrays of shape ``(k, 2)``, ``(k, 2)`` and ``(k,)``.
    """

    affine: NDArray[np.float64]
    amplitude_um: NDArray[np.float64]
    wave_per_um: NDArray[np.float64]
    phase: NDArray[np.float64]

    def elastic(self, points: NDArray[Any]) -> NDArray[Any]:
        """Return the elastic displacement in micrometres at H&E points ``(..., 2)``, in their precision."""
        import numpy as np

        wave, phase, amplitude = (
            part.astype(points.dtype) for part in (self.wave_per_um, self.phase, self.amplitude_um)
        )
        return np.asarray(np.sin(points @ wave.T + phase) @ amplitude)

    def forward(self, points: NDArray[Any]) -> NDArray[Any]:
        """Return the fluorescence points of H&E points ``(..., 2)``, in their precision."""
        import numpy as np

        affine = self.affine.astype(points.dtype)
        return np.asarray(points @ affine[:2, :2].T + affine[:2, 2] + self.elastic(points))

    def inverse(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the H&E points of fluorescence points ``(n, 2)``, by fixed-point iteration (error < 1e-6 um)."""
        import numpy as np

        back = np.linalg.inv(self.affine[:2, :2]).T
        found = (points - self.affine[:2, 2]) @ back
        for _ in range(40):
            found = (points - self.affine[:2, 2] - self.elastic(found)) @ back
        return np.asarray(found)

    @property
    def rotation(self) -> float:
        """The angle of the affine part, radians."""
        import numpy as np

        return float(np.arctan2(self.affine[1, 0], self.affine[0, 0]))

    @classmethod
    def from_dict(cls, planted: Mapping[str, Any]) -> Warp:
        """Return the map that `as_dict` gave, as it stands in ``truth.json``."""
        import numpy as np

        elastic = planted["elastic"]
        parts = (np.array(elastic[name]) for name in ("amplitude_um", "wave_per_um", "phase"))
        return cls(np.array(planted["affine"]), *parts)

    def as_dict(self) -> dict[str, Any]:
        """Return the planted parameters as plain lists."""
        return {
            "affine": self.affine.tolist(),
            "elastic": {
                "amplitude_um": self.amplitude_um.tolist(),
                "wave_per_um": self.wave_per_um.tolist(),
                "phase": self.phase.tolist(),
            },
        }


def plan_warp(rng: np.random.Generator, *, section_um: float, slide_um: tuple[float, float]) -> Warp:
    """Return a map that carries the centre of the H&E canvas near the centre of the fluorescence section.

    Rotation up to 15 degrees, shift up to 3 % of the section, scale within 2 %, shear up to 0.02, and an elastic
    displacement of a few micrometres whose wavelengths are comparable with the section.

    Parameters
    ----------
    rng
        Source of randomness.
    section_um
        Edge of the square fluorescence section.
    slide_um
        Width and height of the H&E canvas.
    """
    import numpy as np

    angle = np.deg2rad(rng.uniform(4, 15) * rng.choice((-1, 1)))
    rotate = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[1, rng.uniform(-0.02, 0.02)], [0, 1]])
    affine = np.eye(3)
    affine[:2, :2] = rotate @ shear * rng.uniform(0.98, 1.02)
    centre = section_um / 2 + rng.uniform(-0.03, 0.03, 2) * section_um
    affine[:2, 2] = centre - affine[:2, :2] @ (np.array(slide_um) / 2)
    direction = rng.uniform(0, 2 * np.pi, 3)
    length = rng.uniform(0.5, 1.0, 3) * section_um
    wave = 2 * np.pi * np.stack([np.cos(direction), np.sin(direction)], axis=1) / length[:, None]
    amplitude = rng.uniform(0.0015, 0.003, (3, 2)) * rng.choice((-1, 1), (3, 2)) * section_um
    return Warp(
        affine=np.round(affine, 8),
        amplitude_um=np.round(np.clip(amplitude, -3, 3), 6),
        wave_per_um=np.round(wave, 8),
        phase=np.round(rng.uniform(0, 2 * np.pi, 3), 6),
    )
