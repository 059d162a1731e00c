"""Priorities for the systemd journal: it reads `<N>` in front of each line that a service writes to stderr."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

# syslog's numbers (sd-daemon(3)), by the names of Twisted's log levels
PRIORITIES: Final[Mapping[str, int]] = {"debug": 7, "info": 6, "warn": 4, "error": 3, "critical": 2}


def reads(descriptor: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether what is written there goes to the journal: $JOURNAL_STREAM names it (systemd.exec(5))."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


def prefixed(text: str, level: str) -> str:
    """Every line of `text` with the priority of `level`."""
    mark = f"<{PRIORITIES.get(level, 6)}>"
    return "".join(f"{mark}{line}" for line in text.splitlines(keepends=True))
