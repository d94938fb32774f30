"""The planted subjects: who they are, what decides their outcome, and which files each of them has."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["MODALITIES", "SITES", "Effects", "Subject", "plan_cohort", "stream"]

SITES = ("north", "east", "south")
STAGES = ("I", "II", "III", "IV")
SEXES = ("F", "M")

#: Modalities in the order of `assets.csv`, and how many of 24 subjects lack each (scaled to the size of the study).
MODALITIES: dict[str, int] = {"CT": 5, "SM": 0, "IF": 1, "visium": 2, "annotation": 0, "rna": 3}
TWO_SECTIONS_OF_24 = 4
NO_RESPONSE_OF_24 = 2
NO_AGE_OF_24 = 1

#: One random stream per purpose, so that a change in one part of the study leaves all others as they were.
PURPOSES = ("cohort", "gaps", "sites", "tissue", "adjacent", "warp", "fluorescence", "slide", "visium", "ct", "outline")


@dataclass(frozen=True, slots=True)
class Effects:
    """The planted relations between immune density, stage, lesion volume, response and survival.

    ``immune_density`` is a standard normal score per subject; ``stage`` counts I as 0 to IV as 3.
    """

    response_intercept: float = 0.2
    response_log_odds_per_immune: float = 2.5
    log_hazard_ratio_per_immune: float = -1.1
    log_hazard_ratio_per_stage: float = 0.3
    survival_shape: float = 1.3
    survival_scale_days: float = 1900.0
    follow_up_days: tuple[int, int] = (800, 2200)
    log_cell_rate_per_immune: float = 0.6
    lesion_log_volume: float = 9.2
    lesion_log_volume_per_stage: float = 0.25
    lesion_log_volume_sd: float = 0.55


@dataclass(frozen=True, slots=True)
class Subject:
    """One planted subject; ``None`` where the clinical table has no value."""

    number: int
    site: str
    age_years: float | None
    sex: str
    stage: str
    immune_density: float
    lesion_volume_mm3: float
    response: str | None
    os_days: int
    os_event: int
    diagnosis: datetime.date
    ct_day: int
    surgery_day: int
    sections: tuple[int, ...]
    missing: frozenset[str]

    @property
    def subject_id(self) -> str:
        """The spelling of the clinical table, which is also the study's own."""
        return f"SIM-{self.number:03d}"

    @property
    def hospital_id(self) -> str:
        """The zero-padded PatientID of the hospital's DICOM archive."""
        return f"0{self.number:03d}"

    @property
    def rna_id(self) -> str:
        """The sequencing centre's name of the sample taken from block 1."""
        return f"SIM.{self.number:03d}.T1"

    def pathology_id(self, section: int) -> str:
        """The pathology department's label of one block."""
        return f"sim{self.number:03d}_s{section}"

    def specimen_id(self, section: int) -> str:
        """Our id of one block."""
        return f"{self.subject_id}-S{section}"


def stream(seed: int, purpose: str, *which: int) -> np.random.Generator:
    """Return the random stream of one purpose, e.g. ``stream(seed, "tissue", subject, section)``."""
    import numpy as np

    return np.random.default_rng([seed, PURPOSES.index(purpose), *which])


def plan_cohort(subjects: int, *, seed: int, effects: Effects) -> list[Subject]:
    """Return the planted subjects, numbered from 1.

    Parameters
    ----------
    subjects
        How many. The first subjects of a larger study have the biology of those of a smaller one; only
        which files they lack differs.
    seed
        Seed of the study.
    effects
        The planted relations.
    """
    gaps = stream(seed, "gaps")

    def drawn(of_24: int) -> set[int]:
        count = int(subjects * of_24 / 24 + 0.5)
        return {int(number) + 1 for number in gaps.choice(subjects, size=count, replace=False)}

    lacking = {modality: drawn(of_24) for modality, of_24 in MODALITIES.items()}
    twice, silent, ageless = drawn(TWO_SECTIONS_OF_24), drawn(NO_RESPONSE_OF_24), drawn(NO_AGE_OF_24)
    return [
        _plan_subject(
            number,
            seed=seed,
            effects=effects,
            sections=(1, 2) if number in twice else (1,),
            missing=frozenset(modality for modality, who in lacking.items() if number in who),
            has_response=number not in silent,
            has_age=number not in ageless,
        )
        for number in range(1, subjects + 1)
    ]


def _plan_subject(
    number: int,
    *,
    seed: int,
    effects: Effects,
    sections: tuple[int, ...],
    missing: frozenset[str],
    has_response: bool,
    has_age: bool,
) -> Subject:
    """Draw one subject; every draw happens whether or not its value is later withheld."""
    import numpy as np

    rng = stream(seed, "cohort", number)
    immune = float(np.round(rng.normal(), 4))
    stage = int(rng.choice(4, p=(0.25, 0.3, 0.3, 0.15)))
    age = float(np.round(np.clip(rng.normal(64, 9), 35, 88), 1))
    sex = str(rng.choice(SEXES))
    # Three subjects in a row go to three different sites: no site is left with a single subject.
    site = SITES[int(stream(seed, "sites", (number - 1) // 3).permutation(3)[(number - 1) % 3])]
    odds = np.exp(effects.response_intercept + effects.response_log_odds_per_immune * immune)
    responds = rng.random() < odds / (1 + odds)
    log_hazard_ratio = effects.log_hazard_ratio_per_immune * immune + effects.log_hazard_ratio_per_stage * stage
    waiting = (-np.log(rng.random()) / np.exp(log_hazard_ratio)) ** (1 / effects.survival_shape)
    death, last_seen = effects.survival_scale_days * waiting, int(rng.integers(*effects.follow_up_days))
    log_volume = effects.lesion_log_volume + effects.lesion_log_volume_per_stage * (stage - 1.5)
    volume = np.exp(np.clip(log_volume + effects.lesion_log_volume_sd * rng.normal(), 7.3, 10.9))
    return Subject(
        number=number,
        site=site,
        age_years=age if has_age else None,
        sex=sex,
        stage=STAGES[stage],
        immune_density=immune,
        lesion_volume_mm3=float(np.round(volume, 1)),
        response=("responder" if responds else "non_responder") if has_response else None,
        os_days=max(1, int(min(death, last_seen))),
        os_event=int(death <= last_seen),
        diagnosis=datetime.date(2019, 1, 7) + datetime.timedelta(days=int(rng.integers(0, 900))),
        ct_day=int(rng.integers(-10, 15)),
        surgery_day=int(rng.integers(18, 60)),
        sections=sections,
        missing=missing,
    )
