"""The guard: what a stranger's catalog may ask for, checked before anything is imported or opened."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from integrate.catalog.document import OPENER_NAMES
from integrate.catalog.registry import PARAMETERS, known_readers, qualified_reader
from integrate.catalog.templates import PLAIN_KEYS, template_names
from integrate.errors import CatalogError, UnsafeCatalogError, closest, some
from integrate.model.pattern import SlowPatternError, compile_pattern

__all__ = [
    *("below", "check_links", "check_safe", "confine", "confine_arguments", "is_remote", "is_url_key", "local_file"),
    *("leads_out", "without_caching"),
]

#: Prefixes by which fsspec keeps copies; we keep our own, so they only come off.
CACHING: tuple[str, ...] = ("simplecache", "filecache", "blockcache")
PROTOCOLS: frozenset[str] = frozenset({"file", "s3", "gs", "gcs", "az", "abfs", "https", *CACHING})
#: What a catalog may say of how a store is reached.
STORAGE_FLAGS: tuple[str, ...] = ("anon", "requester_pays")
#: Arguments of readers that are text of other kinds than names of what a source holds.
NO_NAMES: frozenset[str] = frozenset({"pattern", "separator", "missing", "reader"})


def check_safe(document: Mapping[str, Any], *, where: str) -> None:
    """Check a complete catalog dictionary against every rule; nothing is imported, opened or expanded.

    Raises
    ------
    UnsafeCatalogError
        Listing every reason at once.
    """
    problems = list(_problems(document))
    if problems:
        raise UnsafeCatalogError(f"{where} is refused for {len(problems)} reasons:\n  " + "\n  ".join(problems))


def is_url_key(key: str) -> bool:
    """Return whether a keyword names a location.

    Examples
    --------
    >>> [key for key in ("url", "labels_url", "channels") if is_url_key(key)]
    ['url', 'labels_url']
    """
    return key in ("url", "mirrors", "manifest") or key.endswith("_url")


def without_caching(url: str) -> str:
    """Return a url without the prefixes by which fsspec would keep a copy.

    Examples
    --------
    >>> without_caching("simplecache::s3://bucket/a.csv")
    's3://bucket/a.csv'
    """
    for prefix in CACHING:
        url = url.removeprefix(f"{prefix}::")
    return url


def is_remote(url: str) -> bool:
    """Return whether a url names a protocol other than the local file system."""
    return "://" in url and not url.startswith("file://")


def local_file(url: str) -> Path:
    """Return a location on this machine as an absolute path, its links followed."""
    return Path(url.removeprefix("file://")).resolve()


def below(url: str, root: str) -> str | None:
    """Return the path of a location relative to a root, both local or both remote; ``None`` when it is not below it.

    Examples
    --------
    >>> below("s3://bucket/study/ct/1.dcm", "s3://bucket/study")
    'ct/1.dcm'
    >>> below("s3://bucket/study2/1.dcm", "s3://bucket/study") is None
    True
    """
    if is_remote(url) or is_remote(root):
        return url.removeprefix(f"{root}/") if url.startswith(f"{root}/") else None
    folder = Path(root).resolve()
    return Path(url).relative_to(folder).as_posix() if Path(url).is_relative_to(folder) else None


def confine(url: str, roots: Mapping[str, str], *, where: str) -> str:
    """Return a local url as an absolute path that really lies inside one of the roots; remote urls come back unchanged.

    Symbolic links are followed first, so a link out of a root is refused.

    Raises
    ------
    UnsafeCatalogError
        If the path leads out of every root, or a remote one has another protocol or leads upwards.
    """
    if is_remote(url):
        if without_caching(url).partition("://")[0] not in PROTOCOLS - {"file", *CACHING}:
            raise UnsafeCatalogError(f"{where}: the protocol of {url!r} is not allowed")
        if ".." in unquote(url).replace("\\", "/").split("/"):
            raise UnsafeCatalogError(f"{where}: '..' is not allowed in {url!r}")
        return url
    path = local_file(url)
    local = [root for root in roots.values() if not is_remote(root)]
    if not any(path.is_relative_to(Path(root).resolve()) for root in local):
        raise UnsafeCatalogError(
            f"{where}: {url!r} leads outside the catalog's folder and the data folders given ({some(local)})"
        )
    return str(path)


def confine_arguments(kwargs: Mapping[str, Any], roots: Mapping[str, str], *, where: str) -> dict[str, Any]:
    """Return the arguments of a reader with every local location made absolute; none of them leads out of the roots.

    What is no location may name something inside the source, such as a series or a folder of masks, but no way out.

    Raises
    ------
    UnsafeCatalogError
        If one leads out, or a location is no text.
    """
    confined: dict[str, Any] = {}
    for key, value in kwargs.items():
        texts = value if isinstance(value, list) else [value]
        if is_url_key(key):
            if not all(text is None or isinstance(text, str) for text in texts):
                raise UnsafeCatalogError(f"{where}.{key}: {value!r} is no location; write text, or a list of texts")
            found = [text if text is None else confine(text, roots, where=where) for text in texts]
            value = found if isinstance(value, list) else found[0]
        elif key == "verify" and isinstance(value, Mapping) and isinstance(value.get("manifest"), str):
            value = {**value, "manifest": confine(value["manifest"], roots, where=where)}
        elif key == "roots" and isinstance(value, Mapping):  # a nested catalog may read what this one may, no more
            value = {name: confine(str(root), roots, where=where) for name, root in value.items()}
        elif key not in NO_NAMES:
            for text in texts:
                if isinstance(text, str) and leads_out(text):
                    raise UnsafeCatalogError(f"{where}.{key}: {text!r} may not lead out of what is opened")
        confined[key] = value
    return confined


def leads_out(name: str) -> bool:
    """Return whether a name of something inside a folder leads out of it.

    Examples
    --------
    >>> [leads_out(name) for name in ("0/labels/cells", "a..b", "../other", "/srv/other")]
    [False, False, True, True]
    """
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or (parts[0] == "" and len(parts) > 1)


def check_links(folder: Path, roots: Mapping[str, str]) -> None:
    """Check that no symbolic link below a folder leads out of the roots; its readers would follow it.

    Raises
    ------
    UnsafeCatalogError
        If one does.
    """
    inside = [folder]
    for here in inside:
        with os.scandir(here) as listed:
            for one in listed:
                if one.is_symlink():
                    confine(one.path, roots, where=f"the link {one.name!r} in {folder.name!r}")
                elif one.is_dir():
                    inside.append(Path(one.path))


def _problems(document: Mapping[str, Any]) -> Iterator[str]:
    declared = {*OPENER_NAMES, *document["user_parameters"]}
    if document["data"]:
        yield "data: entries of this section can name any class; put the url into the entry's kwargs"
    yield from _parameter_problems("user_parameters", document["user_parameters"])
    yield from _rule_problems("metadata.study.identifiers", document["metadata"].get("study"))
    for name, entry in document["entries"].items():
        place = f"entries.{name}"
        yield from _reader_problems(f"{place}.reader", entry["reader"])
        yield from _parameter_problems(f"{place}.user_parameters", entry["user_parameters"])
        clash = set(entry["kwargs"]) & (declared | set(entry["user_parameters"]))
        if clash:
            yield f"{place}.kwargs: {some(clash)} is also a parameter; Intake would swallow it. Rename one"
        yield from _storage_problems(f"{place}.kwargs", entry["kwargs"])
        yield from _string_problems(f"{place}.kwargs", entry["kwargs"], declared | set(entry["user_parameters"]))
        yield from _metadata_problems(f"{place}.metadata", entry["metadata"])


def _reader_problems(place: str, reader: Any) -> Iterator[str]:
    if not isinstance(reader, str) or qualified_reader(reader) is None:
        yield f"{place}: {reader!r} is not a registered reader; {closest(reader, known_readers())}"


def _parameter_problems(place: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    for name, spec in parameters.items():
        if not isinstance(spec, Mapping) or spec.get("cls") not in PARAMETERS:
            found = spec.get("cls") if isinstance(spec, Mapping) else spec
            yield f"{place}.{name}: class {found!r} is not one of {some(PARAMETERS)}"
            continue
        env = spec.get("env")
        if env is not None and not str(env).startswith("INTEGRATE_"):
            yield f"{place}.{name}: environment variable {env!r} must begin with INTEGRATE_"
        yield from _pattern_problems(f"{place}.{name}.pattern", spec.get("pattern"))
        options = spec.get("options") or ()
        if not isinstance(options, (list, tuple)):
            yield f"{place}.{name}: options must be a list"
        elif any("(" in str(value) for value in (spec.get("default"), *options)):
            yield f"{place}.{name}: a default or option may not contain a call"


def _rule_problems(place: str, study: Any) -> Iterator[str]:
    rules = study.get("identifiers") if isinstance(study, Mapping) else None
    for name, rule in rules.items() if isinstance(rules, Mapping) else ():
        if isinstance(rule, Mapping):
            yield from _pattern_problems(f"{place}.{name}.pattern", rule.get("pattern"))


def _pattern_problems(place: str, pattern: Any) -> Iterator[str]:
    """A stranger's regular expression may not be one that some text makes run for ages."""
    if pattern is None:
        return
    try:
        compile_pattern(str(pattern))
    except SlowPatternError as error:
        yield f"{place}: {error}"
    except re.error as error:
        yield f"{place}: {pattern!r} is not a regular expression: {error}"


def _storage_problems(place: str, kwargs: Mapping[str, Any]) -> Iterator[str]:
    """A stranger may not send your credentials to a server of theirs, nor keep their own in a catalog."""
    for holder in (kwargs, kwargs.get("item")):
        options = holder.get("storage_options") if isinstance(holder, Mapping) else None
        if isinstance(options, Mapping):
            others = [
                name for name, value in options.items() if name not in STORAGE_FLAGS or not isinstance(value, bool)
            ]
            if others:
                yield (
                    f"{place}.storage_options: {some(others)} may not stand in a catalog, only {some(STORAGE_FLAGS)}; "
                    "credentials and endpoints come from the environment or fsspec's configuration"
                )


def _string_problems(place: str, value: Any, declared: set[str], key: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        if is_url_key(key):
            yield f"{place}: a location is text, or a list of texts"
        for name, item in value.items():
            if name == "cls":
                yield f"{place}: `cls` may not appear here"
            if name == "reader":
                yield from _reader_problems(f"{place}.reader", item)
            if name == "pattern":
                yield from _pattern_problems(f"{place}.pattern", item)
            if name not in PLAIN_KEYS:
                yield from _string_problems(f"{place}.{name}", item, declared, str(name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _string_problems(f"{place}[{index}]", item, declared, key)
    elif isinstance(value, str):
        yield from _text_problems(place, value, declared, key)


def _text_problems(place: str, text: str, declared: set[str], key: str) -> Iterator[str]:
    try:
        names = template_names(text, where=place)
    except CatalogError as error:
        yield str(error)
        return
    unknown = [name for name in names if name not in declared]
    if unknown:
        yield f"{place}: {{{unknown[0]}}} is not a declared parameter; {closest(unknown[0], declared)}"
    if "STORAGE_OPTIONS" in names and text != "{STORAGE_OPTIONS}":
        yield f"{place}: STORAGE_OPTIONS may hold credentials and stands only alone"
    if is_url_key(key):
        yield from _url_problems(place, text)


def _url_problems(place: str, url: str) -> Iterator[str]:
    links = url.split("::")
    for link in links:
        protocol = link.partition("://")[0] if "://" in link else (link if link != links[-1] else "file")
        if protocol not in PROTOCOLS:
            yield f"{place}: protocol {protocol!r} is not allowed; use one of {some(sorted(PROTOCOLS), limit=20)}"
    tail = links[-1]
    if ".." in posixpath.normpath(tail).split("/") or ".." in tail.split("/"):
        yield f"{place}: '..' is not allowed in {url!r}"
    if "://" not in tail and not tail.startswith(("{", "<")):
        yield f"{place}: {url!r} must begin with {{CATALOG_DIR}}/ or a data root"


def _metadata_problems(place: str, value: Any) -> Iterator[str]:
    """Intake evaluates a metadata string that begins like ``data(...)``; ours are plain text."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _metadata_problems(f"{place}.{name}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _metadata_problems(f"{place}[{index}]", item)
    elif isinstance(value, str) and value.lstrip("{ ").startswith("data("):
        yield f"{place}: text may not begin with `data(`; Intake would evaluate it"
