"""The RO-Crate of a report: what was run on what and gave what, as JSON-LD that archives read."""

from __future__ import annotations

import json
import mimetypes
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from integrate.report.folder import CRATE, MANIFEST, NOTEBOOK, PAGE, RECORD

__all__ = ["write_crate"]

#: Process Run Crate: https://w3id.org/ro/wfrun/process
PROFILE: Final = "https://w3id.org/ro/wfrun/process/0.5"
_TYPES: Final = {".ipynb": "application/x-ipynb+json", ".parquet": "application/vnd.apache.parquet"}


def write_crate(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write ``ro-crate-metadata.json`` beside the files of a report.

    Parameters
    ----------
    path
        File to write.
    manifest
        The manifest of the report. Data are named by sha256 and dataset, never by where they lay; parameters become
        ``PropertyValue``, the run a ``CreateAction`` with its notebook as instrument.
    """
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    facts, run = manifest["reproducible"], manifest["run"]
    crate = ROCrate()
    title = Path(facts["notebook"]["name"]).stem
    crate.name = f"Report {title}"
    crate.description = f"Report {facts['report_id']} of the notebook {facts['notebook']['name']}, run by integrate."
    crate.root_dataset["conformsTo"] = crate.add(_profile(crate))
    # A hash or a date of today would differ between two equal runs.
    crate.root_dataset["datePublished"] = run["started"]
    software = crate.add(
        ContextEntity(
            crate,
            f"#notebook-{facts['notebook']['sha256']}",
            {
                "@type": "SoftwareApplication",
                "name": facts["notebook"]["name"],
                "softwareVersion": facts["notebook"]["sha256"],
                "softwareRequirements": f"integrate {facts['versions'].get('integrate', '')}",
            },
        )
    )
    inputs = [crate.add(entity) for entity in (*_parameters(crate, facts), *_data(crate, facts))]
    made = [_file(crate, name, digest) for name, digest in facts["outputs"].items()]
    _file(crate, MANIFEST, None)
    _file(crate, RECORD, None)
    action = crate.add(
        ContextEntity(
            crate,
            f"#run-{facts['report_id']}",
            {
                "@type": "CreateAction",
                "name": f"Run of {facts['notebook']['name']}",
                "startTime": run["started"],
                "actionStatus": "http://schema.org/CompletedActionStatus",
            },
        )
    )
    action["instrument"], action["object"], action["result"] = software, inputs, made
    crate.root_dataset["mentions"] = action
    crate.root_dataset["mainEntity"] = next(one for one in made if one.id == PAGE)
    with tempfile.TemporaryDirectory() as draft:
        crate.metadata.write(draft)
        document = json.loads((Path(draft) / CRATE).read_text(encoding="utf-8"))
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _profile(crate: Any) -> Any:
    from rocrate.model.contextentity import ContextEntity

    return ContextEntity(
        crate, PROFILE, {"@type": "CreativeWork", "name": "Process Run Crate", "version": PROFILE.rpartition("/")[2]}
    )


def _parameters(crate: Any, facts: Mapping[str, Any]) -> list[Any]:
    from rocrate.model.contextentity import ContextEntity

    return [
        ContextEntity(
            crate,
            f"#parameter-{name}",
            {"@type": "PropertyValue", "name": name, "value": value if isinstance(value, str) else json.dumps(value)},
        )
        for name, value in facts["parameters"].items()
    ]


def _data(crate: Any, facts: Mapping[str, Any]) -> list[Any]:
    """Return one entity per distinct content, however often and under how many names it was loaded."""
    from rocrate.model.contextentity import ContextEntity

    found: dict[str, dict[str, Any]] = {}
    for file in (*facts["loads"], *facts["files"]):
        digest = str(file.get("sha256") or f"{file.get('location')}-{file.get('bytes')}")
        name = ": ".join(filter(None, (file.get("catalog"), file.get("entry")))) or str(file.get("name", ""))
        notes = found.setdefault(
            digest,
            {
                "@type": "CreativeWork",
                "name": name,
                "alternateName": file.get("location") or file.get("name"),
                "sha256": file.get("sha256"),
                "size": str(file.get("bytes")),
            },
        )
        if name not in notes["name"].split("; "):
            notes["name"] += f"; {name}"
    return [
        ContextEntity(crate, f"#data-{digest}", {key: value for key, value in notes.items() if value})
        for digest, notes in sorted(found.items())
    ]


def _file(crate: Any, name: str, digest: str | None) -> Any:
    suffix = Path(name).suffix
    kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    words = {PAGE: "Page", NOTEBOOK: "Executed notebook"}.get(name, Path(name).stem)
    notes = {"name": words, "encodingFormat": kind, **({"sha256": digest} if digest else {})}
    return crate.add_file(dest_path=name, properties=notes)
