"""The command line: the same verbs as in a notebook, for people who type them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from integrate.errors import IntegrateError, ParameterError, SourceNotFoundError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Multimodal integration notebooks.")
catalog_app = typer.Typer(no_args_is_help=True, help="Look at a catalog, and check it.")
report_app = typer.Typer(no_args_is_help=True, help="Run notebooks to pages.")
app.add_typer(catalog_app, name="catalog")
app.add_typer(report_app, name="report")
new_app = typer.Typer(no_args_is_help=True, help="Begin a notebook that runs at once.")
app.add_typer(new_app, name="new")

Command = TypeVar("Command", bound=Callable[..., Any])
Settings = Annotated[list[str] | None, typer.Option("--set", "-p", help="name=value; may be given several times")]


def _told(command: Command) -> Command:
    """Print our errors as one message with exit status 1, instead of a traceback."""

    @wraps(command)
    def told(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except IntegrateError as error:
            notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", []))
            typer.secho(f"error: {error}{notes}", fg=typer.colors.RED, err=True)
            raise typer.Exit(1) from error

    return told  # type: ignore[return-value]


def _pairs(given: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise ParameterError(f"{text!r} is not name=value")
        pairs[name.strip()] = value
    return pairs


def _absolute(value: str) -> str:
    is_path = "/" in value or os.sep in value
    return str(Path(value).absolute()) if is_path and Path(value).exists() else value


@catalog_app.command("ls")
@_told
def list_catalog(source: str, settings: Settings = None) -> None:
    """List the datasets of a catalog (a YAML file, or the name of a shipped one)."""
    from integrate.catalog.open import open_catalog

    catalog = open_catalog(source)(**_pairs(settings))
    typer.echo(f"{catalog.name}: {catalog.description}\n")
    typer.echo(catalog.table().to_string())


@catalog_app.command("search")
@_told
def search(
    source: str,
    text: Annotated[str | None, typer.Argument(help="Words to look for.")] = None,
    settings: Settings = None,
    *,
    modality: Annotated[list[str] | None, typer.Option()] = None,
    subject: Annotated[list[str] | None, typer.Option()] = None,
    licence: Annotated[list[str] | None, typer.Option()] = None,
    has: Annotated[list[str] | None, typer.Option(help="People must have all of these modalities.")] = None,
) -> None:
    """Find datasets and items by words, modality, person or licence. Exit status 1 when nothing is found."""
    from integrate.catalog.open import open_catalog

    catalog = open_catalog(source)(**_pairs(settings))
    hits = catalog.search(text, modality=modality, subject=subject, licence=licence, has=has)
    typer.echo(hits.table().to_string() if len(hits) else repr(hits))
    for name, reason in hits.unreachable.items():
        typer.secho(f"could not ask {name}: {reason}", err=True)
    if not len(hits):
        raise typer.Exit(1)


@catalog_app.command("check")
@_told
def check(
    source: str,
    settings: Settings = None,
    *,
    deep: Annotated[bool, typer.Option(help="Open every item and compare it with the catalog.")] = False,
    hashes: Annotated[bool, typer.Option(help="Hash every file and compare it with the lock.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check a catalog: safety, descriptions, and that every item is there. Exit status 1 when there are errors."""
    from integrate.catalog.check import check_catalog
    from integrate.catalog.open import open_catalog

    audit = check_catalog(open_catalog(source)(**_pairs(settings)), deep=deep, hashes=hashes)
    typer.echo(json.dumps(audit.to_frame().to_dict("records"), indent=2) if as_json else repr(audit))
    if not audit.ok:
        raise typer.Exit(1)


#: What who looks for identifiers, or lists files that hold some, should know of reports.
_MASKED: Final = (
    "Reports mask each source's spelling of ids unless study.identifiers.<namespace>.public is true (published or made "
    "up), and what DICOM files say of a person unless they say PatientIdentityRemoved=YES."
)


@catalog_app.command("lock")
@_told
def lock(source: str, settings: Settings = None) -> None:
    """Hash every file a catalog names and write the manifests beside it; what is loaded is checked by them."""
    from integrate.catalog.lock import lock_catalog
    from integrate.catalog.open import open_catalog

    for root, path in lock_catalog(open_catalog(source)(**_pairs(settings)), show_progress=True).items():
        typer.echo(f"{root}: {path}")


@catalog_app.command("phi")
@_told
def phi(source: str, settings: Settings = None) -> None:
    """List what may tell who somebody is: DICOM elements, slide labels, columns. Values are not shown."""
    from integrate.catalog.open import open_catalog
    from integrate.readers.phi import find_phi

    found = find_phi(open_catalog(source)(**_pairs(settings)))
    typer.echo(found.to_string(index=False) if len(found) else "nothing found; names inside pixels are not looked for")
    typer.echo(_MASKED)


@catalog_app.command("fmt")
@_told
def fmt(
    source: Path,
    *,
    write: Annotated[bool, typer.Option("--write", "-w", help="Replace the file; its comments are lost.")] = False,
) -> None:
    """Print a catalog in Intake 2's full form, which any Intake reads."""
    from integrate.catalog.write import format_catalog, write_text_whole

    if not source.is_file():
        raise SourceNotFoundError(f"no catalog at {str(source)!r}")
    text = format_catalog(source)
    if write:
        write_text_whole(source, text)
    else:
        typer.echo(text, nl=False)


@catalog_app.command("export")
@_told
def export(
    source: str,
    to: Annotated[str, typer.Option(help="ro-crate or frictionless")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder that holds all the files.")] = None,
    settings: Settings = None,
    *,
    overwrite: Annotated[bool, typer.Option(help="Replace a file that is there.")] = False,
) -> None:
    """Describe all a catalog holds in an RO-Crate or a Frictionless Data Package, beside the data."""
    from integrate.catalog.export import export_catalog
    from integrate.catalog.open import open_catalog

    catalog = open_catalog(source)(**_pairs(settings))
    done = export_catalog(catalog, to=to, folder=output, overwrite=overwrite)  # type: ignore[arg-type]  # checked there
    typer.echo(f"written: {done.path} ({done.datasets} datasets, {done.files} files)")
    for name, note in done.notes.items():
        typer.echo(f"  {name}: {note}")


@catalog_app.command("convert")
@_told
def convert(
    source: Path,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The new file; default NAME.v2.yaml.")] = None,
) -> None:
    """Write the Intake 2 form of an Intake 1 catalog; nothing in it runs. Exit status 1 when something is left out."""
    from integrate.catalog.convert import convert_catalog
    from integrate.catalog.write import write_text_whole

    if not source.is_file():
        raise SourceNotFoundError(f"no catalog at {str(source)!r}")
    target = output or source.with_suffix(".v2.yaml")
    if target.exists():
        raise ParameterError(f"{str(target)!r} exists; give another file with --output")
    converted = convert_catalog(source)
    write_text_whole(target, converted.text)
    typer.echo(f"{converted!r}\nwritten: {target}; `integrate catalog check {target}` says what it still lacks")
    if converted.left:
        raise typer.Exit(1)


@catalog_app.command("from-idc")
@_told
def from_idc(
    index: Path,
    collection: Annotated[list[str], typer.Option(help="Name of a collection; may be given several times.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the catalog.")] = Path("idc"),
) -> None:
    """Write a catalog of public series from the index of the Imaging Data Commons (idc_index.parquet)."""
    from integrate.catalog.idc import import_idc

    typer.echo(f"written: {import_idc(index, output, collections=collection)}")


@catalog_app.command("scan")
@_told
def scan(
    folder: Path,
    *,
    overwrite: Annotated[bool, typer.Option(help="Replace a catalog that is there.")] = False,
) -> None:
    """Look into every file of a folder and write catalog.yaml and assets.csv into it, for a person to complete."""
    from integrate.catalog.scan import scan_folder

    found = scan_folder(folder, overwrite=overwrite, show_progress=True)
    typer.echo(repr(found))
    for row in found.undecided[:20]:
        typer.echo(f"  decide: {row['item']}: {row['undecided']}")
    for name, fault in list(found.faults.items())[:20]:
        typer.echo(f"  unreadable: {name}: {fault}")
    typer.echo(f"written: {found.catalog}")
    if any(row["patient_id"] for row in found.rows):
        typer.echo(_MASKED)


@report_app.command("run")
@_told
def run(
    notebook: Path,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the report.")] = None,
    settings: Settings = None,
    timeout: Annotated[int, typer.Option(help="Seconds a cell may take.")] = 1800,
    *,
    pdf: Annotated[bool | None, typer.Option(help="Print a PDF too; by default where Chromium is found.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Run also when nothing has changed.")] = False,
) -> None:
    """Run a notebook with the given parameters and write one HTML page.

    The notebook runs in a folder of its own, so a value that names a file or folder here is made absolute first.
    Where neither notebook, parameters, data nor versions have changed, the report that is there stands.
    """
    from integrate.report.pdf import find_chromium
    from integrate.report.run import run_report

    target = output or Path(f"{notebook.stem}-report")
    parameters = {name: _absolute(value) for name, value in _pairs(settings).items()}
    wants_pdf = find_chromium() is not None if pdf is None else pdf
    report = run_report(notebook, target, parameters=parameters, timeout=timeout, pdf=wants_pdf, again=again)
    if report.reused:
        typer.echo("nothing has changed since this report was made; it was not run again (--again runs it)")
    elif report.reasons != ("there is no report yet",):
        typer.echo("run because " + "; ".join(report.reasons[:5]))
    typer.echo(f"report: {report.page}{_beside(report.page.parent)}")
    if report.privacy:
        typer.echo(report.privacy)
    if report.warnings:
        typer.echo(f"{len(report.warnings)} warning(s), listed at the end of the page; the first: {report.warnings[0]}")
    typer.echo(f"to make it again and compare: integrate report verify {target}")


def _beside(folder: Path) -> str:
    """Return in words what lies beside the page of a report."""
    counts = {"table": "tables/*.csv", "figure": "figures/*.png", "PDF": "report.pdf"}
    found = {name: len(list(folder.glob(pattern))) for name, pattern in counts.items()}
    told = [f"{n} {name}{'' if n == 1 else 's'}" for name, n in found.items() if n]
    return f"\nbeside it: {', '.join(told)}, the executed notebook and what went in" if told else ""


@report_app.command("batch")
@_told
def batch(
    notebook: Path,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the reports.")] = None,
    table: Annotated[Path | None, typer.Option(help="CSV with a row of parameters per report.")] = None,
    each: Annotated[list[str] | None, typer.Option(help="name=a,b,c: one report per value.")] = None,
    settings: Settings = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Reports made at the same time.")] = 1,
    timeout: Annotated[int, typer.Option(help="Seconds a cell may take.")] = 1800,
    *,
    again: Annotated[bool, typer.Option("--again", help="Run also what has not changed.")] = False,
) -> None:
    """Run a notebook once per row of a table, or per value of a parameter, and write an index page."""
    from integrate.report.batch import read_rows, run_batch

    fixed = {name: _absolute(value) for name, value in _pairs(settings).items()}
    rows = [{**fixed, **row} for row in read_rows(table, _pairs(each))]
    target = output or Path(f"{notebook.stem}-reports")
    done = run_batch(notebook, target, rows, jobs=jobs, timeout=timeout, again=again)
    typer.echo(f"{done}\nindex: {done.index}")
    for row in done.failed:
        typer.echo(f"  {row.name}: {row.fault}", err=True)
    if done.failed:
        raise typer.Exit(1)


Relative = Annotated[float, typer.Option(help="Relative difference of numbers that still counts as the same.")]
Absolute = Annotated[float, typer.Option(help="Absolute difference of numbers that still counts as the same.")]
Pixels = Annotated[float, typer.Option(help="Share of a figure's pixels that may differ.")]


@report_app.command("verify")
@_told
def verify(
    folder: Path,
    notebook: Annotated[Path | None, typer.Option(help="The notebook, where it is no longer in its place.")] = None,
    settings: Settings = None,
    rtol: Relative = 1e-6,
    atol: Absolute = 0.0,
    pixels: Pixels = 0.0,
    timeout: Annotated[int, typer.Option(help="Seconds a cell may take.")] = 1800,
) -> None:
    """Run a report's notebook again and say what is different, and why. Exit status 1 when something is."""
    from integrate.report.difference import Tolerance
    from integrate.report.verify import verify_report

    found = verify_report(
        folder,
        notebook=notebook,
        parameters={name: _absolute(value) for name, value in _pairs(settings).items()},
        tolerance=Tolerance(rtol, atol, pixels),
        timeout=timeout,
    )
    typer.echo(str(found))
    if not found.same:
        raise typer.Exit(1)


@report_app.command("diff")
@_told
def diff(before: Path, after: Path, rtol: Relative = 1e-6, atol: Absolute = 0.0, pixels: Pixels = 0.0) -> None:
    """Compare two reports without running anything. Exit status 1 when a reader would see a difference."""
    from integrate.report.difference import Tolerance
    from integrate.report.verify import diff_reports

    found = diff_reports(before, after, tolerance=Tolerance(rtol, atol, pixels))
    typer.echo(str(found))
    if not found.same:
        raise typer.Exit(1)


Catalogued = Annotated[str, typer.Option(help="Name of a shipped catalog, or a YAML file.")]
Root = Annotated[str, typer.Option(help="Folder of the data.")]


@new_app.command("report")
@_told
def new_report(name: Path, catalog: Catalogued = "demo", data_root: Root = "") -> None:
    """Write a notebook with parameters that `integrate report run` turns into a page."""
    from integrate.report.new import new_notebook

    path = new_notebook(name, catalog=catalog, data_root=data_root)
    typer.echo(f"written: {path}\nrun it with: integrate report run {path}")


@new_app.command("notebook")
@_told
def new_exploration(name: Path, catalog: Catalogued = "demo", data_root: Root = "") -> None:
    """Write a notebook to explore a catalog in JupyterLab."""
    from integrate.report.new import new_notebook

    path = new_notebook(name, catalog=catalog, data_root=data_root, report=False)
    typer.echo(f"written: {path}\nopen it with: integrate lab {path.parent} --notebook {path.name}")


@app.command("simulate")
@_told
def simulate(
    folder: Path,
    subjects: Annotated[int, typer.Option(help="Number of subjects.")] = 24,
    seed: Annotated[int, typer.Option(help="Seed of every random draw.")] = 20260101,
) -> None:
    """Write the simulated study, with its planted truth, into a folder."""
    from integrate.datasets.simulate import simulate_study

    written = simulate_study(folder, subjects=subjects, seed=seed)
    typer.echo(f"simulated study: {written}\nopen it with: ig.open_catalog('demo', data_root={str(written)!r})")


@app.command("demo")
@_told
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the report.")] = Path("demo-report"),
) -> None:
    """Run the main job on the simulated study: write it, run notebook 01 on it, compare with the planted truth."""
    from integrate.datasets.demo import run_demo

    report, recovered = run_demo(output)
    typer.echo("\nPlanted in the simulated study, and found again:\n")
    typer.echo(recovered.to_string(index=False))
    typer.echo(f"\nreport page: {report.page}")


@app.command("doctor")
@_told
def doctor(
    *,
    browser: Annotated[bool, typer.Option(help="Start Chromium and ask it for WebGL2.")] = True,
) -> None:
    """Check the environment and say what to do. Exit status 1 when something must be mended."""
    from integrate.show.doctor import FAULT, check_environment

    found = check_environment(browser=browser)
    colours = {"ok": typer.colors.GREEN, "note": typer.colors.YELLOW, FAULT: typer.colors.RED}
    for one in found:
        typer.echo(f"{typer.style(f'{one.verdict:>5}', fg=colours[one.verdict])}  {one.what}")
        if one.fix:
            typer.echo(f"       -> {one.fix}")
    if any(one.verdict == FAULT for one in found):
        raise typer.Exit(1)


@app.command("lab", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@_told
def lab(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(help="Folder of notebooks; shipped ones that are absent are copied.")
    ] = Path("notebooks"),
    notebook: Annotated[str | None, typer.Option(help="Notebook to open; by default the first.")] = None,
) -> None:
    """Start JupyterLab with the notebooks and this environment's kernel. Further options go to JupyterLab."""
    from integrate.show.lab import lab_command, prepare_notebooks, start_lab

    place = folder.absolute()
    prepare_notebooks(place)
    raise typer.Exit(start_lab(lab_command(place, notebook=notebook, arguments=context.args)))


if __name__ == "__main__":
    app()
