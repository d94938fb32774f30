"""The lock of a catalog: the sha256 of every file it names, in manifests that ``sha256sum -c`` reads too."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from integrate.catalog.identity import files_below, identify, keep_hashes, tree_hash
from integrate.catalog.safety import is_remote
from integrate.errors import CatalogError, IntegrateError, SourceNotFoundError
from integrate.model.progress import follow
from integrate.model.provenance import hash_file

if TYPE_CHECKING:
    from integrate.catalog.catalog import Catalog

__all__ = ["Manifest", "check_local", "hash_files", "lock_catalog", "manifest_path", "open_manifest"]

_LINE = re.compile(r"(\\?)([0-9a-f]{64}) [ *](.+)")
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


class Manifest:
    """The sha256 of files below one folder.

    Parameters
    ----------
    hashes
        Path relative to the folder, with forward slashes, to 64 hex digits.
    """

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self.hashes = dict(hashes)

    def expected(self, relative: str) -> str | None:
        """Return the hash of a file, of a folder by the files in it, or ``None`` when nothing of it is locked.

        A folder's is the same as `hash_file` gives, so that a file too many or too few is seen too.
        """
        if relative in self.hashes:
            return self.hashes[relative]
        inside = self._by_folder.get(relative)
        if inside is None:
            return None
        return tree_hash({str(PurePosixPath(name).relative_to(relative)): self.hashes[name] for name in inside})

    @cached_property
    def _by_folder(self) -> dict[str, list[str]]:
        folders: dict[str, list[str]] = {}
        for name in self.hashes:
            for parent in PurePosixPath(name).parents:
                folders.setdefault(str(parent), []).append(name)
        return folders

    def write(self, path: Path) -> None:
        """Write the manifest in the format of ``sha256sum``, sorted, all of it or nothing."""
        lines = [_line(name, digest) for name, digest in sorted(self.hashes.items())]
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        unfinished.write_text("".join(lines), encoding="utf-8")
        unfinished.replace(path)


def open_manifest(path: Path) -> Manifest | None:
    """Return the manifest in a file, ``None`` when there is no such file.

    Raises
    ------
    CatalogError
        If a line is not in the format of ``sha256sum``.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return _read_manifest(str(path), found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=16)
def _read_manifest(path: str, _changed: int, _size: int) -> Manifest:
    hashes = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), start=1):
        match = _LINE.fullmatch(line)
        if match is not None:
            name = re.sub(r"\\.", lambda m: _ESCAPES.get(m[0], m[0]), match[3]) if match[1] else match[3]
            hashes[name] = match[2]
        elif line:
            raise CatalogError(f"line {number} of {Path(path).name} is not `sha256  path`; lock the catalog again")
    return Manifest(hashes)


def manifest_path(catalog: Path, root: str) -> Path:
    """Return where the manifest of one root of a catalog lies: beside the catalog.

    Examples
    --------
    >>> manifest_path(Path("study.yaml"), "CATALOG_DIR").name, manifest_path(Path("study.yaml"), "data_root").name
    ('study.sha256', 'study.data_root.sha256')
    """
    suffix = "" if root == "CATALOG_DIR" else f".{root}"
    return catalog.with_name(f"{catalog.stem}{suffix}.sha256")


def lock_catalog(catalog: Catalog, *, workers: int | None = None, show_progress: bool = False) -> dict[str, Path]:
    """Hash every file that a catalog names, and write the manifests beside it; what is loaded is checked by them.

    A file above a megabyte whose bytes have not been read since it last changed is checked when a result is made from
    it (or by `check_catalog` with ``hashes``), so that opening stays fast.

    Parameters
    ----------
    catalog
        An open catalog; its file is not changed.
    workers
        Threads that hash; by default one per processor.
    show_progress
        Show a progress bar on the error stream.

    Returns
    -------
    Root (``"CATALOG_DIR"`` or the name of a data root) to the manifest written. A file below two roots is in the
    manifest of the innermost.

    Raises
    ------
    SourceNotFoundError
        If files are missing; all datasets concerned are named, and nothing is written.
    CatalogError
        If the catalog is a remote one.

    Examples
    --------
    >>> import shutil
    >>> written = lock_catalog(ig.datasets.toy_catalog(tmp_path / "study"))
    >>> sorted(path.name for path in written.values())
    ['catalog.sha256']
    """
    check_local(catalog, "lock it")
    files: set[Path] = set()
    missing = []
    for name, entry in catalog.items():
        try:
            for source in entry.sources():
                files |= set(_files_of(source))
        except IntegrateError as error:
            missing.append(f"{name}: {error}")
    if missing:
        raise SourceNotFoundError(
            f"nothing is locked, {len(missing)} datasets are not whole:\n  " + "\n  ".join(missing)
        )
    roots = {name: Path(root).resolve() for name, root in catalog.roots.items() if not is_remote(root)}
    manifests: dict[str, dict[str, str]] = {}
    for path, digest in hash_files(sorted(files), workers=workers, show_progress=show_progress).items():
        root = max((n for n in roots if path.is_relative_to(roots[n])), key=lambda n: len(roots[n].parts))
        manifests.setdefault(root, {})[path.relative_to(roots[root]).as_posix()] = digest
    written = {}
    for root, hashes in manifests.items():
        written[root] = manifest_path(catalog.path, root)
        Manifest(hashes).write(written[root])
    return written


def check_local(catalog: Catalog, deed: str) -> None:
    """Check that a catalog lies on this machine, so that something can be written beside it.

    Raises
    ------
    CatalogError
        If it lies elsewhere.
    """
    if is_remote(catalog.home):
        raise CatalogError(f"catalog {catalog.name!r} lies at {catalog.home}; {deed} where it lies")


def hash_files(paths: Iterable[Path], *, workers: int | None = None, show_progress: bool = False) -> dict[Path, str]:
    """Return the sha256 of files, hashed in parallel."""
    paths = list(paths)
    states = [identify(path).files[0] for path in paths]
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:  # hashing releases the interpreter lock
        running = pool.map(hash_file, paths)
        digests = list(follow(running, "sha256", total=len(paths), unit="file", show=show_progress or None))
    keep_hashes(zip(states, digests, strict=True))
    return dict(zip(paths, digests, strict=True))


def _files_of(source: Path) -> Iterator[Path]:
    if source.is_dir():
        yield from (Path(one.path) for one in files_below(source))
    else:
        yield source


def _line(name: str, digest: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if escaped != name else ""
    return f"{mark}{digest}  {escaped}\n"
