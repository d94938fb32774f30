"""A remote file arrives whole and checked, from a real S3 server that misbehaves, or not at all."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from integrate.catalog.lock import lock_catalog
from integrate.catalog.open import open_catalog
from integrate.catalog.storage import Cache, fetch
from integrate.errors import CatalogError, DataError, IntegrateWarning, SourceNotFoundError, UnsafeCatalogError
from integrate.model.provenance import hash_file, recorded

pytest.importorskip("moto.server", reason="needs moto[server]")
pytest.importorskip("s3fs", reason="needs s3fs")

Writer = Callable[[str], Path]
CSV = b"id,age\np1,61\np2,47\n"
HASH = hashlib.sha256(CSV).hexdigest()
BUCKET = "study"


class FaultyStore(BaseHTTPRequestHandler):
    """Passes everything on to the real server, except that keys named after a fault get it."""

    backend = ""
    protocol_version = "HTTP/1.1"
    reads: list[str]

    def do_GET(self) -> None:
        self._pass_on()

    do_HEAD = do_GET

    def _pass_on(self) -> None:
        is_read = self.command == "GET" and "list-type" not in self.path
        if is_read:
            self.reads.append(self.path)
        if "forbidden" in self.path:
            return self._answer(403, {}, b"")
        if "slow" in self.path and is_read:
            time.sleep(1)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        asked = urllib.request.Request(self.backend + self.path, headers=headers, method=self.command)
        try:
            with urllib.request.urlopen(asked) as reply:
                body, status, got = reply.read(), reply.status, dict(reply.headers)
        except urllib.error.HTTPError as error:
            body, status, got = error.read(), error.code, dict(error.headers)
        if is_read and "gone" in self.path:
            return self._answer(404, {}, b"<Error><Code>NoSuchKey</Code></Error>")
        if is_read and "cut" in self.path:
            return self._answer(status, got, body[: len(body) // 2])
        if is_read and "torn" in self.path:  # promises all, sends half, hangs up
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return None
        return self._answer(status, got, body)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "date", "server", "transfer-encoding"):
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def store() -> Iterator[type[FaultyStore]]:
    """An S3 server process, and before it a server that misbehaves for some keys; reached through the environment."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    front = ThreadingHTTPServer(("127.0.0.1", 0), FaultyStore)
    FaultyStore.backend, FaultyStore.reads = f"http://127.0.0.1:{port}", []
    thread = threading.Thread(target=front.serve_forever, daemon=True)
    thread.start()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{front.server_port}",
        "AWS_ACCESS_KEY_ID": "id-in-environment",
        "AWS_SECRET_ACCESS_KEY": "secret-in-environment",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            _fill(port)
            yield FaultyStore
        finally:
            front.shutdown()
            server.terminate()
            server.wait(20)


def _fill(port: int) -> None:
    import boto3

    for _ in range(200):
        with socket.socket() as trying:
            if trying.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
    client.create_bucket(Bucket=BUCKET)
    for key in (
        "a.csv",
        "slow.csv",
        "cut.csv",
        "torn.csv",
        "gone.csv",
        "forbidden.csv",
        "same.csv",
        "x/1.dcm",
        "x/y/2.dcm",
    ):
        client.put_object(Bucket=BUCKET, Key=key, Body=CSV)


@pytest.fixture
def cache(tmp_path: Path, store: type[FaultyStore]) -> Cache:
    store.reads.clear()
    (tmp_path / "copies").mkdir()
    return Cache(tmp_path / "copies")


def left(cache: Cache) -> list[str]:
    return sorted(path.name for path in cache.folder.iterdir() if not path.name.startswith("."))


def test_file_is_fetched_once(cache: Cache, store: type[FaultyStore]) -> None:
    first = fetch(f"s3://{BUCKET}/a.csv", is_folder=False, cache=cache)
    assert first.read_bytes() == CSV
    assert fetch(f"s3://{BUCKET}/a.csv", is_folder=False, cache=cache) == first
    assert len(store.reads) == 1
    assert not list(cache.folder.glob(".part-*"))


def test_folder_is_fetched_whole(cache: Cache) -> None:
    folder = fetch(f"s3://{BUCKET}/x", is_folder=True, cache=cache)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.dcm")) == ["1.dcm", "y/2.dcm"]
    assert fetch(f"s3://{BUCKET}/x", is_folder=True, cache=cache, expected=hash_file(folder)).is_dir()


def test_known_bytes_are_found_without_the_store_and_checked(cache: Cache, store: type[FaultyStore]) -> None:
    copy = fetch(f"s3://{BUCKET}/a.csv", is_folder=False, cache=cache, expected=HASH)
    store.reads.clear()
    assert fetch("s3://no-such-bucket/a.csv", is_folder=False, cache=cache, expected=HASH) == copy
    assert not store.reads
    copy.write_bytes(b"spoilt in the cache")
    assert fetch(f"s3://{BUCKET}/a.csv", is_folder=False, cache=cache, expected=HASH).read_bytes() == CSV


def test_catalog_in_a_bucket_opens_with_what_lies_beside_it(
    folder: Path, text: str, cache: Cache, store: type[FaultyStore]
) -> None:
    import boto3

    (folder / "catalog.yaml").write_text(text)
    lock_catalog(open_catalog(folder / "catalog.yaml"))
    client = boto3.client("s3", endpoint_url=store.backend)
    for file in (path for path in folder.rglob("*") if path.is_file() and "copies" not in path.parts):
        client.put_object(Bucket=BUCKET, Key=f"whole/{file.relative_to(folder).as_posix()}", Body=file.read_bytes())
    shutil.rmtree(folder / "f1_p1")
    catalog = open_catalog(f"s3://{BUCKET}/whole/catalog.yaml", cache=cache)
    assert catalog.home == f"s3://{BUCKET}/whole"
    assert catalog.load("clinical").shape == (2, 4)
    assert catalog.load("fields", field="f1_p1").shape == (2, 16, 20)
    assert catalog.load("files", acquisition_id="01").attrs["integrate"]["origin"]["sha256"]
    assert catalog["fields"].integrity == "lock"
    assert list(catalog.search(subject="p1")) == ["fields", "clinical", "files"]
    with pytest.raises(CatalogError, match=r"lies at s3://study/whole; lock it where it lies"):
        lock_catalog(catalog)
    with pytest.raises(SourceNotFoundError, match=r"nothing at s3://study/whole/none\.yaml"):
        open_catalog(f"s3://{BUCKET}/whole/none.yaml")


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ("forbidden.csv", DataError, r"s3://study/forbidden\.csv may not be read \(forbidden\)"),
        ("cut.csv", DataError, r"cut\.csv (came incomplete|could not be fetched)"),
        ("torn.csv", DataError, r"torn\.csv (came incomplete|could not be fetched)"),
        ("gone.csv", SourceNotFoundError, r"nothing at s3://study/gone\.csv"),
        ("never.csv", SourceNotFoundError, r"nothing at s3://study/never\.csv"),
    ],
)
def test_faulty_store_is_told_and_leaves_nothing(cache: Cache, key: str, error: type[DataError], message: str) -> None:
    with pytest.raises(error, match=message):
        fetch(f"s3://{BUCKET}/{key}", is_folder=False, cache=cache)
    assert left(cache) == []
    assert not list(cache.folder.glob(".part-*"))


def test_slow_store_is_waited_for(cache: Cache) -> None:
    assert fetch(f"s3://{BUCKET}/slow.csv", is_folder=False, cache=cache).read_bytes() == CSV


def test_wrong_bytes_are_not_kept(cache: Cache) -> None:
    with pytest.raises(DataError, match=r"sha256 of s3://study/a\.csv is [0-9a-f]{64}, the catalog says 000"):
        fetch(f"s3://{BUCKET}/a.csv", is_folder=False, cache=cache, expected="0" * 64)
    assert left(cache) == []


def _fetch_in_process(folder: str, start: float, results: multiprocessing.Queue[str]) -> None:
    time.sleep(max(0.0, start - time.time()))
    path = fetch(f"s3://{BUCKET}/slow.csv", is_folder=False, cache=Cache(Path(folder)), expected=HASH)
    results.put(path.read_text())


def test_two_processes_share_the_copies(cache: Cache) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[str] = context.Queue()
    start = time.time() + 8
    works = [context.Process(target=_fetch_in_process, args=(str(cache.folder), start, results)) for _ in range(2)]
    for work in works:
        work.start()
    got = [results.get(timeout=120) for _ in works]
    for work in works:
        work.join(60)
    assert got == [CSV.decode()] * 2
    assert left(cache) == [f"sha256-{HASH}"]
    assert not list(cache.folder.glob(".part-*"))


def _fetch_and_stop(folder: str, key: str) -> None:
    fetch(f"s3://{BUCKET}/{key}", is_folder=False, cache=Cache(Path(folder)))


def test_bound_is_kept_by_dropping_the_oldest_unused(cache: Cache) -> None:
    work = multiprocessing.get_context("spawn").Process(target=_fetch_and_stop, args=(str(cache.folder), "same.csv"))
    work.start()
    work.join(120)
    assert len(left(cache)) == 1  # nobody uses it any more
    small = Cache(cache.folder, limit_bytes=len(CSV) * 2)
    mine = [fetch(f"s3://{BUCKET}/{key}", is_folder=False, cache=small) for key in ("a.csv", "slow.csv")]
    assert len(left(cache)) == 2
    fetch(f"s3://{BUCKET}/x/1.dcm", is_folder=False, cache=small)
    assert all(path.exists() for path in mine)  # in use by this process: kept beyond the bound


CATALOG = """
version: 2
entries:
  people:
    reader: Table
    kwargs: {url: "URL", mirrors: MIRRORS, verify: {hash: "sha256:HASH"}}
"""


def written(write_catalog: Writer, url: str, mirrors: str) -> Path:
    return write_catalog(CATALOG.replace("URL", url).replace("MIRRORS", mirrors).replace("HASH", HASH))


def test_archive_serves_when_the_fast_location_cannot(write_catalog: Writer, folder: Path, cache: Cache) -> None:
    (folder / "people.csv").write_bytes(CSV.replace(b"61", b"16"))
    path = written(write_catalog, "{CATALOG_DIR}/people.csv", f'["s3://{BUCKET}/cut.csv", "s3://{BUCKET}/a.csv"]')
    with pytest.warns(IntegrateWarning, match=r"s3://study/a\.csv serves instead of another location"):
        table = open_catalog(path).with_cache(cache).load("people")
    assert table["age"].tolist() == [61, 47]
    assert table.attrs["integrate"]["origin"]["served"] == f"s3://{BUCKET}/a.csv"
    assert "secret-in-environment" not in repr(recorded())


def test_every_location_is_told_when_none_serves(write_catalog: Writer, cache: Cache) -> None:
    path = written(write_catalog, "{CATALOG_DIR}/no.csv", f'["s3://{BUCKET}/forbidden.csv"]')
    with pytest.raises(DataError, match=r"(?s)no location serves:.*no file at.*forbidden"):
        open_catalog(path).with_cache(cache).load("people")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("{key: AKIA, secret: x}", "'key', 'secret' may not stand in a catalog"),
        ("{endpoint_url: 'https://evil'}", "'endpoint_url' may not stand in a catalog"),
        ("{anon: {client_kwargs: 1}}", "'anon' may not stand in a catalog"),
    ],
)
def test_catalog_may_not_say_how_to_log_in(write_catalog: Writer, options: str, reason: str) -> None:
    text = (
        f"version: 2\nentries:\n  x: {{reader: Table, kwargs: {{url: 's3://b/a.csv', storage_options: {options}}}}}\n"
    )
    with pytest.raises(UnsafeCatalogError, match=reason):
        open_catalog(write_catalog(text))


@pytest.mark.parametrize(
    "path", ["simplecache::file:///etc/passwd", "http://h/x", "memory://x", "ssh://h/x", "zip://a::s3://b/c"]
)
def test_row_of_an_asset_table_may_not_choose_a_protocol(
    write_catalog: Writer, folder: Path, text: str, path: str
) -> None:
    (folder / "assets.csv").write_text(f"acquisition_id,modality,path,source,day\n01,IF,{path},x,\n")
    with pytest.raises(UnsafeCatalogError, match="is not allowed"):
        open_catalog(write_catalog(text)).load("files", acquisition_id="01")


def test_secrets_of_a_location_are_not_told(cache: Cache) -> None:
    with pytest.raises(DataError, match=r"https://127\.0\.0\.1:1/a\.csv could not be fetched|nothing at") as caught:
        fetch("https://me:pass@127.0.0.1:1/a.csv?X-Amz-Signature=sig", is_folder=False, cache=cache)
    assert not {word for word in ("pass", "sig", "me:") if word in str(caught.value)}
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
