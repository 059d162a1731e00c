"""MEMORY: see https://redis.io/commands/memory/."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from leto.clients.table import command, container
from leto.commands.info import peak_bytes, resident_bytes
from leto.resp.codec import Request
from leto.vocabulary.numbers import parse_integer
from leto.vocabulary.replies import NOT_AN_INTEGER, SYNTAX_ERROR, Error, Reply, Verbatim

if TYPE_CHECKING:
    from leto.clients.session import Session

container(
    "MEMORY",
    group="server",
    since="4.0.0",
    summary="A container for memory diagnostics commands",
    help=(
        "DOCTOR",
        "    Return memory problems reports.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Nested values are",
        "    sampled up to <count> times (default: 5, 0 means sample all).",
    ),
)


def _memory_usage_at_exec(session: Session, argv: Request) -> Reply:
    return _wrong_usage(argv) or _size_of(session, argv[2])


def _wrong_usage(argv: Request) -> Error | None:
    if len(argv) not in (3, 5):
        return SYNTAX_ERROR
    if len(argv) == 5:
        if argv[3].upper() != b"SAMPLES":
            return SYNTAX_ERROR
        samples = parse_integer(argv[4])
        if samples is None:
            return NOT_AN_INTEGER
        if samples < 0:
            return SYNTAX_ERROR
    return None


def _size_of(session: Session, key: bytes) -> int | None:
    return session.state.replica.machine.size_of(key)


@command(
    "USAGE",
    -3,
    "readonly",
    takes_time=True,
    at_exec=_memory_usage_at_exec,
    keys=(2, 2, 1),
    key_flags="RO",
    group="server",
    parent="MEMORY",
    since="4.0.0",
    summary="Estimate the memory usage of a key",
    complexity="O(N) where N is the number of samples.",
    syntax="key [SAMPLES count]",
    categories="read",
)
def memory_usage(session: Session, argv: Request) -> Reply | Deferred[Reply]:
    """An estimate; SAMPLES is checked and has no effect, since every size is known."""
    wrong = _wrong_usage(argv)
    if wrong is not None:
        return wrong
    replica = session.state.replica
    return replica.read().addCallback(lambda clock_ms: replica.machine.size_of(argv[2], clock_ms))


@command(
    "DOCTOR",
    2,
    "",
    group="server",
    parent="MEMORY",
    since="4.0.0",
    summary="Outputs memory problems report",
    tips="nondeterministic_output request_policy:all_shards response_policy:special",
)
def memory_doctor(session: Session, argv: Request) -> Reply:
    return Verbatim(b"Sam, I can't find any memory issue in this node: Leto leaves memory to Python and the kernel.\n")


@command(
    "STATS",
    2,
    "",
    group="server",
    parent="MEMORY",
    since="4.0.0",
    summary="Show memory usage details",
    tips="nondeterministic_output request_policy:all_shards response_policy:special",
)
def memory_stats(session: Session, argv: Request) -> Reply:
    sessions = session.state.clients
    keys = session.state.replica.machine.query((b"DBSIZE",), 0)
    used = resident_bytes()
    return {
        b"peak.allocated": max(peak_bytes(), used),
        b"total.allocated": used,
        b"clients.normal": sum(other.kept_bytes for other in sessions),
        b"keys.count": keys,
        b"keys.bytes-per-key": used // keys if keys else 0,
    }
