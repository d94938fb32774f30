"""Databases: DuckDB and SQLite files and a real PostgreSQL server, read only."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from integrate.errors import DataError, ParameterError
from integrate.readers.sql import SqlTable
from integrate.testing import ReaderTests

MAKE = "create table patients (patient varchar(8), age integer, weight double precision)"
ROWS = "insert into patients values ('007', 61, 70.5), ('0012', null, 81), ('A1', 47, null)"


def check(opened: Any) -> None:
    assert opened["patient"].tolist() == ["007", "0012", "A1"]
    assert opened["age"].isna().tolist() == [False, True, False]
    assert opened["weight"].tolist()[:2] == [70.5, 81.0]
    assert opened.attrs["integrate"]["keys"] == {"patient": "hospital"}


class TestDuckDB(ReaderTests):
    cut = 0.1  # a small database is mostly empty pages

    def reader(self, folder: Path) -> SqlTable:
        with duckdb.connect(str(folder / "a.duckdb")) as connection:
            connection.execute(MAKE).execute(ROWS)
        return SqlTable(url=str(folder / "a.duckdb"), table="patients", keys={"patient": "hospital"})

    def check(self, opened: Any) -> None:
        check(opened)


class TestSqlite(ReaderTests):
    cut = 0.4

    def reader(self, folder: Path) -> SqlTable:
        connection = sqlite3.connect(folder / "a.db")
        connection.execute(MAKE)
        connection.execute(ROWS)
        connection.execute("create table codes (code integer, meaning text)")
        connection.commit()
        connection.close()
        return SqlTable(url=str(folder / "a.db"), table="patients", keys={"patient": "hospital"})

    def check(self, opened: Any) -> None:
        check(opened)


def test_names_are_checked_before_anything_is_asked(tmp_path: Path) -> None:
    reader = TestSqlite().reader(tmp_path)
    with pytest.raises(ParameterError, match=r"no table 'patient'; closest: 'patients'"):
        reader(table="patient").read()
    with pytest.raises(ParameterError, match=r"no table 'patients; drop table codes'"):
        reader(table="patients; drop table codes").read()
    with pytest.raises(ParameterError, match=r"no column 'aged'; closest: 'age'"):
        reader(columns=["aged"]).read()
    assert list(reader(columns=["age"]).read()) == ["age", "patient"]


def test_a_password_in_an_address_is_refused() -> None:
    with pytest.raises(DataError, match="must not hold a password"):
        SqlTable(url="postgresql://me:secret@host/db", table="x").read()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of its own on a free port of this machine; it refuses to run as root."""
    pytest.importorskip("psycopg")
    listed = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if Path("/usr/lib/postgresql").is_dir() else []
    programs = Path(shutil.which("pg_ctl") or (listed[-1] / "pg_ctl" if listed else "")).parent
    if not (programs / "initdb").exists():
        pytest.skip("PostgreSQL is not installed")
    folder = tmp_path_factory.mktemp("postgres")
    user: dict[str, Any] = {}
    if os.getuid() == 0:
        names = {one.pw_name for one in pwd.getpwall()}
        if "postgres" not in names:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        user = {"user": "postgres"}
        for one in (folder, *folder.parents):  # pytest keeps its folders closed to other users
            if not one.stat().st_mode & 0o001:
                one.chmod(0o755)
        shutil.chown(folder, "postgres")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    run = {"check": True, "capture_output": True, "cwd": folder, **user}
    data = folder / "data"
    subprocess.run([programs / "initdb", "-D", data, "-U", "reader", "--auth=trust", "--no-sync"], **run)
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    subprocess.run([programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start"], **run)
    try:
        yield f"postgresql://reader@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **run)


def test_a_table_of_a_server_opens_by_address(server: str) -> None:
    import psycopg

    with psycopg.connect(server) as connection:
        connection.execute(MAKE)
        connection.execute(ROWS)
        connection.execute("create schema trial")
        connection.execute("create view trial.old as select * from patients where age > 50")
    opened = SqlTable(url=server, table="patients", keys={"patient": "hospital"}, ids={"site": "1"}).read()
    check(opened)
    origin = opened.attrs["integrate"]["origin"]
    assert origin["location"] == server.replace("reader@", "")
    assert SqlTable(url=server, table="trial.old").read()["patient"].tolist() == ["007"]
    with pytest.raises(ParameterError, match=r"no table 'patient'; closest: 'public.patients'"):
        SqlTable(url=server, table="patient").read()
    with pytest.raises(DataError, match="the PostgreSQL server cannot serve"):
        SqlTable(url=server.rpartition("/")[0] + "/absent", table="patients").read()
