"""Uploads that can be interrupted and go on: all their state is in files, so any gateway of the folder can take over.

``<folder>/<id>/`` holds ``facts.json`` (what was announced, and the CID at the end), ``data`` (what has come),
``unverified`` (where bytes begin whose checksum is still outstanding), ``lock``, which whoever writes holds (the kernel
takes it back however they die), and ``wanted``, where somebody else has asked for the lock since. How far an upload is,
is the size of ``data``, up to ``unverified``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from uuid import UUID, uuid4

import orjson

from artdag_common.blobs.durable import full_disk_is_named, make_durable
from artdag_common.errors import UploadBusyError, UploadExpiredError, UploadNotFoundError

LIFE_SECONDS = 24 * 3600
"""How long an upload waits for its next bytes; a finished one, how long it tells what became of it."""

PRIVATE = 0o700
FACTS, DATA, UNVERIFIED, LOCK, WANTED, WHOLE = "facts.json", "data", "unverified", "lock", "wanted", "whole"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an upload.

    Attributes:
        metadata: as the client sent it, to be given back as it is.
        cid: of all the bytes, once they are stored as content.
        booked: the books know of it.
    """

    owner: str
    size_bytes: int
    name: str
    filename: str
    metadata: str
    media_type: str = ""
    cid: str = ""
    booked: bool = False


class Upload:
    """An upload in its folder. Blocking."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        self._folder = folder
        self.id = folder.name
        self.facts = facts

    @property
    def offset(self) -> int:
        """How many bytes are here and count."""
        if self.facts.cid:
            return self.facts.size_bytes
        try:
            size = (self._folder / DATA).stat().st_size
        except FileNotFoundError:  # removed, or made content just now
            return self.facts.size_bytes if self.again().facts.cid else 0
        with contextlib.suppress(FileNotFoundError, ValueError):
            return min(size, int((self._folder / UNVERIFIED).read_text()))
        return size

    @property
    def expires(self) -> float:
        """When it is removed, in seconds since 1970, unless something comes."""
        return _touched(self._folder) + LIFE_SECONDS

    @property
    def whole(self) -> Path:
        """All the bytes as a file of its own that may be moved away; made of those that came."""
        whole = self._folder / WHOLE
        with contextlib.suppress(FileExistsError):
            os.link(self._folder / DATA, whole)
        return whole

    def head(self, size: int) -> bytes:
        """Return the first bytes."""
        with (self._folder / DATA).open("rb") as file:
            return file.read(size)

    def again(self) -> Upload:
        """Return the upload as it is by now."""
        return _read(self._folder)

    @contextlib.contextmanager
    def locked(self) -> Iterator[Upload]:
        """Keep all others from writing, here and in other processes; gives the upload as it is then.

        Raises:
            UploadBusyError: somebody else writes.
            UploadNotFoundError: it was removed.
        """
        try:
            descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError as error:
            raise _missing(self.id) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                with contextlib.suppress(FileNotFoundError):  # it is removed just now
                    (self._folder / WANTED).touch(mode=0o600)
                raise UploadBusyError(f"the upload {self.id} is being written to", upload=self.id) from error
            (self._folder / WANTED).unlink(missing_ok=True)
            yield self.again()
        finally:
            os.close(descriptor)

    def finish(self, media_type: str, cid: str) -> Upload:
        """Note that the bytes are content now, and let them go here."""
        done = Upload(self._folder, replace(self.facts, media_type=media_type, cid=cid))
        _write(self._folder, done.facts)
        for name in (WHOLE, DATA):
            (self._folder / name).unlink(missing_ok=True)
        return done

    def note_booked(self) -> Upload:
        """Note that the books know of the content."""
        done = Upload(self._folder, replace(self.facts, booked=True))
        _write(self._folder, done.facts)
        return done

    def remove(self) -> None:
        """Remove it, with all that came."""
        _remove(self._folder)


class Piece:
    """Bytes that are added to an upload, under its lock."""

    def __init__(self, upload: Upload, folder: Path, verified: bool) -> None:
        """``verified``: the bytes have a checksum, and count only when it was found right."""
        self._folder = folder
        self.begin = upload.offset
        self.end = self.begin
        self._verified = verified
        with full_disk_is_named("go on when there is room again"):
            if verified:
                (folder / UNVERIFIED).write_text(str(self.begin))
            self._file = os.open(folder / DATA, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.truncate(self._file, self.begin)  # what a lost process left unverified
            if not verified:
                (folder / UNVERIFIED).unlink(missing_ok=True)
        except OSError:
            os.close(self._file)
            raise

    def write(self, *pieces: bytes | bytearray) -> None:
        """Take the next bytes, one piece after the other.

        Raises:
            StorageFullError: the disk is full; what fitted is kept.
        """
        with full_disk_is_named("go on when there is room again"):
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    count = os.pwrite(self._file, view, self.end)
                    self.end += count
                    view = view[count:]

    def wanted(self) -> bool:
        """Return whether somebody has asked for the lock since it was taken: maybe the client, on a new connection."""
        return (self._folder / WANTED).exists()

    def close(self, good: bool) -> None:
        """Make what came durable. ``good``: False: it has a checksum that was not found right, so it is dropped."""
        try:
            if self._verified and not good:
                os.truncate(self._file, self.begin)
                self.end = self.begin
            os.fsync(self._file)
        finally:
            os.close(self._file)
        (self._folder / UNVERIFIED).unlink(missing_ok=True)
        os.utime(self._folder / FACTS)


class Uploads:
    """All uploads of a folder. Blocking."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, facts: Facts) -> Upload:
        """Begin an upload; those that were abandoned are removed.

        Raises:
            StorageFullError: the disk is full.
        """
        self._folder.mkdir(exist_ok=True, mode=PRIVATE)
        self.sweep()
        folder = self._folder / uuid4().hex
        with full_disk_is_named("go on when there is room again"):
            folder.mkdir(mode=PRIVATE)
            (folder / DATA).touch(mode=0o600)
            _write(folder, facts)
        return Upload(folder, facts)

    def find(self, upload_id: str, owner: str) -> Upload:
        """Return an upload of an owner.

        Raises:
            UploadNotFoundError: there is none.
            UploadExpiredError: it was abandoned, and is removed now.
        """
        try:
            folder = self._folder / UUID(upload_id).hex  # no path, whatever it says
        except ValueError:
            raise _missing(upload_id) from None
        upload = _read(folder)
        if upload.facts.owner != owner:
            raise _missing(upload_id)
        if upload.expires < time.time():
            _remove_if_abandoned(folder)
            raise UploadExpiredError(
                f"the upload {upload_id} was removed: nothing came for {LIFE_SECONDS // 3600} h", upload=upload_id
            )
        return upload

    def piece(self, upload: Upload, verified: bool) -> Piece:
        """Begin to add bytes to an upload whose lock is held."""
        return Piece(upload, self._folder / upload.id, verified)

    def sweep(self) -> None:
        """Remove what was abandoned."""
        for folder in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if _touched(folder) + LIFE_SECONDS < time.time():
                    _remove_if_abandoned(folder)


def _touched(folder: Path) -> float:
    try:
        return (folder / FACTS).stat().st_mtime
    except FileNotFoundError:  # begun just now, or a process died at the very beginning
        return folder.stat().st_mtime


def _remove_if_abandoned(folder: Path) -> None:
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(folder)
    except BlockingIOError:  # slow, but not abandoned
        pass
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    (folder / FACTS).unlink(missing_ok=True)  # first: without it there is no such upload
    shutil.rmtree(folder, ignore_errors=True)


def _read(folder: Path) -> Upload:
    try:
        return Upload(folder, Facts(**orjson.loads((folder / FACTS).read_bytes())))
    except FileNotFoundError as error:
        raise _missing(folder.name) from error


def _write(folder: Path, facts: Facts) -> None:
    new = folder / f"{FACTS}.new"
    with new.open("wb") as file:
        file.write(orjson.dumps(asdict(facts)))
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / FACTS)
    for each in (folder, folder.parent):
        make_durable(each)


def _missing(upload_id: str) -> UploadNotFoundError:
    return UploadNotFoundError(f"no upload {upload_id[:64]} of yours", upload=upload_id[:64])
