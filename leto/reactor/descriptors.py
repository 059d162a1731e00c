"""File descriptors: how many the process may have, who may take how many, and what is kept for its files and peers.

A node that cannot open its next log file ends; one that cannot take its peers' connections leads no more. So clients
get what is left once these have theirs. Raising the limit, and lowering `maxclients` where it stays too low, is what
Redis does at start (adjustOpenFilesLimit); the lines are its own.
"""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass
from typing import Final

from leto.errors import ConfigError

FILES: Final = 64  # segments, snapshots written and sent, the log, nodes that are met, the reactor's own
PEERS: Final = 64  # members' connections, two each
STRANGERS: Final = 128  # connections to the peers' port that have not said yet who they are
ADMIN: Final = 32  # connections to the admin port
RESERVED: Final = FILES + PEERS + STRANGERS + ADMIN
_LEAST_CLIENTS: Final = 16


@dataclass(frozen=True, slots=True)
class Adjusted:
    """What came of asking for descriptors: the clients that there is room for, and lines for the log."""

    maxclients: int
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def limit() -> int:
    """How many descriptors the process may have open now; effectively without end where nothing limits it."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _finite(soft)


def adjust(maxclients: int) -> Adjusted:
    """Raise the limit as far as `maxclients` clients need it, or say how many there is room for.

    Raises ConfigError where there is hardly room for any.
    """
    before = limit()
    wanted = maxclients + RESERVED
    if before >= wanted:
        return Adjusted(maxclients)
    refused = _raise_to(wanted)
    now = limit()
    if now >= wanted:
        return Adjusted(
            maxclients,
            (f"Increased maximum number of open files to {wanted} (it was originally set to {before}).",),
        )
    room = now - RESERVED
    if room < _LEAST_CLIENTS:
        raise ConfigError(
            f"Your current 'ulimit -n' of {now} is not enough for the server to start. "
            f"Please increase your open file limit to at least {RESERVED + _LEAST_CLIENTS}. Exiting."
        )
    return Adjusted(
        room,
        (),
        (
            f"You requested maxclients of {maxclients} requiring at least {wanted} max file descriptors.",
            f"Server can't set maximum open files to {wanted} because of OS error: {refused}.",
            f"Current maximum open files is {now}. maxclients has been reduced to {room} to compensate for low "
            "ulimit. If you need higher maxclients increase 'ulimit -n'.",
        ),
    )


def _raise_to(wanted: int) -> str:
    """Raise the soft limit to `wanted`, or as far as it goes; why it goes no further, "" if it does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard if _finite(hard) >= wanted else wanted))
        return ""
    except (OSError, ValueError) as error:  # ValueError: not the superuser
        reason = getattr(error, "strerror", None) or "Operation not permitted"
    if _finite(hard) > _finite(soft):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return reason


def _finite(number: int) -> int:
    return (1 << 31) - 1 if number == resource.RLIM_INFINITY else number
