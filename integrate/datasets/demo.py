"""The demonstration: the main job on the simulated study, with its result compared to the planted truth."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from integrate.catalog.open import open_catalog
from integrate.datasets.recover import recover_truth
from integrate.datasets.simulate import simulate_study
from integrate.errors import SourceNotFoundError
from integrate.join.store import read_cohort
from integrate.model.assemble import open_study
from integrate.report.run import Report, run_report

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["notebook_path", "run_demo"]


def notebook_path(name: str) -> Path:
    """Return the path of a notebook that comes with the package.

    Raises
    ------
    SourceNotFoundError
        If there is no such notebook.

    Examples
    --------
    >>> notebook_path("01_first_study").name
    '01_first_study.ipynb'
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "notebooks", package.parent / "notebooks"):  # a wheel; a checkout
        if (folder / f"{name}.ipynb").is_file():
            return folder / f"{name}.ipynb"
    raise SourceNotFoundError(f"no notebook named {name!r} comes with the package")


def run_demo(
    output: str | os.PathLike[str], *, folder: str | os.PathLike[str] | None = None
) -> tuple[Report, pd.DataFrame]:
    """Write the simulated study, run notebook 01 on it, and compare the result with the planted truth.

    Parameters
    ----------
    output
        Folder of the report.
    folder
        Folder of the simulated study; ``None`` is ``~/.cache/integrate/demo``.

    Returns
    -------
    The report, and the table of `recover_truth`.

    Raises
    ------
    ReportError
        If the notebook fails; the message names the cell.
    """
    study_folder = simulate_study(folder)
    parameters = {"catalog_name": "demo", "data_root": "" if folder is None else str(Path(study_folder).absolute())}
    report = run_report(notebook_path("01_first_study"), output, parameters=parameters)
    study = open_study(open_catalog("demo", data_root=str(study_folder)))
    cohort = read_cohort(report.page.parent / "files" / "cohort")
    return report, recover_truth(study_folder, study, cohort)
