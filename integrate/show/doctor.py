"""The check of an environment: what is absent or breaks something else, and how to mend it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final

__all__ = ["Finding", "check_environment"]

OK: Final = "ok"
#: Something a person may want and can do without.
NOTE: Final = "note"
FAULT: Final = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    verdict
        ``"ok"``, ``"note"`` or ``"fault"``.
    what
        What was looked at, and what was found.
    fix
        What to type; empty when all is well.
    """

    verdict: str
    what: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class _Rule:
    """A version that works with the others: lowest, and first that no longer does."""

    package: str
    lowest: str
    below: str
    reason: str


#: Each was met in practice; the resolver alone does not prevent it.
RULES: Final = (
    _Rule("spatialdata", "0.7.3", "", "0.7.0 to 0.7.2 cannot be imported beside setuptools >= 82"),
    _Rule("zarr", "3.1.2", "", "vitessce and itkwidgets take zarr back to 2, which reads no current SpatialData"),
    _Rule("numpy", "2.2", "", "isatools and older pyradiomics take numpy back to 1"),
    _Rule("intake", "2.0.9", "2.2", "2.2 may remove what catalogs are read with"),
    _Rule("ipykernel", "7", "", "before 7 a viewer gets no tiles while a cell runs"),
    _Rule("jupyterlab", "4.6", "", "before 4.6 a viewer gets no tiles while a cell runs"),
    _Rule("anywidget", "0.9.21", "", "the viewer is made with it"),
)
#: Packages that harm the others merely by being there.
HARMFUL: Final = {
    "vitessce": "it pins zarr below 3 and fetches its code from the web",
    "itkwidgets": "it pins zarr below 3 and fetches its code from the web",
    "jupyter-collaboration": "its loading message covers notebooks and blocks clicks",
    "isatools": "it takes numpy back to 1",
}
#: Extras by the module that shows they are there.
EXTRAS: Final = {
    "openslide": ("openslide-python", "slides of other vendors than Aperio and generic TIFF", "integrate[reference]"),
    "ipyniivue": ("ipyniivue", "volumes drawn on the graphics card", "integrate[view3d]"),
    "sidecar": ("sidecar", "the catalog browser beside the notebook instead of in it", "integrate[panel]"),
}


def check_environment(*, browser: bool = True) -> list[Finding]:
    """Return what was found about Python, packages that break each other, memory, graphics, and the browser.

    Parameters
    ----------
    browser
        Whether to start Chromium and ask it for WebGL2, which takes a few seconds.

    Returns
    -------
    Findings, each with what to do.

    Examples
    --------
    >>> [finding.what for finding in check_environment(browser=False) if finding.verdict == "fault"]
    []
    """
    found = [
        Finding(OK, f"Python {sys.version.split()[0]}"),
        *_versions(_installed),
        *_harmful(_installed),
        *_requirements(),
        *_extras(),
        _memory(),
        _gpu(),
    ]
    return [*found, _browser(start=browser)]


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _versions(installed: Callable[[str], str | None]) -> Iterator[Finding]:
    from packaging.version import Version

    for rule in RULES:
        have = installed(rule.package)
        wanted = f"{rule.package}>={rule.lowest}" + (f",<{rule.below}" if rule.below else "")
        if have is None:
            yield Finding(FAULT, f"{rule.package} is not installed: {rule.reason}", f'pip install "{wanted}"')
        elif Version(have) < Version(rule.lowest) or (rule.below and Version(have) >= Version(rule.below)):
            yield Finding(FAULT, f"{rule.package} {have}: {rule.reason}", f'pip install "{wanted}"')
        else:
            yield Finding(OK, f"{rule.package} {have}")


def _harmful(installed: Callable[[str], str | None]) -> Iterator[Finding]:
    for package, reason in HARMFUL.items():
        have = installed(package)
        if have is not None:
            yield Finding(FAULT, f"{package} {have}: {reason}", f"pip uninstall {package}, then make env")


def _requirements() -> Iterator[Finding]:
    """Compare every package we need with the version that is there."""
    from packaging.requirements import Requirement

    try:
        stated = metadata.requires("integrate") or []
    except metadata.PackageNotFoundError:
        yield Finding(NOTE, "integrate is not installed, only on the path; requirements were not compared", "make env")
        return
    wrong = []
    for text in stated:
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        have = _installed(needed.name)
        if have is None or not needed.specifier.contains(have, prereleases=True):
            wrong.append(f"{needed} ({'absent' if have is None else have})")
    if wrong:
        yield Finding(FAULT, f"{len(wrong)} requirements are not met: {', '.join(wrong)}", "make env")
    else:
        yield Finding(OK, f"all {len(stated)} requirements are met")


def _extras() -> Iterator[Finding]:
    for package, use, extra in EXTRAS.values():
        have = _installed(package)
        if have is None:
            yield Finding(NOTE, f"{package} is not there: {use}", f'pip install "{extra}"')
        elif package == "openslide-python":
            yield _openslide(have)
        else:
            yield Finding(OK, f"{package} {have}: {use}")


def _openslide(version: str) -> Finding:
    """Import it: the Python package is often there without the library."""
    try:
        import openslide
    except (ImportError, OSError) as error:
        return Finding(
            FAULT, f"openslide-python {version} cannot load its library ({error})", "pip install openslide-bin"
        )
    return Finding(OK, f"OpenSlide {getattr(openslide, '__library_version__', version)}")


def _memory() -> Finding:
    import psutil  # type: ignore[import-untyped]

    free = psutil.virtual_memory().available / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if free < 2:
        return Finding(NOTE, f"{free:.1f} GB of memory free, {cores} cores", "close other kernels before large images")
    return Finding(OK, f"{free:.1f} GB of memory free, {cores} cores")


def _gpu() -> Finding:
    if shutil.which("nvidia-smi"):
        return Finding(OK, "an NVIDIA graphics card; integrate itself computes on the processor")
    return Finding(NOTE, "no NVIDIA graphics card: not needed, deep models are slower")


def _browser(*, start: bool) -> Finding:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((path for path in map(shutil.which, names) if path), None)
    if program is None:
        return Finding(NOTE, "no Chromium: only the browser tests need it", "apt-get install chromium")
    if not start:
        return Finding(OK, f"Chromium at {program}")
    return _webgl(program)


def _webgl(program: str) -> Finding:
    """Ask a real browser for WebGL2 and who draws it."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        return Finding(NOTE, f"Chromium at {program}; WebGL2 was not asked for", 'pip install "integrate[test]"')
    ask = (
        "(() => { const gl = document.createElement('canvas').getContext('webgl2'); if (!gl) return null;"
        " const seen = gl.getExtension('WEBGL_debug_renderer_info');"
        " return seen ? gl.getParameter(seen.UNMASKED_RENDERER_WEBGL) : 'unknown' })()"
    )

    def answer() -> Any:
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--enable-unsafe-swiftshader"]
            opened = playwright.chromium.launch(executable_path=program, args=arguments)
            drawn = opened.new_page().evaluate(ask)
            opened.close()
        return drawn

    try:
        with ThreadPoolExecutor(1) as other:  # Playwright refuses a thread in which a loop runs, as a notebook's
            drawn = other.submit(answer).result()
    except Error as error:
        return Finding(NOTE, f"Chromium at {program} did not start: {str(error).splitlines()[0]}", "start it by hand")
    if drawn is None:
        return Finding(
            FAULT, "Chromium offers no WebGL2, which the viewer needs", "start it with --enable-unsafe-swiftshader"
        )
    if "swiftshader" in drawn.lower() or "llvmpipe" in drawn.lower():
        return Finding(NOTE, f"WebGL2 is drawn by the processor ({drawn}): right, but slower than a graphics card", "")
    return Finding(OK, f"WebGL2 by {drawn}")
