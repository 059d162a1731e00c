"""SLOWLOG: the commands that took long. See https://redis.io/commands/slowlog-get/."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leto.clients.table import command, container
from leto.resp.codec import Request
from leto.vocabulary.numbers import parse_integer
from leto.vocabulary.replies import OK, Error, Reply

if TYPE_CHECKING:
    from leto.clients.session import Session

_ADMIN = "admin loading stale"
_EVERY_NODE = "request_policy:all_nodes"

container(
    "SLOWLOG",
    group="server",
    since="2.2.12",
    summary="A container for slow log commands",
    help=(
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
    ),
)


@command(
    "GET",
    -2,
    _ADMIN,
    group="server",
    parent="SLOWLOG",
    since="2.2.12",
    summary="Get the slow log's entries",
    complexity="O(N) where N is the number of entries returned",
    syntax="[count]",
    tips=f"{_EVERY_NODE} nondeterministic_output",
)
def get(session: Session, argv: Request) -> Reply:
    count = 10
    if len(argv) > 3:
        return Error(b"ERR unknown subcommand or wrong number of arguments for '%b'. Try SLOWLOG HELP." % argv[1])
    if len(argv) == 3:
        given = parse_integer(argv[2])
        if given is None or given < -1:
            return Error(b"ERR count should be greater than or equal to -1")
        count = given
    return [
        [
            entry.number,
            entry.at,
            entry.microseconds,
            list(entry.arguments),
            entry.client_address.encode(),
            entry.client_name,
        ]
        for entry in session.state.slowlog.newest(count)
    ]


@command(
    "LEN",
    2,
    _ADMIN,
    group="server",
    parent="SLOWLOG",
    since="2.2.12",
    summary="Get the slow log's length",
    tips=f"{_EVERY_NODE} response_policy:agg_sum nondeterministic_output",
)
def len_(session: Session, argv: Request) -> Reply:
    return len(session.state.slowlog)


@command(
    "RESET",
    2,
    _ADMIN,
    group="server",
    parent="SLOWLOG",
    since="2.2.12",
    summary="Clear all entries from the slow log",
    complexity="O(N) where N is the number of entries in the slowlog",
    tips=f"{_EVERY_NODE} response_policy:all_succeeded",
)
def reset(session: Session, argv: Request) -> Reply:
    session.state.slowlog.clear()
    return OK
