"""The table of consensus values in the docs; written anew by ``INTEGRATE_WRITE_DOCS=1`` and the test that reads it."""

from __future__ import annotations

from integrate.features.radiomics.nomenclature import FAMILIES

from .ibsi import Consensus

REPORT = "docs/radiomics_ibsi.md"

_HEAD = """# Radiomics against the IBSI-1 consensus

Written by `tests/features/radiomics/test_phantoms.py`, which fails when a number below is no longer what is measured;
`INTEGRATE_WRITE_DOCS=1` writes it anew. The values agreed by the Image Biomarker Standardisation Initiative
(Zwanenburg et al., Radiology 2020) are printed with three digits; a value is met when it lies within the consensus
tolerance of what the printed value may have been rounded from. Not measured, as they have no consensus: minimum
oriented bounding box, minimum volume enclosing ellipsoid. Measured without one: the area under the intensity-volume
histogram.

"""


def write_report(results: dict[str, list[tuple[Consensus, float]]]) -> str:
    """Return the page: how many values of each family are met, then every feature by configuration."""
    names = list(results)
    met = {(name, one.tag): one.holds(found) for name, rows in results.items() for one, found in rows}
    lines = ["| family | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    tags: dict[str, list[str]] = {}
    for tag in dict.fromkeys(tag for _, tag in met):
        tags.setdefault(_family(tag), []).append(tag)
    for family, members in tags.items():
        cells = [[met[name, tag] for tag in members if (name, tag) in met] for name in names]
        lines.append(f"| {family} | " + " | ".join(f"{sum(c)} of {len(c)}" if c else "" for c in cells) + " |")
    totals = [[ok for (name, _), ok in met.items() if name == one] for one in names]
    lines.append("| **all** | " + " | ".join(f"**{sum(c)} of {len(c)}**" for c in totals) + " |")
    for family, members in tags.items():
        lines += ["", f"## {family}", "", "| feature | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for tag in members:
            marks = [{True: "pass", False: "**fail**", None: ""}[met.get((name, tag))] for name in names]
            lines.append(f"| `{tag}` | " + " | ".join(marks) + " |")
    return _HEAD + "\n".join(lines) + "\n"


def _family(tag: str) -> str:
    prefixes = {definitions[0].tag.split("_")[0]: family for family, definitions in FAMILIES.items()}
    return "voxels of the region" if "vox_count" in tag else prefixes[tag.split("_")[0]]
