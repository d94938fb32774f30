"""The command line: the same verbs as in a notebook, for people who type them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from integrate.errors import IntegrateError, ParameterError, SourceNotFoundError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Multimodal integration notebooks.")
catalog_app = typer.Typer(no_args_is_help=True, help="Look at a catalog, and check it.")
report_app = typer.Typer(no_args_is_help=True, help="Run notebooks to pages.")
app.add_typer(catalog_app, name="catalog")
app.add_typer(report_app, name="report")

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

    catalog = open_catalog(source, **_pairs(settings))
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

    catalog = open_catalog(source, **_pairs(settings))
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

    audit = check_catalog(open_catalog(source, **_pairs(settings)), deep=deep, hashes=hashes)
    typer.echo(json.dumps(audit.to_frame().to_dict("records"), indent=2) if as_json else repr(audit))
    if not audit.ok:
        raise typer.Exit(1)


@catalog_app.command("lock")
@_told
def lock(source: str, settings: Settings = None) -> None:
    """Hash every file a catalog names and write the manifests beside it; what is loaded is checked by them."""
    from integrate.catalog.lock import lock_catalog
    from integrate.catalog.open import open_catalog

    for root, path in lock_catalog(open_catalog(source, **_pairs(settings)), show_progress=True).items():
        typer.echo(f"{root}: {path}")


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

    catalog = open_catalog(source, **_pairs(settings))
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


@report_app.command("run")
@_told
def run(
    notebook: Path,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the report.")] = None,
    settings: Settings = None,
    timeout: Annotated[int, typer.Option(help="Seconds a cell may take.")] = 1800,
) -> None:
    """Run a notebook with the given parameters and write one HTML page.

    The notebook runs in a folder of its own, so a value that names a file or folder here is made absolute first.
    """
    from integrate.report.run import run_report

    target = output or Path(f"{notebook.stem}-report")
    parameters = {name: _absolute(value) for name, value in _pairs(settings).items()}
    report = run_report(notebook, target, parameters=parameters, timeout=timeout)
    typer.echo(f"report: {report.page}")


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


if __name__ == "__main__":
    app()
