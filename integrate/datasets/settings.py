"""The settings of a simulated study: what decides its bytes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from integrate.errors import ParameterError, some

__all__ = ["ENDINGS", "Settings", "chosen_modalities"]

#: Raise it whenever the same settings would give other files; folders written before are then refused, not reused.
GENERATOR = 1
#: Modality of `assets.csv` to the ending of its acquisition ids, in the order of the table.
ENDINGS = {"CT": "CT", "SM": "HE", "IF": "IF", "visium": "VIS", "annotation": "OUT"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides the bytes of a simulated study."""

    subjects: int
    seed: int
    section_um: float
    generator: int = GENERATOR
    modalities: tuple[str, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what `truth.json` says of them; modalities only where some were left out."""
        told = asdict(self)
        if self.modalities is None:
            del told["modalities"]
        else:
            told["modalities"] = list(self.modalities)
        return told


def chosen_modalities(modalities: Collection[str] | None) -> tuple[str, ...] | None:
    """Return them in the order of `ENDINGS`, ``None`` for all of them; raise where they cannot be written."""
    if modalities is None or set(modalities) == set(ENDINGS):
        return None
    unknown = sorted(set(modalities) - set(ENDINGS))
    if unknown or not modalities:
        raise ParameterError(f"no modality {some(unknown)}; name one or more of {some(ENDINGS)}")
    if "SM" not in modalities and {"visium", "annotation"} & set(modalities):
        raise ParameterError("visium and annotation are of the slide; name 'SM' beside them")
    return tuple(name for name in ENDINGS if name in modalities)
