"""The reader every other one builds on: strict arguments, checked source, noted origin."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from intake.readers.readers import BaseReader

from integrate.catalog.identity import Source, identify
from integrate.catalog.lock import open_manifest
from integrate.catalog.safety import below, check_links, is_remote, local_file
from integrate.catalog.storage import Cache, fetch, told_location
from integrate.errors import CatalogError, DataError, ParameterError, SourceNotFoundError, closest, some, warn
from integrate.keys import ATTRS
from integrate.model.provenance import record_load
from integrate.readers.options import option_names, typed_options

__all__ = ["Reader"]

#: Arguments every reader takes beside its own.
COMMON: tuple[str, ...] = ("url", "mirrors", "storage_options", "ids", "verify")


class Reader(BaseReader):  # type: ignore[misc]
    """A reader of one kind of file, usable from our catalogs and from plain Intake.

    A subclass says what it returns (`output_instance`) and implements `_open`, whose keyword arguments are the options
    a catalog may give. Everything else is refused here: Intake would pass a mistyped option on, turn an unknown
    attribute into a pipeline, and lose metadata on a call.

    Parameters
    ----------
    url
        Location of the file or folder.
    mirrors
        Other locations of the same bytes, tried in turn when the first cannot serve; the origin says which one did.
    storage_options
        For fsspec; only for remote locations. Credentials come from the environment or fsspec's configuration.
    ids
        Namespace to source id, e.g. ``{"dicom_patient": "0007"}``; noted on what is read.
    verify
        ``{"hash": "sha256:…", "bytes": n}`` that the source must have, or ``{"manifest": location}`` of a file in the
        format of ``sha256sum`` that lies beside or above the source and names it. The size is compared when it is
        opened, and the hash too if the source is small or has been hashed since it last changed; else the hash is
        compared as soon as a result is made from what was opened, so that opening stays fast.
    metadata
        What the catalog says of the dataset; files are checked against it.
    options
        The subclass's own.

    Raises
    ------
    ParameterError
        If an option is unknown, or of another type than the reader takes.
    CatalogError
        If the location still holds a template or an environment variable that is not set.
    """

    output_instance: ClassVar[str] = "builtins:object"
    is_folder: ClassVar[bool] = False
    #: Where copies of remote sources are kept; ``None`` is the default place.
    cache: Cache | None = None
    #: Folders that a catalog may read from; ``None`` when no catalog made the reader.
    roots: Mapping[str, str] | None = None
    _served: str = ""

    def __init__(
        self,
        *,
        url: str | os.PathLike[str],
        mirrors: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
        ids: Mapping[str, str] | None = None,
        verify: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        output_instance: str | None = None,
        **options: Any,
    ) -> None:
        known = self.option_names()
        url = os.fspath(url)
        unknown = [name for name in options if name not in known]
        if unknown:
            raise ParameterError(
                f"{type(self).__name__} has no option {unknown[0]!r}; {closest(unknown[0], [*known, *COMMON])}"
            )
        for location in (url, *(mirrors or ())):
            if "{" in location or "None/" in location or location == "None":
                raise CatalogError(
                    f"location {location!r} holds a template without value; give the parameter or data root"
                )
        typed_options(type(self)._open, options, reader=type(self).__name__)
        given = {"mirrors": mirrors, "storage_options": storage_options, "ids": ids, "verify": verify}
        kwargs = {"url": url, **{name: value for name, value in given.items() if value}, **options}
        super().__init__(metadata=dict(metadata or {}), output_instance=output_instance, **kwargs)

    @abstractmethod
    def _open(self, path: Path) -> Any:
        """Return the object; a subclass adds its options as keyword arguments."""

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """Names of the options of this reader."""
        return option_names(cls._open)

    def own_options(self) -> dict[str, Any]:
        """Return the options given, in the types that `_open` takes."""
        own = {name: value for name, value in self.kwargs.items() if name in self.option_names()}
        return typed_options(type(self)._open, own, reader=type(self).__name__)

    @property
    def ids(self) -> dict[str, str]:
        """Namespace to source id, as the catalog gives them."""
        return dict(self.kwargs.get("ids") or {})

    def read(self, **options: Any) -> Any:
        """Return the object, checked against the catalog, with its origin noted and recorded.

        Raises
        ------
        ParameterError
            If an option is unknown.
        SourceNotFoundError
            If nothing is at the location.
        DataError
            If the content is not what the catalog or the format promises.
        """
        if options:
            return self(**options).read()
        path, origin, hash_source = self._fetched()
        try:
            opened = self._open(path, **self.own_options())
        except DataError as error:
            if entry := self.metadata.get("entry"):
                error.add_note(f"while loading {entry!r} of catalog {self.metadata.get('catalog')!r}")
            raise
        self._check_pixel_size(opened)
        if "c" in getattr(opened, "coords", ()):
            self._check_channels([str(name) for name in opened.coords["c"].values])
        record_load(origin, path=path, hash_source=hash_source)
        return self._noted(opened, origin)

    def discover(self, **options: Any) -> Any:
        """Return the same as `read`: every reader here is lazy."""
        return self.read(**options)

    def fetch(self) -> Path:
        """Return the local path of the source, recorded as loaded, without opening it; it is checked as `read` does.

        Raises
        ------
        SourceNotFoundError
            If nothing is at the location.
        DataError
            If the bytes are not what the catalog promises.
        """
        path, origin, hash_source = self._fetched()
        record_load(origin, path=path, hash_source=hash_source)
        return path

    def check_bytes(self) -> None:
        """Read the source once and compare its bytes with what the catalog promises.

        Raises
        ------
        SourceNotFoundError
            If nothing is at the location.
        DataError
            If the bytes are not what the catalog promises.
        """
        source = identify(self.local_path())
        self._check_size(source)
        self._check_hash(source, source.fresh_hash())

    def local_path(self) -> Path:
        """Return the local path of the source; a remote one is fetched and kept.

        The first location that has the bytes the catalog promises serves; a warning tells of those that did not.

        Raises
        ------
        SourceNotFoundError
            If nothing is there.
        DataError
            If no location can serve.
        """
        locations = [str(self.kwargs["url"]), *map(str, self.kwargs.get("mirrors") or ())]
        failed: list[DataError] = []
        for location in locations:
            try:
                path = self._local_copy(location)
                if len(locations) > 1:  # which of them is right must be known now
                    self._check_size(source := identify(path))
                    if self.promised_hash is not None:
                        self._check_hash(source, source.true_hash())
            except DataError as error:
                failed.append(error)
                continue
            self._served = location
            for fault in failed:
                warn(f"{told_location(location)} serves instead of another location: {fault}")
            return path
        if len(failed) == 1:
            raise failed[0]
        raise type(failed[-1])("no location serves:\n  " + "\n  ".join(map(str, failed))) from failed[-1]

    def _local_copy(self, location: str) -> Path:
        url = location.removeprefix("file://")
        if "://" in url:
            return fetch(
                url,
                is_folder=self.is_folder,
                cache=self.cache,
                expected=self.promised_hash,
                storage_options=self.kwargs.get("storage_options"),
            )
        path = Path(url)
        if not path.exists():
            beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            hint = closest(path.name, beside) if beside else f"the folder {path.parent.name!r} is not there either"
            raise SourceNotFoundError(f"no {'folder' if self.is_folder else 'file'} at {str(path)!r}; {hint}")
        if self.is_folder != path.is_dir():
            found, expected = ("folder", "file") if path.is_dir() else ("file", "folder")
            raise DataError(f"{path.name!r} is a {found}; {type(self).__name__} expects a {expected}")
        if self.is_folder and self.roots is not None:
            check_links(path, self.roots)
        return path

    def __call__(self, **options: Any) -> Reader:
        """Return the same reader with other options."""
        return type(self)(**{**self.kwargs, **options}, metadata=self.metadata, output_instance=self.output_instance)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return sorted(object.__dir__(self))

    def _fetched(self) -> tuple[Path, dict[str, Any], Callable[[], str | None] | None]:
        """Return where the source lies, what to note of its origin, and what hashes it unless that is done."""
        path = self.local_path()
        source = identify(path)
        self._check_size(source)
        digest = source.known_hash()
        if digest is not None:
            self._check_hash(source, digest)
        origin = {
            "catalog": self.metadata.get("catalog", ""),
            "entry": self.metadata.get("entry", ""),
            "parameters": self.metadata.get("parameters", {}),
            "reader": type(self).__name__,
            "location": path.name,
            **({"served": told_location(self._served)} if "://" in self._served or "mirrors" in self.kwargs else {}),
            "sha256": digest,
            "bytes": source.bytes,
        }
        return path, origin, partial(self._hashed, source) if digest is None else None

    def _hashed(self, source: Source) -> str | None:
        """Return the sha256 of what was opened, compared with the catalog; ``None`` when it is no longer there."""
        if not source.path.exists():
            warn(f"{source.path.name} is gone since it was opened; the record cannot name its sha256")
            return None
        digest = source.true_hash()
        self._check_hash(source, digest)
        return digest

    @property
    def promised_hash(self) -> str | None:
        """The sha256 that the catalog promises, itself or by a manifest; ``None`` when it does not.

        Raises
        ------
        SourceNotFoundError
            If there is no such manifest.
        CatalogError
            If the manifest does not name the source.
        """
        verify = self.kwargs.get("verify") or {}
        promised = verify.get("hash")  # missing where an asset table's cell is empty
        if promised is None and verify.get("manifest"):
            return self._listed_hash(str(verify["manifest"]))
        return None if promised is None else str(promised).removeprefix("sha256:")

    def _listed_hash(self, manifest: str) -> str:
        """Return the sha256 of the source in a manifest, whose paths begin at the folder it lies in."""
        path = fetch(manifest, is_folder=False, cache=self.cache) if is_remote(manifest) else local_file(manifest)
        listed = open_manifest(path)
        if listed is None:
            raise SourceNotFoundError(f"no manifest at {told_location(manifest)!r}")
        url = str(self.kwargs["url"])
        own, folder = (one if is_remote(one) else str(local_file(one)) for one in (url, manifest.rpartition("/")[0]))
        relative = below(own, folder)
        expected = None if relative is None else listed.expected(relative)
        if expected is None:
            raise CatalogError(f"{path.name} does not name {told_location(url)}; its paths begin at its own folder")
        return expected

    def _check_size(self, source: Source) -> None:
        promised = (self.kwargs.get("verify") or {}).get("bytes")
        if promised is not None and str(source.bytes) != str(promised):
            raise DataError(
                f"{source.path.name} has {source.bytes} bytes, the catalog says {promised}; one of them changed"
            )

    def _check_hash(self, source: Source, digest: str) -> None:
        promised = self.promised_hash
        if promised is not None and digest != promised:
            raise DataError(f"sha256 of {source.path.name} is {digest[:12]}…, the catalog says {promised[:12]}…")

    def _noted(self, opened: Any, origin: dict[str, Any]) -> Any:
        """Note ids and origin on the object; the origin is shared with the record, which fills in a late hash."""
        place = getattr(opened, "uns" if hasattr(opened, "uns") else "attrs", None)
        if place is not None:
            notes = dict(place.get(ATTRS) or {})
            ids = {**notes.get("ids", {}), **self.ids}
            place[ATTRS] = {**notes, "ids": ids, "origin": origin}
        return opened

    def _check_pixel_size(self, opened: Any) -> None:
        """Check the pixel size an image states against the one that the catalog declares."""
        declared = self.metadata.get("pixel_size_um")
        found = getattr(opened, "attrs", {}).get(ATTRS, {}).get("pixel_size_um")
        if declared is None or found is None:
            return
        expected = [float(edge) for edge in (declared if isinstance(declared, (list, tuple)) else [declared] * 2)]
        if len(expected) != 2 or any(abs(a - b) > 1e-3 * b for a, b in zip(found, expected, strict=True)):
            raise DataError(f"the file states pixels of {found} µm (y, x), the catalog says {declared}; correct one")

    def _check_channels(self, names: list[str]) -> None:
        """Check channel names found in a file against those the catalog declares."""
        declared = [str(channel["name"]) for channel in self.metadata.get("channels") or []]
        missing = [name for name in declared if name not in names]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(declared)} channels the catalog names are not in the file: {some(missing)}; "
                f"found {some(names, limit=50)}"
            )
