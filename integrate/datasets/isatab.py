"""The ISA-Tab description of the simulated study: an investigation, a study and one assay file per technology."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from integrate.datasets.cohort import Subject

__all__ = ["ASSAYS", "BODY", "write_isatab"]

#: Technology per modality: ISA measurement type, technology type, assay file.
ASSAYS: dict[str, tuple[str, str, str]] = {
    "CT": ("tumour morphology", "computed tomography", "a_ct.txt"),
    "SM": ("histology", "whole slide imaging", "a_he.txt"),
    "IF": ("protein expression profiling", "multiplexed immunofluorescence", "a_if.txt"),
    "visium": ("transcription profiling", "spatial transcriptomics", "a_visium.txt"),
    "rna": ("transcription profiling", "RNA sequencing", "a_rna.txt"),
}
#: Suffix of the sample that stands for the whole person, of which a CT is taken.
BODY = "body"

_STUDY_COLUMNS = (
    "Source Name",
    "Characteristics[Organism]",
    "Term Source REF",
    "Term Accession Number",
    "Characteristics[Sex]",
    "Protocol REF",
    "Sample Name",
    "Characteristics[Material Type]",
)
_ORGANISM = ("Homo sapiens", "NCBITAXON", "http://purl.obolibrary.org/obo/NCBITaxon_9606")


def write_isatab(
    folder: Path, subjects: Sequence[Subject], assays: Mapping[str, Sequence[tuple[str, str, str]]]
) -> None:
    """Write the folder.

    Parameters
    ----------
    folder
        New folder.
    subjects
        Each is a Source, from which Samples derive: the body and every block.
    assays
        Per modality of `ASSAYS`: sample name, assay name and data file (relative to the ISA-Tab folder).
    """
    folder.mkdir()
    rows = []
    for subject in subjects:
        source = (subject.subject_id, *_ORGANISM, subject.sex)
        rows.append((*source, "enrolment", f"{subject.subject_id}-{BODY}", "whole organism"))
        rows += [(*source, "surgery", subject.specimen_id(section), "tissue block") for section in subject.sections]
    _write_table(folder / "s_study.txt", _STUDY_COLUMNS, rows)
    for modality, (_, technology, name) in ASSAYS.items():
        data = "Image File" if modality in ("CT", "SM", "IF") else "Derived Data File"
        lines = [(sample, technology, assay, file) for sample, assay, file in assays.get(modality, ())]
        _write_table(folder / name, ("Sample Name", "Protocol REF", "Assay Name", data), lines)
    (folder / "i_investigation.txt").write_text(_investigation(), encoding="utf-8")


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write tab-separated text, every value quoted, as ISA-Tab asks."""
    lines = ["\t".join(f'"{value}"' for value in row) for row in (columns, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _investigation() -> str:
    """Return the investigation file, every section of the specification present and in its order."""
    protocols = ("enrolment", "surgery", *(technology for _, technology, _ in ASSAYS.values()))
    sections: dict[str, dict[str, Sequence[str]]] = {
        "ONTOLOGY SOURCE REFERENCE": {
            "Term Source Name": ("NCBITAXON",),
            "Term Source File": ("http://purl.obolibrary.org/obo/ncbitaxon.owl",),
            "Term Source Version": ("",),
            "Term Source Description": ("NCBI organismal classification",),
        },
        "INVESTIGATION": _about("Investigation", "SIM"),
        "INVESTIGATION PUBLICATIONS": _publications("Investigation"),
        "INVESTIGATION CONTACTS": _contacts("Investigation Person"),
        "STUDY": {
            **_about("Study", "SIM-1"),
            "Study File Name": ("s_study.txt",),
        },
        "STUDY DESIGN DESCRIPTORS": _typed("Study Design Type", ("observational design",)),
        "STUDY PUBLICATIONS": _publications("Study"),
        "STUDY FACTORS": {"Study Factor Name": ("",), **_typed("Study Factor Type", ("",))},
        "STUDY ASSAYS": {
            "Study Assay File Name": [name for _, _, name in ASSAYS.values()],
            **_typed("Study Assay Measurement Type", [measured for measured, _, _ in ASSAYS.values()]),
            **_typed("Study Assay Technology Type", [technology for _, technology, _ in ASSAYS.values()]),
            "Study Assay Technology Platform": [""] * len(ASSAYS),
        },
        "STUDY PROTOCOLS": {
            "Study Protocol Name": protocols,
            **_typed("Study Protocol Type", protocols),
            **{
                f"Study Protocol {field}": [""] * len(protocols)
                for field in (
                    "Description",
                    "URI",
                    "Version",
                    "Parameters Name",
                    "Parameters Name Term Accession Number",
                    "Parameters Name Term Source REF",
                    "Components Name",
                    "Components Type",
                    "Components Type Term Accession Number",
                    "Components Type Term Source REF",
                )
            },
        },
        "STUDY CONTACTS": _contacts("Study Person"),
    }
    lines = []
    for section, fields in sections.items():
        lines.append(section)
        lines += ["\t".join((field, *(f'"{value}"' for value in values))) for field, values in fields.items()]
    return "\n".join(lines) + "\n"


def _about(what: str, identifier: str) -> dict[str, Sequence[str]]:
    """Return identifier, title and the fields left empty on purpose: the study has no dates."""
    return {
        f"{what} Identifier": (identifier,),
        f"{what} Title": ("Simulated lung adenocarcinoma study",),
        f"{what} Description": ("Written by integrate.datasets.simulate_study; nobody in it exists.",),
        f"{what} Submission Date": ("",),
        f"{what} Public Release Date": ("",),
    }


def _typed(field: str, values: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return a field with its two ontology fields, left empty."""
    empty = [""] * len(values)
    return {field: values, f"{field} Term Accession Number": empty, f"{field} Term Source REF": empty}


def _publications(what: str) -> dict[str, Sequence[str]]:
    """Return the publication section, empty."""
    fields = ("PubMed ID", "Publication DOI", "Publication Author List", "Publication Title")
    return {**{f"{what} {field}": ("",) for field in fields}, **_typed(f"{what} Publication Status", ("",))}


def _contacts(what: str) -> dict[str, Sequence[str]]:
    """Return the contact section, empty."""
    fields = ("Last Name", "First Name", "Mid Initials", "Email", "Phone", "Fax", "Address", "Affiliation")
    return {**{f"{what} {field}": ("",) for field in fields}, **_typed(f"{what} Roles", ("",))}
