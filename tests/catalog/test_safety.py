"""A stranger's catalog is refused with a reason, and nothing it names is run or opened."""

from __future__ import annotations

import contextlib
import json
import pickle
import sys
import threading
import tracemalloc
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrate.catalog.document import parse_document
from integrate.catalog.open import open_catalog
from integrate.catalog.safety import check_safe
from integrate.errors import CatalogError, DataError, IntegrateError, ParameterError, UnsafeCatalogError

Writer = Callable[[str], Path]

ENTRY = """version: 2
user_parameters: {params}
entries:
  x: {{reader: {reader}, kwargs: {kwargs}, metadata: {metadata}}}
"""


def catalog_text(
    *,
    reader: str = "Table",
    kwargs: str = '{url: "{CATALOG_DIR}/clinical.csv"}',
    params: str = "{}",
    metadata: str = "{}",
) -> str:
    return ENTRY.format(reader=reader, kwargs=kwargs, params=params, metadata=metadata)


ATTACKS = {
    "a parameter class that imports a module": catalog_text(params="{p: {cls: 'evil_local:X', default: 1}}"),
    "a reader that is any callable": catalog_text(reader="'os:system'"),
    "a callable reached through our own module": catalog_text(reader="'integrate.readers.base:hash_file'"),
    "a prefix of our package": catalog_text(reader="'integrate.evil:X'"),
    "Intake's generic function": catalog_text(reader="'intake.readers.convert:GenericFunc'"),
    "Intake's source-code reader": catalog_text(reader="'intake.readers.readers:PythonModule'"),
    "Intake's pickle reader": catalog_text(reader="'intake.readers.readers:SKLearnModelReader'"),
    "a function template": catalog_text(kwargs="{url: '{func(os:system)}'}"),
    "an import template": catalog_text(kwargs="{url: '{import(os:system)}'}"),
    "a pickle template": catalog_text(kwargs="{url: '{CATALOG_DIR}/a', separator: '{pickle64(Y29z)}'}"),
    "a secret of the environment": catalog_text(kwargs="{url: 'https://h/{env(AWS_SECRET_ACCESS_KEY)}'}"),
    "an attribute walk": catalog_text(kwargs="{url: '{CATALOG_DIR.__class__.__mro__}'}"),
    "an attribute walk with a space": catalog_text(kwargs="{url: '{ CATALOG_DIR.__class__}'}"),
    "an item walk": catalog_text(kwargs="{url: '{CATALOG_DIR[0]}'}"),
    "a conversion": catalog_text(kwargs="{url: '{CATALOG_DIR!r}/a'}"),
    "a format specification": catalog_text(kwargs="{url: '{CATALOG_DIR:>99999999}'}"),
    "an undeclared name": catalog_text(kwargs="{url: '{CATALOG_DIR}/{subject}'}"),
    "an absolute path": catalog_text(kwargs="{url: '/etc/passwd'}"),
    "a way up": catalog_text(kwargs="{url: '{CATALOG_DIR}/../secret.csv'}"),
    "a chained protocol": catalog_text(kwargs="{url: 'simplecache::reference://x'}"),
    "a protocol that runs commands": catalog_text(kwargs="{url: 'ssh://host/x'}"),
    "plain http": catalog_text(kwargs="{url: 'http://host/x'}"),
    "credentials inside a string": catalog_text(kwargs="{url: 'https://h/{STORAGE_OPTIONS}'}"),
    "a nested reader that is any callable": catalog_text(
        reader="AssetTable", kwargs="{url: '{CATALOG_DIR}/assets.csv', item: {reader: 'os:system', url: '<path>'}}"
    ),
    "a class key inside arguments": catalog_text(kwargs="{url: '{CATALOG_DIR}/a', o: {cls: 'os:system'}}"),
    "metadata that Intake would evaluate": catalog_text(metadata="{description: 'data(x)'}"),
    "a data section": catalog_text() + "data: {d: {datatype: 'os:system', kwargs: {}}}\n",
    "an argument that is also a parameter": catalog_text(
        params="{url: {cls: 'integrate.catalog.parameters:Pattern', pattern: x}}"
    ),
    "a secret as a data root": catalog_text(
        params="{r: {cls: 'integrate.catalog.parameters:DataRoot', env: AWS_SECRET_ACCESS_KEY}}"
    ),
    "a call as a default": catalog_text(
        params="{r: {cls: 'integrate.catalog.parameters:Pattern', pattern: x, default: 'func(os:system)'}}"
    ),
    "a parameter pattern that hangs": catalog_text(
        params="{p: {cls: 'integrate.catalog.parameters:Pattern', pattern: '(a+)+b'}}"
    ),
    "an id rule that hangs": catalog_text()
    + "metadata: {study: {identifiers: {n: {pattern: '(\\w+\\s?)*x', ids: {subject_id: x}}}}}\n",
    "a file-name pattern that hangs": catalog_text(
        reader="TimeLapse", kwargs="{url: '{CATALOG_DIR}/film', pattern: '(?P<t>(\\d+)*)x'}"
    ),
    "an entry's class that imports a module": catalog_text().replace(
        "reader: Table", "cls: 'evil_local:X', reader: Table"
    ),
    "Intake's reader of pickled arrays": catalog_text(
        reader="'intake.readers.readers:NumpyReader'", kwargs="{url: '{CATALOG_DIR}/a.npy', allow_pickle: true}"
    ),
    "Intake's pipeline that evaluates": catalog_text(
        reader="'intake.readers.convert:Pipeline'",
        kwargs="{url: '{CATALOG_DIR}/a', steps: [['{func(intake.readers.transform:Method)}', [], {m: eval}]]}",
    ),
    "a location as the key of a mapping": catalog_text(kwargs="{url: '{CATALOG_DIR}/a', mirrors: {/etc/passwd: x}}"),
    "a location in a set": catalog_text(kwargs="{url: '{CATALOG_DIR}/a', mirrors: !!set {/etc/passwd: null}}"),
    "a location in a list of pairs": catalog_text(kwargs="{url: '{CATALOG_DIR}/a', mirrors: !!pairs [/etc/passwd: x]}"),
    "a location as bytes": catalog_text(kwargs="{url: !!binary L2V0Yy9wYXNzd2Q=}"),
    "a location of a row as the key of a mapping": catalog_text(
        reader="AssetTable",
        kwargs="{url: '{CATALOG_DIR}/assets.csv', item: {reader: Table, url: '<path>', mirrors: {/etc/passwd: x}}}",
    ),
    "an Intake 1 template that walks to a module": "sources: {x: {driver: csv, args: {urlpath: "
    "\"{{ cycler.__init__.__globals__.os.popen('touch PWNED').read() }}\"}}}\n",
    "an Intake 1 driver of any class": "sources: {x: {driver: evil_local.X, args: {}}}\n",
    "an Intake 1 template": "sources: {x: {driver: csv, args: {urlpath: '{{ shell(\"touch PWNED\") }}'}}}\n",
    "an Intake 1 plugin": "plugins: {source: [{module: evil_local}]}\nsources: {}\n",
    "an alias bomb": "a: &a [x]\n"
    + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 200)}]\n" for i in range(8)),
    "a small alias bomb": "a: &a [x]\n"
    + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(7)),
    "an alias of itself": "version: 2\nentries: &e {x: *e}\n",
    "deep nesting": "version: 2\nentries: " + "[" * 500 + "]" * 500,
    "a huge file": "version: 2\nentries: {}\n" + "#" * 6_000_000,
    "an object tag": "version: 2\nentries: !!python/object/apply:os.system ['touch PWNED']\n",
    "a key twice": "version: 2\nentries: {}\nentries: {x: 1}\n",
}

#: What the refusal must say, so that an attack is not refused for another, accidental reason.
REASONS = {
    "a reader that is any callable": "not a registered reader",
    "a callable reached through our own module": "not a registered reader",
    "a prefix of our package": "not a registered reader",
    "Intake's generic function": "not a registered reader",
    "Intake's source-code reader": "not a registered reader",
    "Intake's pickle reader": "not a registered reader",
    "a nested reader that is any callable": "not a registered reader",
    "a function template": "calls a function",
    "an import template": "calls a function",
    "a pickle template": "calls a function",
    "a secret of the environment": "calls a function",
    "an attribute walk": "not a plain parameter name",
    "an attribute walk with a space": "not a plain parameter name",
    "an item walk": "not a plain parameter name",
    "a conversion": "not a plain parameter name",
    "a format specification": "not a plain parameter name",
    "a parameter class that imports a module": "is not one of",
    "an undeclared name": "not a declared parameter",
    "an absolute path": "must begin with",
    "a secret as a data root": "must begin with",
    "a way up": "is not allowed",
    "a chained protocol": "is not allowed",
    "a protocol that runs commands": "is not allowed",
    "plain http": "is not allowed",
    "credentials inside a string": "may hold credentials",
    "a class key inside arguments": "may not appear here",
    "metadata that Intake would evaluate": "Intake would",
    "an argument that is also a parameter": "Intake would",
    "a data section": "can name any class",
    "a parameter pattern that hangs": "slow without end",
    "an id rule that hangs": "slow without end",
    "a file-name pattern that hangs": "repeats something",
    "a call as a default": "may not contain a call",
    "an entry's class that imports a module": "unknown field 'cls'",
    "Intake's reader of pickled arrays": "not a registered reader",
    "Intake's pipeline that evaluates": "not a registered reader",
    "a location as the key of a mapping": "expected a list, found a mapping",
    "a location in a set": "not a YAML file",
    "a location in a list of pairs": "not a YAML file",
    "a location as bytes": "not a YAML file",
    "a location of a row as the key of a mapping": "expected a list, found a mapping",
    "an Intake 1 template that walks to a module": "Intake 1 catalog",
    "an Intake 1 driver of any class": "Intake 1 catalog",
    "an Intake 1 template": "Intake 1 catalog",
    "an Intake 1 plugin": "Intake 1 catalog",
    "an alias bomb": "aliases",
    "a small alias bomb": "aliases",
    "an alias of itself": "refers to itself",
    "deep nesting": "aliases",
    "a huge file": "larger than",
    "an object tag": "not a YAML file",
    "a key twice": "not a YAML file",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_refused_and_nothing_runs(
    attack: str, write_catalog: Writer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "evil_local.py").write_text(f"open({str(folder / 'PWNED')!r}, 'w')")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    before = set(sys.modules)
    with pytest.raises(CatalogError, match=REASONS[attack]):
        open_catalog(write_catalog(ATTACKS[attack]))
    assert not (folder / "PWNED").exists()
    assert not {name for name in set(sys.modules) - before if name.startswith(("evil", "intake"))}


def test_every_reason_is_told_at_once(write_catalog: Writer) -> None:
    text = catalog_text(reader="'os:system'", kwargs="{url: '/etc/passwd'}")
    with pytest.raises(UnsafeCatalogError, match=r"(?s)2 reasons.*os:system.*must begin with"):
        open_catalog(write_catalog(text))


def test_link_out_of_the_folder_is_refused(
    write_catalog: Writer, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.csv"
    secret.write_text("a\n1\n")
    (folder / "clinical.csv").unlink()
    (folder / "clinical.csv").symlink_to(secret)
    with pytest.raises(UnsafeCatalogError, match="leads outside the catalog's folder"):
        open_catalog(write_catalog(catalog_text())).load("x")


def test_row_of_an_asset_table_cannot_lead_out(write_catalog: Writer, folder: Path, text: str) -> None:
    (folder / "assets.csv").write_text("acquisition_id,modality,path,source,day\n01,IF,../../etc,x,\n02,IF,/etc,x,\n")
    catalog = open_catalog(write_catalog(text))
    for item in ("01", "02"):
        with pytest.raises(UnsafeCatalogError, match="leads outside"):
            catalog.load("files", acquisition_id=item)


def test_pattern_keeps_a_parameter_inside(write_catalog: Writer) -> None:
    params = "{s: {cls: 'integrate.catalog.parameters:Pattern', pattern: 'p[0-9]', default: p1}}"
    catalog = open_catalog(write_catalog(catalog_text(params=params, kwargs="{url: '{CATALOG_DIR}/{s}.csv'}")))
    with pytest.raises(ParameterError, match="does not match"):
        catalog.load("x", s="../../etc/passwd")


def test_default_data_root_of_a_stranger_is_not_taken(write_catalog: Writer) -> None:
    params = "{r: {cls: 'integrate.catalog.parameters:DataRoot', default: /etc}}"
    catalog = open_catalog(write_catalog(catalog_text(params=params, kwargs="{url: '{r}/passwd', separator: ':'}")))
    with pytest.raises(ParameterError, match="give r="):
        catalog.load("x")


@pytest.mark.parametrize("inside", ["link.tif", "deep/link"])
def test_link_inside_a_folder_may_not_lead_out(
    write_catalog: Writer, folder: Path, tmp_path_factory: pytest.TempPathFactory, inside: str
) -> None:
    outside = tmp_path_factory.mktemp("elsewhere")
    link = folder / "f1_p1" / inside
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside, target_is_directory=True)
    images = open_catalog(write_catalog(catalog_text(reader="ChannelFolder", kwargs="{url: '{CATALOG_DIR}/f1_p1'}")))
    with pytest.raises(UnsafeCatalogError, match=rf"the link '{link.name}' in 'f1_p1': .* leads outside"):
        images.load("x")
    link.unlink()
    (folder / "f1_p1" / "again.tif").symlink_to(folder / "f1_p1" / "DNA.tif")  # stays inside
    assert images.load("x").sizes["c"] == 3


@pytest.mark.parametrize("series", ["../other.zarr", "/srv/other.zarr", "0/../../other.zarr", "..\\\\other.zarr"])
def test_what_is_named_inside_a_source_may_not_lead_out(write_catalog: Writer, folder: Path, series: str) -> None:
    (folder / "image.zarr").mkdir()
    kwargs = f'{{url: "{{CATALOG_DIR}}/image.zarr", series: "{series}"}}'
    with pytest.raises(UnsafeCatalogError, match=r"series: .* may not lead out of what is opened"):
        open_catalog(write_catalog(catalog_text(reader="OmeZarr", kwargs=kwargs))).load("x")
    (folder / "assets.csv").write_text(f"id,path,series\na,image.zarr,{series.replace(chr(92) * 2, chr(92))}\n")
    item = "{reader: OmeZarr, url: '<path>', series: '<series>'}"
    rows = catalog_text(reader="AssetTable", kwargs=f"{{url: '{{CATALOG_DIR}}/assets.csv', key: id, item: {item}}}")
    with pytest.raises(UnsafeCatalogError, match=r"series: .* may not lead out of what is opened"):
        open_catalog(write_catalog(rows)).load("x", id="a")


def test_a_store_may_only_name_what_it_holds(write_catalog: Writer, folder: Path) -> None:
    zarr.open_group(str(folder / "other.zarr"), mode="w", zarr_format=2).create_array("0", shape=(4,), dtype="u1")
    root = zarr.open_group(str(folder / "image.zarr"), mode="w", zarr_format=2)
    scale = {"path": "../other.zarr/0", "coordinateTransformations": [{"type": "scale", "scale": [1]}]}
    root.attrs["multiscales"] = [{"version": "0.4", "axes": [{"name": "x", "type": "space"}], "datasets": [scale]}]
    text = catalog_text(reader="OmeZarr", kwargs="{url: '{CATALOG_DIR}/image.zarr'}")
    with pytest.raises(DataError, match=r"'../other.zarr/0' leads out of image.zarr"):
        open_catalog(write_catalog(text)).load("x")


def test_parameter_without_a_pattern_is_confined_too(write_catalog: Writer) -> None:
    params = "{s: {cls: 'integrate.catalog.parameters:Pattern', pattern: '.*', default: clinical.csv}}"
    catalog = open_catalog(write_catalog(catalog_text(params=params, kwargs="{url: '{CATALOG_DIR}/{s}'}")))
    with pytest.raises(UnsafeCatalogError, match="leads outside the catalog's folder"):
        catalog.load("x", s="../../etc/passwd")


def test_a_catalog_of_100_mb_is_refused_unread(folder: Path) -> None:
    path = folder / "huge.yaml"
    with path.open("wb") as stream:
        stream.write(b"version: 2\nentries:\n")
        for _ in range(100):
            stream.write(b"  e: {reader: Table}\n" * 50_000)
    assert path.stat().st_size > 100_000_000
    tracemalloc.start()
    with pytest.raises(UnsafeCatalogError, match="larger than 5,000,000 bytes; put rows in an asset table"):
        open_catalog(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_no_secret_reaches_a_server(write_catalog: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain Intake sends ``{env(AWS_SECRET_ACCESS_KEY)}`` of a location to whatever server the location names."""
    asked: list[str] = []

    class Listening(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listening)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    for protocol in ("http", "https"):
        url = f"{protocol}://127.0.0.1:{server.server_port}/{{env(AWS_SECRET_ACCESS_KEY)}}.csv"
        with pytest.raises(UnsafeCatalogError, match="calls a function"):
            open_catalog(write_catalog(catalog_text(kwargs=f"{{url: '{url}'}}"))).load("x")
    server.shutdown()
    server.server_close()
    assert asked == []


class Pwned:
    """Unpickled, it leaves a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.place,)


@pytest.mark.parametrize("reader", ["OmeZarr", "AnnDataZarr", "SpatialDataStore"])
def test_pickles_inside_a_store_are_not_opened(write_catalog: Writer, folder: Path, reader: str) -> None:
    """Zarr 2 has a codec that pickles objects; a stranger's store may hold anything in it."""
    store, evil = folder / "store.zarr", folder / "PWNED"
    described = {
        **{"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "compressor": None, "fill_value": None},
        **{"order": "C", "filters": [{"id": "pickle", "protocol": 5}]},
    }
    for place in ("0", "X", "obs/_index", "var/_index", "images/a/0"):
        (store / place).mkdir(parents=True)
        (store / place / ".zarray").write_text(json.dumps(described))
        (store / place / "0").write_bytes(pickle.dumps([Pwned(evil), (1,)]))
    frame = {"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index", "column-order": []}
    scales = [{"version": "0.4", "axes": [{"name": "x", "type": "space"}], "datasets": [{"path": "0"}]}]
    said: dict[str, dict[str, object]] = {
        "": {"encoding-type": "anndata", "encoding-version": "0.1.0", "multiscales": scales},
        **{"obs": frame, "var": frame, "images": {}, "images/a": {"multiscales": scales}},
    }
    for group, attributes in said.items():
        (store / group / ".zgroup").write_text('{"zarr_format": 2}')
        (store / group / ".zattrs").write_text(json.dumps(attributes))
    text = catalog_text(reader=reader, kwargs="{url: '{CATALOG_DIR}/store.zarr'}")
    with pytest.raises(IntegrateError, match=r"No Zarr data type found that matches .*pickle"):
        getattr(open_catalog(write_catalog(text)).load("x"), "compute", dict)()
    assert not evil.exists()
    pickle.loads(pickle.dumps(Pwned(evil)))  # and the trap does work
    assert evil.exists()


yaml_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=30)
    | st.sampled_from(["{x}", "{", "func(a)", "os:system"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.fixed_dictionaries(
            {"reader": st.sampled_from(["Table", "os:system"])},
            optional={"kwargs": yaml_values, "metadata": yaml_values, "user_parameters": yaml_values},
        ),
        max_size=3,
    ),
    parameters=yaml_values,
)
def test_any_document_opens_or_is_refused_by_us(entries: dict[str, object], parameters: object) -> None:
    import yaml

    text = yaml.safe_dump({"version": 2, "user_parameters": parameters, "entries": entries})
    with contextlib.suppress(IntegrateError):
        check_safe(parse_document(text, where="fuzz.yaml"), where="fuzz.yaml")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_catalog_or_is_refused_by_us(text: str) -> None:
    with contextlib.suppress(CatalogError):
        parse_document(text, where="fuzz.yaml")
