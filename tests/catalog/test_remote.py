"""A catalog on a web server opens with everything beside it, over TLS, and the server's faults are told."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integrate.catalog.open import open_catalog
from integrate.catalog.safety import confine
from integrate.errors import UnsafeCatalogError

pytest.importorskip("aiohttp", reason="needs aiohttp")
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")

CSV = "id,age\np1,61\np2,47\n"
INNER = 'version: 2\nentries: {people: {reader: Table, kwargs: {url: "{CATALOG_DIR}/people.csv"}}}\n'
FAULTS = ("forbidden", "torn", "gone", "changing", "slow")
CATALOG = (
    "version: 2\nmetadata: {name: far, description: on a server, licence: CC0-1.0}\nentries:\n"
    '  people: {reader: Table, kwargs: {url: "{CATALOG_DIR}/people.csv", keys: {id: subject_id}}}\n'
    '  inner: {reader: SubCatalog, kwargs: {url: "{CATALOG_DIR}/deeper/inner.yaml"}}\n'
    '  files: {reader: AssetTable, kwargs: {url: "{CATALOG_DIR}/deeper/assets.csv", key: item, '
    'item: {reader: Table, url: "<path>"}}}\n'
    + "".join(f'  {name}: {{reader: Table, kwargs: {{url: "{{CATALOG_DIR}}/{name}.csv"}}}}\n' for name in FAULTS)
    + '  missing: {reader: Table, kwargs: {url: "{CATALOG_DIR}/missing.csv"}}\n'
)


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and misbehaves for files named after a fault."""

    def do_GET(self) -> None:
        name = Path(self.path).stem
        if name == "forbidden":
            return self.send_error(403)
        if name == "gone" and self.command == "GET":
            return self.send_error(404)
        if name == "slow":
            time.sleep(1)
        if name in ("torn", "changing", "endless"):
            return self._misbehave(name)
        return super().do_GET() if self.command == "GET" else super().do_HEAD()

    do_HEAD = do_GET

    def _misbehave(self, name: str) -> None:
        body = CSV.encode() * 100
        self.send_response(200)
        if name != "endless":
            self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{time.time_ns() if name == "changing" else 1}"')
        self.end_headers()
        if self.command == "GET":
            with contextlib.suppress(OSError):  # the reader hangs up
                for _ in range(4000 if name == "endless" else 1):
                    self.wfile.write(body[: len(body) // 2] if name == "torn" else body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, Path]]:
    """A web server with TLS: its address, its folder, and the certificate of its own authority."""
    keys, folder = tmp_path_factory.mktemp("keys"), tmp_path_factory.mktemp("site")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    make += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*make, "-keyout", keys / "key.pem", "-out", keys / "ca.pem"], check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "ca.pem", keys / "key.pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Server(*a, directory=str(folder)))  # type: ignore[arg-type]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    study = folder / "study"
    (study / "deeper").mkdir(parents=True)
    (study / "catalog.yaml").write_text(CATALOG)
    (study / "large.yaml").write_text(CATALOG + "#" * 6_000_000)
    (study / "people.csv").write_text(CSV)
    (study / "deeper" / "people.csv").write_text(CSV + "p3,1\n")
    (study / "deeper" / "inner.yaml").write_text(INNER)
    (study / "deeper" / "assets.csv").write_text("item,path\n1,people.csv\n2,../people.csv\n3,%2e%2e/people.csv\n")
    (study / "slow.csv").write_text(CSV)
    (study / "gone.csv").write_text(CSV)
    yield f"https://localhost:{server.server_port}/study", study, keys / "ca.pem"
    server.shutdown()


#: Runs apart, because the trusted certificates are read when the web library is imported.
ASK = """
import json, sys
from integrate.catalog.open import open_catalog
from integrate.errors import IntegrateError
def told(make):
    try:
        return make()
    except IntegrateError as error:
        return f"{type(error).__name__}: {error}"
url, asked = sys.argv[1], json.loads(sys.argv[2])
found = {"open": told(lambda: repr(open_catalog(f"{url}/catalog.yaml")))}
if found["open"].startswith("<Catalog"):
    catalog = open_catalog(f"{url}/catalog.yaml")
    for name, item in asked:
        how = {"item": item} if item else {}
        found[f"{name}{item}"] = told(lambda: catalog[name].load(**how).shape)
    found["large"] = told(lambda: repr(open_catalog(f"{url}/large.yaml")))
    found["endless"] = told(lambda: repr(open_catalog(f"{url}/endless.yaml")))
    found["integrity"] = catalog["people"].integrity
    found["home"] = catalog.home == url
    found["files"] = len(catalog["files"].items())
print(json.dumps(found))
"""


def ask(url: str, ca: Path | None, cache: Path, asked: list[tuple[str, str]]) -> Any:
    environment = {**os.environ, "INTEGRATE_CACHE": str(cache), **({"SSL_CERT_FILE": str(ca)} if ca else {})}
    run = [sys.executable, "-W", "ignore", "-c", ASK, url, json.dumps(asked)]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_all_beside_a_remote_catalog_opens_and_faults_are_told(site: tuple[str, Path, Path], tmp_path: Path) -> None:
    url, _, ca = site
    items = [("files", "1"), ("files", "2"), ("files", "3"), ("inner/people", "")]
    found = ask(url, ca, tmp_path, [("people", ""), *items, *((name, "") for name in (*FAULTS, "missing"))])
    assert found["open"].startswith("<Catalog 'far': 9 datasets")
    assert (found["home"], found["files"], found["integrity"]) == (True, 3, "")
    assert found["people"] == found["slow"] == [2, 2]
    assert found["inner/people"] == found["files1"] == [3, 2]  # beside the nested catalog, beside the asset table
    assert "'..' is not allowed" in found["files2"]
    assert "'..' is not allowed" in found["files3"]
    assert "forbidden.csv may not be read (forbidden)" in found["forbidden"]
    assert "SourceNotFoundError: nothing at https://" in found["missing"]
    assert "SourceNotFoundError: nothing at https://" in found["gone"]
    assert any(word in found["torn"] for word in ("came incomplete", "could not be fetched"))
    assert "changed while it was read" in found["changing"]
    assert "large.yaml is larger than 5,000,000 bytes" in found["large"]
    assert "endless.yaml is larger than 5,000,000 bytes" in found["endless"]
    assert not list(tmp_path.glob(".part-*"))


def test_the_lock_beside_a_remote_catalog_is_heeded(site: tuple[str, Path, Path], tmp_path: Path) -> None:
    url, study, ca = site
    digest = hashlib.sha256(CSV.encode()).hexdigest()
    (study / "catalog.sha256").write_text(f"{digest}  people.csv\n{'ab' * 32}  slow.csv\n")
    try:
        found = ask(url, ca, tmp_path, [("people", ""), ("slow", "")])
    finally:
        (study / "catalog.sha256").unlink()
    assert (found["integrity"], found["people"]) == ("lock", [2, 2])
    assert "sha256 of https://" in found["slow"]
    assert "the catalog says abab" in found["slow"]


def test_a_server_without_a_trusted_certificate_is_not_believed(site: tuple[str, Path, Path], tmp_path: Path) -> None:
    told = ask(site[0], None, tmp_path, [])["open"]
    assert "catalog.yaml could not be fetched: ClientConnectorCertificateError" in told


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://host/catalog.yaml", "is not opened through 'http'"),
        ("ssh://host/catalog.yaml", "is not opened through 'ssh'"),
        ("simplecache::https://host/catalog.yaml", "is not opened through 'simplecache::https'"),
        ("https://me:secret@host/catalog.yaml", "no password in a location"),
    ],
)
def test_other_ways_to_a_catalog_are_refused(url: str, reason: str) -> None:
    with pytest.raises(UnsafeCatalogError, match=reason) as refused:
        open_catalog(url)
    assert "secret" not in str(refused.value)


def test_a_remote_catalog_reads_no_local_file() -> None:
    roots = {"CATALOG_DIR": "https://host/study"}
    for url in ("/etc/passwd", "file:///etc/passwd", "etc/passwd", ""):
        with pytest.raises(UnsafeCatalogError, match="leads outside"):
            confine(url, roots, where="x")
    with pytest.raises(UnsafeCatalogError, match=r"'\.\.' is not allowed"):
        confine("https://host/study/%2E%2E/other", roots, where="x")
