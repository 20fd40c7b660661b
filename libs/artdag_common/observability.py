"""Logs by structlog: pretty on a terminal, JSON otherwise. Libraries' own go the same way."""

from __future__ import annotations

import logging
import re
import socket
import sys
from collections.abc import Mapping
from typing import Any

import structlog

from artdag_common import tracing
from artdag_common.config import Settings
from artdag_common.version import VERSION

SECRET = re.compile(
    r"""(?ix)
    (?P<before> \b(?:bearer|basic)\s+ )[\w.~+/=-]{8,}
    | (?P<name> [?&][\w-]{0,40}(?:token|signature|credential|secret|password|key)= )[^&\s"'\\]+
    | (?P<scheme> \b[a-z][a-z0-9+.-]{0,20}:// )[^\s/@:"'\\]*:[^\s/@"'\\]+(?=@)
    """
)
"""What no line of a log shows, whoever writes it: credentials of HTTP, of signed URLs, and in URLs before the host."""

HIDDEN = "(hidden)"


def is_pretty(settings: Settings) -> bool:
    """Return whether logs are for people who look on, and not for programs."""
    return settings.log_format == "pretty" or (settings.log_format == "auto" and sys.stderr.isatty())


def configure_logging(settings: Settings, service: str) -> None:
    """Set up logging for a process."""
    pretty = is_pretty(settings)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    of_all: Mapping[str, str] = {"service": service}
    if not pretty:
        of_all = {"service": service, "host": socket.gethostname(), "version": VERSION}

    def add_process(_: object, __: str, line: dict[str, Any]) -> dict[str, Any]:
        for name, value in of_all.items():
            line.setdefault(name, value)
        return line

    common: list[Any] = [
        _add_subject if pretty else tracing.add_ids,
        add_process,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        *([] if pretty else [structlog.processors.format_exc_info]),
    ]
    rendered: list[Any] = [structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer(), _hide]
    structlog.configure(
        processors=[*common, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    before = [structlog.stdlib.add_logger_name, *common]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[meta, *rendered], foreign_pre_chain=before))
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def _add_subject(_: object, __: str, line: dict[str, Any]) -> dict[str, Any]:
    for name, value in tracing.ids().items():
        line.setdefault(name, value)
    return line


def _hide(_: object, __: str, line: str) -> str:
    return hide(line)


def hide(line: str) -> str:
    """Return a line without what looks like a credential."""
    return SECRET.sub(lambda found: f"{found['before'] or found['name'] or found['scheme']}{HIDDEN}", line)
