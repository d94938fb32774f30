"""`ReaderTests`: what every reader of files must do, as tests a reader's own test class inherits."""
# ruff: noqa: S101 - this module is tests; pytest explains an assert best

from __future__ import annotations

import os
import pickle
import re
import shutil
import warnings
from pathlib import Path
from typing import Any, ClassVar

import pytest

from integrate.errors import DataError, ParameterError, SourceNotFoundError
from integrate.keys import ATTRS
from integrate.readers.base import Reader

__all__ = ["ReaderTests"]

#: The beginning of a PNG: a real format that no reader of ours opens, and not text.
FOREIGN = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 8


class ReaderTests:
    """The contract of a reader; inherit, and say how to make a small real file and what is true of it.

    A subclass implements `reader` and `check`, and where the defaults do not fit `victim`, `load`, `lazy` and `cut`.
    A reader of another package is held to the same contract by the same three lines.
    """

    #: Whether pixels are decoded only when asked for.
    lazy: ClassVar[bool] = False
    #: Share of the damaged file that is left when it is cut off.
    cut: ClassVar[float] = 0.6

    def reader(self, folder: Path) -> Reader:
        """Write a small real source into an empty folder and return its reader."""
        raise NotImplementedError

    def check(self, opened: Any) -> None:
        """Assert what is known of the small source: names, axes, units and values."""
        raise NotImplementedError

    def victim(self, source: Path) -> Path:
        """Return the file that the tests damage: the source, or the largest file of a folder."""
        if source.is_file():
            return source
        return max((file for file in source.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)

    def load(self, opened: Any) -> Any:
        """Bring everything lazy into memory."""
        return opened.compute() if hasattr(opened, "compute") else opened

    def test_opens_what_it_declares(self, tmp_path: Path) -> None:
        """The object is of the declared type and holds what was written."""
        reader = self.reader(tmp_path)
        opened = reader.read()
        module, _, name = reader.output_instance.partition(":")
        kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(opened).__mro__}
        assert (module.partition(".")[0], name) in kinds
        self.check(opened)

    def test_notes_ids_and_origin(self, tmp_path: Path) -> None:
        """Ids of the catalog and the origin of the bytes are on the object, as plain values."""
        reader = self.reader(tmp_path)
        ids = {**reader.ids, "some_namespace": "0007"}
        opened = reader(ids=ids).read()
        notes = (opened.uns if hasattr(opened, "uns") else opened.attrs)[ATTRS]
        assert notes["ids"] == ids
        assert notes["origin"]["reader"] == type(reader).__name__
        assert notes["origin"]["sha256"]
        assert _is_plain(notes), notes

    def test_axes_have_units(self, tmp_path: Path) -> None:
        """Every spatial axis of an array says its unit; what has no axes says it in its notes, or has none."""
        opened = self.reader(tmp_path).read()
        for axis in ("z", "y", "x"):
            if axis in getattr(opened, "dims", ()):
                assert opened.coords[axis].attrs["units"] in ("mm", "um", "px")

    def test_opening_computes_nothing(self, tmp_path: Path) -> None:
        """A lazy reader decodes no pixel until asked."""
        import dask

        if not self.lazy:
            pytest.skip("this reader reads into memory")
        reader = self.reader(tmp_path)
        with dask.config.set(scheduler=_refuse):
            opened = reader.read()
            with pytest.raises(AssertionError, match="pixels were computed"):
                self.load(opened)

    def test_leaves_no_file_open(self, tmp_path: Path) -> None:
        """Neither opening nor loading holds a file open."""
        descriptors = Path("/proc/self/fd")
        if not descriptors.is_dir():
            pytest.skip("open files cannot be listed on this system")
        opened = self.reader(tmp_path).read()
        assert _open_below(tmp_path, descriptors) == []
        self.load(opened)
        assert _open_below(tmp_path, descriptors) == []

    def test_reader_and_result_pickle(self, tmp_path: Path) -> None:
        """Both travel to another process."""
        reader = self.reader(tmp_path)
        self.check(pickle.loads(pickle.dumps(reader)).read())
        opened = reader.read()
        self.check(pickle.loads(pickle.dumps(opened)))

    def test_user_sees_no_foreign_warning(self, tmp_path: Path) -> None:
        """What libraries warn of is dealt with here."""
        reader = self.reader(tmp_path)
        self.load(reader.read())  # the first time, libraries warn of each other while they are imported
        with warnings.catch_warnings():
            for category in (UserWarning, RuntimeWarning, FutureWarning, ResourceWarning):
                warnings.simplefilter("error", category)
            self.load(reader.read())

    def test_missing_source_is_one_clear_error(self, tmp_path: Path) -> None:
        """A location where nothing is."""
        reader = self.reader(tmp_path)
        source = Path(reader.kwargs["url"])
        source.rename(source.with_name("elsewhere"))
        with pytest.raises(SourceNotFoundError, match=r"no (file|folder) at"):
            reader.read()

    def test_empty_source_is_one_clear_error(self, tmp_path: Path) -> None:
        """A file of no bytes, and for folders a folder of no files."""
        reader = self.reader(tmp_path)
        source = Path(reader.kwargs["url"])
        victim = self.victim(source)
        victim.write_bytes(b"")
        self._expect_refusal(reader, victim)
        if source.is_dir():
            shutil.rmtree(source)
            source.mkdir()
            with pytest.raises(DataError, match=source.name):
                reader.read()

    def test_truncated_source_is_one_clear_error(self, tmp_path: Path) -> None:
        """A file that was not copied to its end."""
        reader = self.reader(tmp_path)
        victim = self.victim(Path(reader.kwargs["url"]))
        content = victim.read_bytes()
        victim.write_bytes(content[: int(len(content) * self.cut)])
        self._expect_refusal(reader, victim)

    def test_foreign_source_is_one_clear_error(self, tmp_path: Path) -> None:
        """A file of another format under this one's name."""
        reader = self.reader(tmp_path)
        victim = self.victim(Path(reader.kwargs["url"]))
        victim.write_bytes(FOREIGN)
        self._expect_refusal(reader, victim)

    def test_unknown_option_is_refused_with_the_closest(self, tmp_path: Path) -> None:
        """A misspelt option must not be ignored."""
        reader = self.reader(tmp_path)
        option = next(iter(reader.option_names()), "verify")
        with pytest.raises(ParameterError, match=f"no option '{option}_'; closest: '{option}'"):
            reader(**{f"{option}_": 1})
        with pytest.raises(ParameterError, match="has no option"):
            reader.read(**{f"{option}_": 1})

    def test_metadata_survives_a_call_and_a_pickle(self, tmp_path: Path) -> None:
        """What the catalog says of a dataset stays with its reader."""
        made = self.reader(tmp_path)
        reader = type(made)(**made.kwargs, metadata={**made.metadata, "licence": "CC0-1.0"})
        assert reader(ids={"some_namespace": "1"}).metadata["licence"] == "CC0-1.0"
        assert pickle.loads(pickle.dumps(reader)).metadata["licence"] == "CC0-1.0"

    def test_reads_through_plain_intake(self, tmp_path: Path) -> None:
        """A catalog of ours is a catalog of Intake's."""
        import intake
        import yaml

        (tmp_path / "source").mkdir()
        reader = self.reader(tmp_path / "source")
        kind = type(reader)
        entry = {
            "reader": f"{kind.__module__}:{kind.__qualname__}",
            "kwargs": reader.kwargs,
            "metadata": dict(reader.metadata),
            "output_instance": kind.output_instance,
            "user_parameters": {},
        }
        catalog = {"version": 2, "entries": {"item": entry}, "aliases": {"item": "item"}, "metadata": {}}
        catalog |= {"user_parameters": {}, "data": {}}
        (tmp_path / "catalog.yaml").write_text(yaml.safe_dump(catalog), encoding="utf-8")
        self.check(intake.open_catalog(str(tmp_path / "catalog.yaml"))["item"].read())

    def _expect_refusal(self, reader: Reader, victim: Path) -> None:
        """Opening, or at the latest loading, names the fault and the file."""
        named = {victim.name, victim.stem, victim.parent.name, Path(reader.kwargs["url"]).name}
        with pytest.raises(DataError, match="|".join(re.escape(name) for name in named)):
            self.load(reader.read())


def _refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("pixels were computed")


def _open_below(folder: Path, descriptors: Path) -> list[str]:
    found = []
    for descriptor in descriptors.iterdir():
        try:
            target = os.readlink(descriptor)
        except OSError:  # closed while we looked
            continue
        if target.startswith(str(folder)):
            found.append(target)
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (str, int, float, bool))
