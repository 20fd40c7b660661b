"""What is needed of a place elsewhere that keeps content: a folder, S3, IPFS, a pinning service, another node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Usage:
    """What a place holds of ours, and what it may hold.

    Attributes:
        objects: how many; None: the place does not tell.
        used_bytes: None: the place does not tell.
        capacity_bytes: what fits in altogether; None: the place does not tell, or has no limit.
    """

    objects: int | None
    used_bytes: int | None
    capacity_bytes: int | None


@dataclass(slots=True)
class Progress:
    """How far a file is on its way to a place. Whoever stores it writes this, whoever waits may read it at any time.

    Attributes:
        done_bytes: that the place has taken, as far as is known; fewer than before where something is sent again.
        status: what the place says of it, where it fetches content by itself: queued, pinning.
    """

    done_bytes: int = 0
    status: str = ""


class RemoteStore(Protocol):
    """Whole files by CID, elsewhere. Every call may be made twice, and each has a time-out of its own.

    Raises, all of them:
        ServiceUnavailableError: it does not answer, or not now; the same call may succeed later.
        StorageRefusedError: it answers, and says no: wrong credentials, no such bucket, no room. A person has to act.
    """

    async def check(self) -> None:
        """Make sure that content can be stored, read back and removed."""

    async def present(self, cids: Iterable[str]) -> set[str]:
        """Return those of ``cids`` that are there."""

    def fetch(self, cid: str) -> AsyncIterator[bytes]:
        """Give the bytes, piece by piece. Whoever takes them checks that they hash to the CID.

        Raises:
            ContentNotFoundError: it is not there.
        """

    async def store(self, path: Path, cid: str, progress: Progress | None = None) -> str:
        """Store a file that hashes to ``cid``, durably, and return where it is, for people.

        Args:
            progress: is kept up to date meanwhile; stays at nothing where the content is there already.
        """

    async def remove(self, cid: str) -> None:
        """Remove content; what is not there is removed already."""

    async def usage(self) -> Usage:
        """Return how much is there."""

    async def close(self) -> None:
        """Let connections go."""
