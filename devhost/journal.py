"""The SQLite journal: what was committed before a kill is what the next process goes on with."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from devhost import records
from devhost.records import Finished, Record, Start

SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    sequence INTEGER PRIMARY KEY, instance TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS records_instance ON records (instance);
CREATE TABLE IF NOT EXISTS finished (
    instance TEXT PRIMARY KEY, body BLOB NOT NULL, history TEXT NOT NULL);
"""
# Marks the file as a journal of this format, so that no foreign database is written to.
APPLICATION_ID = 0x4C4D4452
FORMAT = 1

Callback = Callable[[], object]


class JournalError(Exception):
    """The journal cannot be used."""


class Journal:
    """Appends records in groups; what must not happen before a commit waits for it."""

    def __init__(self, path: Path | None) -> None:
        self._connection = _open(path)
        self._writes: list[tuple[str, tuple[Any, ...]]] = []
        self._after: list[Callback] = []
        self._scheduled: asyncio.Handle | None = None

    def append(self, instance: str, record: Record) -> None:
        """Add one record of an instance."""
        body = records.encode(record)
        self._write("INSERT INTO records (instance, body) VALUES (?, ?)", instance, body)

    def begin(self, start: Start) -> None:
        """Forget what was known of the instance and begin anew."""
        self.purge(start.instance)
        self.append(start.instance, start)

    def finish(self, finished: Finished, history: list[str]) -> None:
        """Replace a finished instance's records by one row."""
        instance = finished.start.instance
        self.purge(instance)
        row = (instance, records.encode(finished), f"[{','.join(history)}]")
        self._write("INSERT INTO finished VALUES (?, ?, ?)", *row)

    def purge(self, instance: str) -> None:
        """Forget an instance."""
        self._write("DELETE FROM records WHERE instance = ?", instance)
        self._write("DELETE FROM finished WHERE instance = ?", instance)

    def after_commit(self, callback: Callback) -> None:
        """Call back when all that was written so far is committed."""
        self._after.append(callback)
        self._schedule()

    async def committed(self) -> None:
        """Wait until all that was written so far is committed."""
        done = asyncio.Event()
        self.after_commit(done.set)
        await done.wait()

    def flush(self) -> None:
        """Commit the group and do what waited for it."""
        self._unschedule()
        writes, self._writes = self._writes, []
        after, self._after = self._after, []
        try:
            with self._connection:
                for statement, values in writes:
                    self._connection.execute(statement, values)
        except sqlite3.Error as error:
            # What was acknowledged would be lost: better no host than one that forgets.
            raise SystemExit(f"devhost: cannot write the journal: {error}") from error
        for callback in after:
            callback()

    def close(self) -> None:
        """Commit what is left and close the file."""
        self.flush()
        self._connection.close()

    def running(self) -> Iterator[tuple[str, Record]]:
        """Read the records of all instances that have not finished, in their order."""
        rows = self._connection.execute("SELECT instance, body FROM records ORDER BY sequence")
        return ((instance, records.decode_record(body)) for instance, body in rows)

    def finished(self) -> Iterator[Finished]:
        """Read what is kept of all finished instances."""
        rows = self._connection.execute("SELECT body FROM finished")
        return (records.decode_finished(body) for (body,) in rows)

    def history(self, instance: str) -> str:
        """Read a finished instance's history, a JSON list."""
        query = "SELECT history FROM finished WHERE instance = ?"
        row = self._connection.execute(query, (instance,)).fetchone()
        return str(row[0]) if row else "[]"

    def _write(self, statement: str, *values: object) -> None:
        self._writes.append((statement, values))
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = asyncio.get_running_loop().call_soon(self.flush)

    def _unschedule(self) -> None:
        if self._scheduled:
            self._scheduled.cancel()
            self._scheduled = None


def _open(path: Path | None) -> sqlite3.Connection:
    try:
        return _connect(path)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(f"cannot use the journal {path}: {error}") from error


def _connect(path: Path | None) -> sqlite3.Connection:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path or ":memory:", timeout=1)
    try:
        _prepare(connection)
    except Exception:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    _check_format(connection)
    # One writer for the process's life: a second devhost on the same journal is refused.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(SCHEMA)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def _check_format(connection: sqlite3.Connection) -> None:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if tables and (application, version) != (APPLICATION_ID, FORMAT):
        raise sqlite3.DatabaseError("it is no journal of this devhost; remove it")
