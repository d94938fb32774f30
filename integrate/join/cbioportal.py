"""A cBioPortal study folder as a study: patients are its subjects, samples its specimens, profiles its assays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integrate.keys import ATTRS, SPECIMEN_ID, SUBJECT_ID
from integrate.model.assemble import open_study
from integrate.model.bundle import Bundle, HeldDataset
from integrate.model.study import Study

if TYPE_CHECKING:
    from integrate.readers.cbioportal import CBioPortalStudy

__all__ = ["study_from_cbioportal"]

#: Columns in which tables of cBioPortal name a sample, and a patient.
SAMPLES: tuple[str, ...] = ("SAMPLE_ID", "Sample_Id", "Tumor_Sample_Barcode")
PATIENTS: tuple[str, ...] = ("PATIENT_ID",)


def study_from_cbioportal(folder: CBioPortalStudy) -> Study:
    """Return a cBioPortal study folder as a `Study`.

    Parameters
    ----------
    folder
        What the reader ``CBioPortal`` returns.

    Returns
    -------
    A study whose subjects are the patients and whose specimens are the samples. Its datasets are ``patients``,
    ``samples``, every matrix, and every table that names samples or patients (mutations, fusions …). Tables that name
    neither (gene panels, GISTIC peaks) stay in `folder`. A sample that only a profile knows is in ``study.audit``, and
    stops a link until it is left out.

    Examples
    --------
    >>> catalog = ig.open_catalog("examples", data_root="data")
    >>> study = study_from_cbioportal(catalog.load("cbioportal"))  # doctest: +SKIP
    >>> ig.link(study, unit="specimen", clinical="samples", rna="expression_median")  # doctest: +SKIP
    """
    patients = HeldDataset(
        "patients", folder.patients, "subject", {"PATIENT_ID": SUBJECT_ID}, folder.patients.attrs[ATTRS]["columns"]
    )
    keys = {"SAMPLE_ID": SPECIMEN_ID, "PATIENT_ID": SUBJECT_ID}
    samples = HeldDataset("samples", folder.samples, "specimen", keys, folder.samples.attrs[ATTRS]["columns"])
    datasets = [patients, samples]
    for name, matrix in folder.assays.items():
        described = {"description": folder.meta[name].get("profile_name", name)}
        datasets.append(HeldDataset(name, matrix, "specimen", {"obs_names": SPECIMEN_ID}, metadata=described))
    for name, table in folder.tables.items():
        named = {column: SPECIMEN_ID for column in SAMPLES if column in table}
        named |= {column: SUBJECT_ID for column in PATIENTS if column in table}
        if named:
            datasets.append(HeldDataset(name, table, "row", named))
    study = folder.meta.get("study", {}).get("cancer_study_identifier", "cbioportal")
    return open_study(Bundle(study, datasets, {"spine": {"entry": "patients"}}))
