"""Exit codes of all commands, and of the client that ``/download/client`` gives."""

from __future__ import annotations

import errno
import os
import sys

from artdag_common.errors import ArtdagError

DONE = 0
NOT_SO = 1
"""What was asked about is not so, or did not go well: a run failed, a file does not verify, something is wrong."""

WRONG_ARGUMENTS = 2
REFUSED = 3
"""The server refuses."""

SIGN_IN = 4
AWAY = 5
"""The server does not answer, or no system runs."""

NO_FILE = 6
"""A file cannot be read or written, or is in the way."""

INTERRUPTED = 130
"""By Ctrl-C, as shells have it."""


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""Of a disk, without the name of a file: of standard output, for example."""


def exit_code(error: ArtdagError) -> int:
    """Return the exit code for an error: its attribute ``exit_code``, where its kind has one."""
    return int(getattr(error, "exit_code", NOT_SO))


def failure(error: Exception) -> tuple[str, int] | None:
    """Return the sentence and the exit code for an error that people can do something about; None: it is a defect."""
    if isinstance(error, ArtdagError):
        hint = error.values.get("hint")
        return f"{error.message}\n  {hint}" if hint else error.message, exit_code(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}", NO_FILE
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return os.strerror(error.errno), NO_FILE
    if "artdag_client" not in sys.modules:  # else it is of no such kind
        return None
    from artdag_cli.client import failed
    from artdag_client import AddressError, ClientError, FileInTheWayError, RunFailedError, WrongContentError

    match error:
        case AddressError():
            return error.message, WRONG_ARGUMENTS
        case FileInTheWayError():
            return error.message, NO_FILE
        case RunFailedError() | WrongContentError():
            return error.message, NOT_SO
        case ClientError():
            return failure(failed(error))
    return None
