"""A new notebook: a few cells on a catalog that run at once and are meant to be changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from integrate.errors import ParameterError
from integrate.report.folder import write_text

__all__ = ["new_notebook"]

_OPEN: Final = (
    "## Data\n\nWhat the catalog names, and who has what.",
    "catalog = ig.open_catalog(catalog_name, data_root=data_root or None)\ncatalog",
    "study = ig.open_study(catalog)\nstudy",
    "## Checks\n\nWhat does not fit, before any analysis.",
    "study.audit",
    "ig.plot_availability(study.availability())",
)
_END: Final = (
    "## Result\n\nWrite the question here, and the cells that answer it: `study.open(...)`, `ig.measure(...)`, "
    "`ig.link(...)`, `ig.associate(...)`.",
    "study.subjects.head()",
)


def new_notebook(
    path: str | os.PathLike[str], *, catalog: str = "demo", data_root: str | os.PathLike[str] = "", report: bool = True
) -> Path:
    """Write a notebook that opens a catalog, shows its study and runs from top to bottom.

    Parameters
    ----------
    path
        File to write; ``.ipynb`` is added when it is missing.
    catalog
        Name of a shipped catalog, or the path of a YAML file.
    data_root
        Where the catalog's data lie; empty for the catalog's own default.
    report
        Tag the constants as parameters, so that ``integrate report run`` can change them.

    Returns
    -------
    Path of the notebook.

    Raises
    ------
    FileExistsError
        If something is there already.
    CatalogError, SourceNotFoundError
        If the catalog cannot be opened.

    Examples
    --------
    >>> path = new_notebook(tmp_path / "survival", catalog="demo")
    >>> path.name
    'survival.ipynb'
    """
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell
    from nbformat.v4 import new_notebook as empty_notebook

    from integrate.catalog.open import open_catalog

    target = Path(path)
    target = target if target.suffix == ".ipynb" else target.with_name(f"{target.name}.ipynb")
    if target.exists():
        raise FileExistsError(f"{target} is there already; choose another name")
    if not target.parent.is_dir():
        raise ParameterError(f"there is no folder {str(target.parent)!r}; make it first")
    named = str(Path(catalog).resolve()) if Path(catalog).is_file() else catalog
    root = str(Path(data_root).resolve()) if data_root else ""
    open_catalog(named, data_root=root or None)
    title = target.stem.replace("_", " ").replace("-", " ").capitalize()
    made = "ig.simulate_study(data_root or None, quiet=True)\n" if named == "demo" else ""
    sources = [
        f"# {title}\n\n**One question, in one sentence.**",
        f"catalog_name = {named!r}\ndata_root = {root!r}",
        "import integrate as ig",
        *_OPEN,
        *_END,
    ]
    cells = []
    for number, source in enumerate(sources):
        if source.startswith("#"):
            cells.append(new_markdown_cell(source, id=f"text-{number}"))  # type: ignore[no-untyped-call]
            continue
        tags = {"tags": ["parameters"]} if report and source.startswith("catalog_name") else {}
        text = source.replace("catalog = ", f"{made}catalog = ", 1) if source.startswith("catalog = ") else source
        cells.append(new_code_cell(text, id=f"code-{number}", metadata=tags))  # type: ignore[no-untyped-call]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = empty_notebook(cells=cells, metadata=kernel)  # type: ignore[no-untyped-call]
    write_text(target, nbformat.writes(notebook) + "\n")  # type: ignore[no-untyped-call]
    return target
