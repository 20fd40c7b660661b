"""What the registry remembers: one SQLite file."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

SCHEMA = """
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS people (name TEXT PRIMARY KEY, salt BLOB NOT NULL, password BLOB NOT NULL, joined REAL);
CREATE TABLE IF NOT EXISTS sessions (hash TEXT PRIMARY KEY, person TEXT NOT NULL, began REAL);
CREATE TABLE IF NOT EXISTS renderers (url TEXT PRIMARY KEY, added REAL);
CREATE TABLE IF NOT EXISTS tokens (
    jti TEXT PRIMARY KEY, hash TEXT NOT NULL, person TEXT NOT NULL, renderer TEXT NOT NULL, purpose TEXT NOT NULL,
    issued REAL, expires REAL, revoked REAL);
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY, renderer TEXT NOT NULL, path TEXT NOT NULL, body TEXT NOT NULL, made REAL,
    tries INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'waiting', answer TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS activities (
    id TEXT PRIMARY KEY, digest TEXT NOT NULL, actor TEXT NOT NULL, type TEXT NOT NULL, taken REAL,
    times INTEGER NOT NULL DEFAULT 1, status INTEGER NOT NULL, answer TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS assets (
    id TEXT PRIMARY KEY, object TEXT NOT NULL UNIQUE, activity TEXT NOT NULL, renderer TEXT NOT NULL,
    person TEXT NOT NULL, type TEXT NOT NULL, name TEXT NOT NULL, cid TEXT NOT NULL, url TEXT NOT NULL,
    run TEXT NOT NULL, provenance_cid TEXT NOT NULL, provenance TEXT NOT NULL, listed REAL);
"""


@dataclass(frozen=True, slots=True)
class Call:
    """Something that an L1 server has to be told."""

    id: int
    renderer: str
    path: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Asset:
    """What somebody published, and what was found when we looked where it came from."""

    object: str
    renderer: str
    person: str
    type: str
    name: str
    cid: str
    url: str
    run: str
    provenance_cid: str
    provenance: dict[str, Any]

    @property
    def id(self) -> str:
        """Its own id at this registry."""
        return hashlib.sha256(self.object.encode()).hexdigest()[:20]


class Books:
    """The tables. Every method is one transaction."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(SCHEMA)

    # secrets

    def _kept(self, name: str, make: Callable[[], str]) -> str:
        row = self._db.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()
        if row is None:
            row = {"value": make()}
            self._db.execute("INSERT INTO secrets VALUES (?, ?)", (name, row["value"]))
        return str(row["value"])

    def jwt_secret(self) -> str:
        """Return what tokens are signed with. It leaves this file for nobody."""
        return self._kept("jwt", lambda: secrets.token_hex(32))

    def actor_key(self) -> rsa.RSAPrivateKey:
        """Return the registry's own private key."""

        def make() -> str:
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            return key.private_bytes(serialization.Encoding.PEM, pkcs8, plain).decode()

        key = serialization.load_pem_private_key(self._kept("actor", make).encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key

    # people

    def knows(self, name: str) -> bool:
        """Return whether there is an account of this name."""
        return self._db.execute("SELECT 1 FROM people WHERE name = ?", (name,)).fetchone() is not None

    def add_person(self, name: str, password: str, now: float) -> None:
        """Open an account."""
        salt = secrets.token_bytes(16)
        self._db.execute("INSERT INTO people VALUES (?, ?, ?, ?)", (name, salt, _scrypt(password, salt), now))

    def check_password(self, name: str, password: str) -> bool:
        """Return whether this is the password; takes as long where there is no such account."""
        row = self._db.execute("SELECT salt, password FROM people WHERE name = ?", (name,)).fetchone()
        salt, kept = (row["salt"], row["password"]) if row else (bytes(16), b"")
        return secrets.compare_digest(_scrypt(password, salt), kept)

    def begin_session(self, person: str, now: float) -> str:
        """Return the secret of a new session."""
        secret = secrets.token_urlsafe(32)
        self._db.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_hash(secret), person, now))
        return secret

    def session(self, secret: str) -> str:
        """Return whose session it is; empty: nobody's."""
        row = self._db.execute("SELECT person FROM sessions WHERE hash = ?", (_hash(secret),)).fetchone()
        return str(row["person"]) if row else ""

    def end_sessions(self, person: str) -> None:
        """End all sessions of a person."""
        self._db.execute("DELETE FROM sessions WHERE person = ?", (person,))

    # L1 servers

    def add_renderer(self, url: str, now: float) -> None:
        """List an L1 server."""
        self._db.execute("INSERT OR IGNORE INTO renderers VALUES (?, ?)", (url, now))

    def renderers(self) -> list[str]:
        """Return the addresses of the L1 servers."""
        return [row["url"] for row in self._db.execute("SELECT url FROM renderers ORDER BY added")]

    def attached(self, person: str) -> list[str]:
        """Return the L1 servers that a person ever had a token for."""
        rows = self._db.execute("SELECT DISTINCT renderer FROM tokens WHERE person = ? ORDER BY 1", (person,))
        return [row["renderer"] for row in rows]

    # tokens

    def add_token(
        self, jti: str, text: str, person: str, renderer: str, purpose: str, issued: float, expires: float
    ) -> None:
        """Note a token; its text is not kept."""
        self._db.execute(
            "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
            (jti, _hash(text), person, renderer, purpose, issued, expires),
        )

    def tokens(self, person: str) -> list[sqlite3.Row]:
        """Return a person's tokens, newest first."""
        found = self._db.execute("SELECT * FROM tokens WHERE person = ? ORDER BY issued DESC, rowid DESC", (person,))
        return found.fetchall()

    def token(self, jti: str) -> sqlite3.Row | None:
        """Return a token."""
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM tokens WHERE jti = ?", (jti,)).fetchone()
        return row

    def revoke(self, jti: str, now: float) -> None:
        """Refuse a token from now on."""
        self._db.execute("UPDATE tokens SET revoked = coalesce(revoked, ?) WHERE jti = ?", (now, jti))

    # what L1 servers have to be told

    def add_call(self, renderer: str, path: str, body: dict[str, Any], now: float) -> None:
        """Note that an L1 server has to be told something."""
        self._db.execute(
            "INSERT INTO calls (renderer, path, body, made) VALUES (?, ?, ?, ?)",
            (renderer, path, json.dumps(body), now),
        )

    def next_call(self, renderer: str) -> Call | None:
        """Return what an L1 server has to be told next."""
        row = self._db.execute(
            "SELECT id, path, body FROM calls WHERE renderer = ? AND state = 'waiting' ORDER BY id LIMIT 1", (renderer,)
        ).fetchone()
        return Call(row["id"], renderer, row["path"], row["body"].encode()) if row else None

    def note_call(self, call_id: int, state: str, answer: str) -> None:
        """Note how telling went."""
        self._db.execute(
            "UPDATE calls SET tries = tries + 1, state = ?, answer = ? WHERE id = ?", (state, answer, call_id)
        )

    def calls(self) -> list[sqlite3.Row]:
        """Return all, newest first."""
        return self._db.execute("SELECT * FROM calls ORDER BY id DESC LIMIT 200").fetchall()

    def waiting_for(self) -> list[str]:
        """Return the L1 servers that have to be told something."""
        return [row[0] for row in self._db.execute("SELECT DISTINCT renderer FROM calls WHERE state = 'waiting'")]

    # what was published

    def activity(self, activity_id: str) -> sqlite3.Row | None:
        """Return an activity that was taken, and count that it came again."""
        row: sqlite3.Row | None = self._db.execute(
            "UPDATE activities SET times = times + 1 WHERE id = ? RETURNING *", (activity_id,)
        ).fetchone()
        return row

    def take_created(
        self, activity: dict[str, Any], digest: str, now: float, answer: dict[str, Any], it: Asset
    ) -> None:
        """Keep a Create and list what it creates, both or neither."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._keep(activity, digest, now, answer)
            self._db.execute(
                "INSERT OR REPLACE INTO assets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (it.id, it.object, activity["id"], it.renderer, it.person, it.type, it.name, it.cid, it.url, it.run,
                 it.provenance_cid, json.dumps(it.provenance), now),
            )  # fmt: skip

    def take_deleted(self, activity: dict[str, Any], digest: str, now: float, object_id: str) -> bool:
        """Keep a Delete and remove what it names; return whether that was listed."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            gone = self._db.execute("DELETE FROM assets WHERE object = ?", (object_id,)).rowcount > 0
            self._keep(activity, digest, now, {"removed": gone})
        return gone

    def _keep(self, activity: dict[str, Any], digest: str, now: float, answer: dict[str, Any]) -> None:
        self._db.execute(
            "INSERT INTO activities (id, digest, actor, type, taken, status, answer) VALUES (?, ?, ?, ?, ?, 200, ?)",
            (activity["id"], digest, activity["actor"], activity["type"], now, json.dumps(answer)),
        )

    def assets(self, person: str = "") -> list[sqlite3.Row]:
        """Return what is listed, newest first; of everybody or of one person."""
        return self._db.execute(
            "SELECT * FROM assets WHERE ? IN ('', person) ORDER BY listed DESC, rowid DESC", (person,)
        ).fetchall()

    def asset(self, asset_id: str) -> sqlite3.Row | None:
        """Return what is listed under an id."""
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM assets WHERE id = ?", (asset_id,)).fetchone()
        return row

    def publisher(self, object_id: str) -> str:
        """Return the L1 server that an object came from; empty: it is not listed."""
        row = self._db.execute("SELECT renderer FROM assets WHERE object = ?", (object_id,)).fetchone()
        return str(row["renderer"]) if row else ""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)
