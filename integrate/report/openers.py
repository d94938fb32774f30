"""The openers: functions by which libraries open files in C, past Python, wrapped so that a witness is told."""

from __future__ import annotations

import functools
import glob
import importlib.abc
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

__all__ = ["OPENERS", "after_import", "named_files", "watch_openers"]

#: Module to the names in it that are given the path of a file. The ways into a library end in them, as
#: `anndata.read_h5ad` and `h5py.File` both end in `h5py.h5f.open`.
OPENERS: Final[dict[str, tuple[str, ...]]] = {
    "cv2": ("imread", "imreadmulti"),
    "duckdb": (
        "DuckDBPyConnection.execute", "DuckDBPyConnection.from_parquet", "DuckDBPyConnection.query",
        "DuckDBPyConnection.read_csv", "DuckDBPyConnection.read_json", "DuckDBPyConnection.read_parquet",
        "DuckDBPyConnection.sql", "connect", "execute", "from_parquet", "query", "read_csv", "read_json",
        "read_parquet", "sql",
    ),
    "h5py.h5f": ("open",),
    "netCDF4": ("Dataset.__init__",),
    "onnxruntime": ("InferenceSession.__init__",),
    "openslide.lowlevel": ("open",),
    "polars": ("read_csv", "read_ipc", "read_parquet", "scan_csv", "scan_ipc", "scan_ndjson", "scan_parquet"),
    "pyarrow.csv": ("open_csv", "read_csv"),
    "pyarrow.dataset": ("dataset",),
    "pyarrow.feather": ("read_feather", "read_table"),
    "pyarrow.parquet": ("ParquetDataset.__init__", "ParquetFile.__init__", "read_pandas", "read_table"),
    "pylibCZIrw.czi": ("open_czi",),
    "pyogrio": ("read_arrow", "read_dataframe"),
    "pyreadstat": ("read_dta", "read_por", "read_sas7bcat", "read_sas7bdat", "read_sav", "read_xport"),
    "rasterio": ("open",),
    "SimpleITK": ("ImageFileReader.SetFileName", "ImageSeriesReader.SetFileNames", "ReadImage"),
    "tables": ("open_file",),
}  # fmt: skip

_PATH: Final = (str, bytes, os.PathLike)
_SEVERAL: Final = (list, tuple, set)
#: Longer text is data, not a path or a query.
MAX_TEXT: Final = 100_000
_QUOTED = re.compile(r"""['"]([^'"\n]+)['"]""")


def watch_openers(opened: Callable[[str], None]) -> None:
    """Tell `opened` the path of every file that one of `OPENERS` is given, from now on.

    Parameters
    ----------
    opened
        Called with an absolute path, before the file is opened; several times where it is opened several times.

    Notes
    -----
    A library that is not imported stays so: its functions are wrapped at the end of its import. It gets the same
    arguments and gives the same result as ever.
    """
    after_import(dict.fromkeys(OPENERS, functools.partial(_wrap, opened=opened)))


def after_import(changes: Mapping[str, Callable[[ModuleType], None]]) -> None:
    """Change modules of the given names now where they are imported, else at the end of their import."""
    sys.meta_path.insert(0, _AfterImport(changes))
    for name in changes.keys() & sys.modules.keys():
        changes[name](sys.modules[name])


class _AfterImport(importlib.abc.MetaPathFinder):
    """Finds nothing by itself: lets the other finders find, and changes a module as soon as it has been executed."""

    def __init__(self, changes: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self._changes = changes

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._changes:
            return None
        finders = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in finders)), None)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_wrap(module: ModuleType) -> None:
            execute(module)
            self._changes[fullname](module)

        spec.loader.exec_module = execute_and_wrap  # type: ignore[method-assign]
        return spec


def _wrap(module: ModuleType, opened: Callable[[str], None]) -> None:
    """Replace the openers of a module; one that this version of the library does not have is passed over."""
    for name in OPENERS[module.__name__]:
        owner, _, method = name.rpartition(".")
        holder: Any = getattr(module, owner, None) if owner else module
        function = getattr(holder, method, None)
        if holder is None or function is None:
            continue
        watched = _watched(function, opened)
        try:
            setattr(holder, method, watched)
        except TypeError:  # a class written in C takes no new method; a class derived from it does
            setattr(module, owner, type(owner, (holder,), {method: watched, "__module__": module.__name__}))
        else:
            watched.__module__, watched.__qualname__ = module.__name__, name  # so that it pickles by its name


def _watched(function: Any, opened: Callable[[str], None]) -> Any:
    @functools.wraps(function)
    def watched(*arguments: Any, **options: Any) -> Any:
        for path in named_files([*arguments, *options.values()]):
            opened(path)
        return function(*arguments, **options)

    return watched


def named_files(values: Iterable[Any]) -> Iterator[str]:
    """Yield the absolute path of each file that one of some arguments names.

    Parameters
    ----------
    values
        Of a call, in order. The first that is text may also name a folder, a pattern, or be SQL that quotes files; in
        those after it, such as a separator ``"/"``, only a file counts.

    Examples
    --------
    >>> _ = (tmp_path / "a.csv").write_text("x")
    >>> [Path(path).name for path in named_files([None, f"SELECT * FROM '{tmp_path}/*.csv'", tmp_path / "a.csv"])]
    ['a.csv', 'a.csv']
    """
    for number, value in enumerate(value for value in values if isinstance(value, (*_PATH, *_SEVERAL))):
        for one in value if isinstance(value, _SEVERAL) else [value]:
            if isinstance(one, _PATH):
                text = os.fsdecode(one)
                yield from _named(text) if number == 0 else filter(os.path.isfile, [os.path.abspath(text)])


def _named(text: str) -> Iterator[str]:
    if os.path.isfile(text):
        yield os.path.abspath(text)
    elif os.path.isdir(text):
        for folder, _, names in os.walk(os.path.abspath(text)):
            yield from (os.path.join(folder, name) for name in sorted(names))
    elif len(text) <= MAX_TEXT:
        for part in [text, *_QUOTED.findall(text)]:
            # A pattern without a dot, such as '*' or '%', is no pattern of files.
            found = sorted(glob.glob(part, recursive=True)) if glob.has_magic(part) and "." in part else [part]
            yield from (os.path.abspath(path) for path in found if os.path.isfile(path))
