"""The comparison of what was planted in the simulated study with what the library finds in its files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.align.mutual import MutualInformation
from integrate.align.register import register
from integrate.analyse.associate import associate
from integrate.analyse.cox import cox
from integrate.datasets.warp import Warp
from integrate.errors import RegistrationError
from integrate.features.radiomics.measure import measure_radiomics
from integrate.features.radiomics.nodules import segment_nodules
from integrate.features.radiomics.settings import Radiomics
from integrate.keys import ATTRS, LEVELS, SUBJECT_ID
from integrate.model.outcome import TimeToEvent
from integrate.model.study import Study
from integrate.prepare.annotate import compare_outlines

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["recover_truth"]

#: Sections that are registered, each some ten seconds of work; the demo must stay short.
REGISTERED = 1
DATASET_OF: dict[str, str] = {"CT": "ct", "IF": "fluorescence", "rna": "rna", "visium": "visium", "SM": "he"}


def recover_truth(folder: str | os.PathLike[str], study: Study, cohort: Cohort) -> pd.DataFrame:
    """Return one row per planted truth: what was planted, what was found, and whether they agree.

    Parameters
    ----------
    folder
        What `simulate_study` returned.
    study
        The study opened on that folder.
    cohort
        Subjects with an assay ``cells`` that has ``CD8_positive`` and with the clinical variables.

    Returns
    -------
    Columns ``truth, planted, found, recovered``; `recovered` is ``"yes"`` or ``"no"``.

    Raises
    ------
    FileNotFoundError
        If the folder has no ``truth.json``.
    """
    import pandas as pd

    truth = json.loads((Path(folder) / "truth.json").read_text(encoding="utf-8"))
    rows = [
        *_identities(truth, study),
        *_missing(truth, study),
        *_cells(truth, study, cohort),
        *_immune_density(truth, cohort),
        *_response(cohort),
        *_survival(cohort),
        *_site(cohort),
        *_lesions(truth, study),
        *_annotators(truth, study),
        *_misalignment(truth, study),
    ]
    return pd.DataFrame(rows, columns=["truth", "planted", "found", "recovered"])


def _identities(truth: dict[str, Any], study: Study) -> Iterator[tuple[str, str, str, str]]:
    spelled = {
        spelling: subject
        for subject, one in truth["subjects"].items()
        for spelling in (one["hospital_id"], *one["pathology_ids"], one["rna_id"], subject)
    }
    people = study.identifiers[study.identifiers["entity"] == SUBJECT_ID].drop_duplicates("source_id")
    right = sum(spelled.get(s) == e for s, e in zip(people["source_id"], people["entity_id"], strict=True))
    planted = f"{len(truth['subjects'])} subjects in 4 spellings"
    everybody = set(people["entity_id"]) == set(truth["subjects"])
    told = f"{right} of {len(people)} spellings right"
    yield "identities", planted, told, _verdict(everybody and right == len(people))


def _missing(truth: dict[str, Any], study: Study) -> Iterator[tuple[str, str, str, str]]:
    counts = study.availability()
    planted = {DATASET_OF[modality]: sorted(subjects) for modality, subjects in truth["missing"].items()}
    found = {name: sorted(counts.index[counts[name] == 0]) for name in planted}
    told = ", ".join(f"{len(subjects)} {name}" for name, subjects in sorted(found.items()))
    expected = ", ".join(f"{len(subjects)} {name}" for name, subjects in sorted(planted.items()))
    yield "missing modalities", expected, told, _verdict(found == planted)


def _cells(truth: dict[str, Any], study: Study, cohort: Cohort) -> Iterator[tuple[str, str, str, str]]:
    import numpy as np

    sections = study.rows("fluorescence").set_index(LEVELS["specimen"])[SUBJECT_ID]
    planted: dict[str, int] = {}
    for subject, one in truth["subjects"].items():
        for name, section in one["sections"].items():
            if name in sections.index:
                planted[subject] = planted.get(subject, 0) + sum(section["cells_fluorescence"].values())
    cells = cohort.assays["cells"]
    found = dict(zip(cells.obs_names, np.asarray(cells.layers["n"]).max(axis=1), strict=True))
    pairs = np.array([(planted[subject], found[subject]) for subject in planted if subject in found], dtype=float)
    r = float(np.corrcoef(pairs.T)[0, 1])
    told = f"{int(pairs[:, 1].sum()):,} cells; r = {r:.3f} over {len(pairs)} subjects"
    yield "cells", f"{int(pairs[:, 0].sum()):,} cells", told, _verdict(r > 0.9)


def _immune_density(truth: dict[str, Any], cohort: Cohort) -> Iterator[tuple[str, str, str, str]]:
    import pandas as pd
    from scipy.stats import spearmanr

    planted = pd.Series({subject: one["immune_density"] for subject, one in truth["subjects"].items()}, name="planted")
    both = pd.concat([planted, cohort.values("CD8_positive").rename("found")], axis=1).dropna()
    rho = float(spearmanr(both["planted"], both["found"]).statistic)
    told = f"rho = {rho:.2f} with the fraction of CD8+ cells (n = {len(both)})"
    yield "immune density", "one score per subject", told, _verdict(rho > 0.7)


def _response(cohort: Cohort) -> Iterator[tuple[str, str, str, str]]:
    tested = associate(cohort, "CD8_positive", "response", unit="subject", groups=["responder", "non_responder"]).iloc[
        0
    ]
    told = f"rank-biserial {tested['effect']:.2f}, p = {tested['p']:.2g} (n = {tested['n_subjects']})"
    higher = bool(tested["effect"] > 0 and tested["p"] < 0.05)
    yield "effect on response", "more CD8+ in responders", told, _verdict(higher)


def _survival(cohort: Cohort) -> Iterator[tuple[str, str, str, str]]:
    outcome = TimeToEvent.from_columns(cohort.obs, time="os_days", event="os_event", unit="d", origin="diagnosis")
    tested = cox(cohort, outcome, "CD8_positive", unit="subject").iloc[0]
    per_tenth = f"hazard × {2.718281828459045 ** (tested['effect'] / 10):.2f} for 10 points more CD8+"
    told = f"{per_tenth}, p = {tested['p']:.2g} (n = {tested['n_subjects']}, {tested['n_events']} deaths)"
    lower = bool(tested["effect"] < 0 and tested["p"] < 0.05)
    yield "effect of immune density on survival", "lower hazard with more CD8+", told, _verdict(lower)


def _site(cohort: Cohort) -> Iterator[tuple[str, str, str, str]]:
    tested = associate(cohort, "cells/DAPI_mean", "site", unit="subject").iloc[0]
    told = f"DAPI differs between sites, p = {tested['p']:.2g} (n = {tested['n_subjects']})"
    yield "batch effect of sites", "gain and offset per site", told, _verdict(bool(tested["p"] < 0.05))


def _lesions(truth: dict[str, Any], study: Study) -> Iterator[tuple[str, str, str, str]]:
    import numpy as np

    planted, found = [], []
    for scan in study.each("ct"):
        nodules = segment_nodules(scan)
        largest = measure_radiomics(scan, nodules, settings=Radiomics(families=("morphology",)), labels=[1])
        found.append(float(largest[:, "morph_vol_approx"].X[0, 0]))
        planted.append(truth["subjects"][scan.attrs[ATTRS]["ids"][SUBJECT_ID]]["lesion_volume_mm3"])
    ratio = np.array(found) / np.array(planted)
    r = float(np.corrcoef(np.log(planted), np.log(found))[0, 1])
    told = f"r = {r:.4f}, {100 * np.median(ratio) - 100:+.1f} % in the median (n = {len(found)})"
    right = bool(len(found) and r > 0.99 and np.abs(ratio - 1).max() < 0.1)
    yield "tumour volume in CT", f"{min(planted):,.0f} to {max(planted):,.0f} mm3", told, _verdict(right)


def _annotators(truth: dict[str, Any], study: Study) -> Iterator[tuple[str, str, str, str]]:
    planted = {
        name: section["annotator_dice"]
        for one in truth["subjects"].values()
        for name, section in one["sections"].items()
        if "annotator_dice" in section
    }
    rows = study.rows("outlines").set_index(LEVELS["specimen"])["obs_id"]
    found = {
        name: float(compare_outlines(next(study.each("outlines", specimen_id=name))).pairs["dice"].iloc[0])
        for name in rows.index.unique()
    }
    off = max(abs(found[name] - dice) for name, dice in planted.items() if name in found)
    told = f"Dice {min(found.values()):.3f} to {max(found.values()):.3f} on {len(found)} slides, at most {off:.1g} off"
    expected = f"Dice {min(planted.values()):.3f} to {max(planted.values()):.3f} on {len(planted)} slides"
    yield "agreement of the two annotators", expected, told, _verdict(set(found) == set(planted) and off < 1e-3)


def _misalignment(truth: dict[str, Any], study: Study) -> Iterator[tuple[str, str, str, str]]:
    """Register the slide of the first sections to their fluorescence, and compare at places all over the slide."""
    import numpy as np

    slides = set(study.rows("he")[LEVELS["specimen"]])
    sections = [name for name in study.rows("fluorescence")[LEVELS["specimen"]] if name in slides][:REGISTERED]
    errors = []
    for section in sections:
        subject = next(one for one, facts in truth["subjects"].items() if section in facts["sections"])
        here, there = (
            next(iter(study.each(name, **{SUBJECT_ID: subject, LEVELS["specimen"]: section})))
            for name in ("he", "fluorescence")
        )
        try:
            way = register(here, there, method=MutualInformation(check_inverse=False)).transform
        except RegistrationError:
            errors.append(float("inf"))
            continue
        planted = Warp.from_dict(truth["subjects"][subject]["sections"][section]["slide_um_to_fluorescence_um"])
        edge = float(there.sizes["x"]) * truth["pixel_um"]
        places = np.random.default_rng(0).uniform(0.1 * edge, 0.9 * edge, (500, 2))
        aims = planted.forward(places)
        seen = ((aims > 0) & (aims < edge)).all(axis=1)
        errors.append(float(np.median(np.linalg.norm(way.map_points(places[seen]) - aims[seen], axis=1))))
    told = f"median error {max(errors, default=float('nan')):.2f} um at worst (sections: {len(errors)})"
    within = bool(errors) and max(errors) < 5
    yield "misalignment of slide and fluorescence", "an affine and elastic map", told, _verdict(within)


def _verdict(agrees: bool) -> str:  # noqa: FBT001 (a verdict has nothing to name)
    return "yes" if agrees else "no"
