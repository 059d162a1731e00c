"""LATENCY and MEMORY: what of Redis's diagnostics has a meaning in a node of Leto.

See https://redis.io/commands/latency/ and https://redis.io/commands/memory/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from leto.keyspace.numbers import parse_integer
from leto.keyspace.replies import NOT_AN_INTEGER, SYNTAX_ERROR, Error, Reply, Verbatim
from leto.keyspace.values import size
from leto.resp.codec import Request
from leto.resp.info import peak_bytes, resident_bytes
from leto.resp.table import command, container

if TYPE_CHECKING:
    from leto.resp.session import Session

_ADMIN = "admin noscript loading stale"

container(
    "LATENCY",
    group="server",
    since="2.8.13",
    summary="A container for latency diagnostics commands",
    help=(
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "GRAPH <event>",
        "    Return an ASCII latency graph for the <event> class.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        "    Return a cumulative distribution of latencies in the format of a histogram for the specified"
        " command names.",
        "    If no commands are specified then all histograms are replied.",
    ),
)


_DIAGNOSIS = "nondeterministic_output request_policy:all_nodes response_policy:special"


def _latency(name: str, arity: int, since: str, summary: str, syntax: str = "", tips: str = _DIAGNOSIS) -> Any:
    return command(
        name, arity, _ADMIN, group="server", parent="LATENCY", since=since, summary=summary, syntax=syntax, tips=tips
    )


@_latency("LATEST", 2, "2.8.13", "Return the latest latency samples for all events.")
def latency_latest(session: Session, argv: Request) -> Reply:
    """Leto keeps no latency events: the slow log and the metrics tell more."""
    return []


@_latency("HISTORY", 3, "2.8.13", "Return timestamp-latency samples for the event.", "event")
def latency_history(session: Session, argv: Request) -> Reply:
    return []


@_latency("RESET", -2, "2.8.13", "Reset latency data for one or more events.", "[event [event ...]]")
def latency_reset(session: Session, argv: Request) -> Reply:
    return 0


@_latency("DOCTOR", 2, "2.8.13", "Return a human readable latency analysis report.")
def latency_doctor(session: Session, argv: Request) -> Reply:
    return Verbatim(
        b"Leto samples no latency events. Look at SLOWLOG GET, at INFO commandstats, and at the reactor's lateness"
        b" among the metrics of --admin-listen.\n"
    )


@_latency("GRAPH", 3, "2.8.13", "Return a latency graph for the event.", "event")
def latency_graph(session: Session, argv: Request) -> Reply:
    return Error(b"ERR No samples available for event '%b'" % argv[2])


@_latency(
    "HISTOGRAM",
    -2,
    "7.0.0",
    "Return the cumulative distribution of latencies of a subset of commands or all.",
    "[command [command ...]]",
)
def latency_histogram(session: Session, argv: Request) -> Reply:
    return {}


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
    record = session.state.replica.machine.database.find(key)  # type: ignore[attr-defined]
    return None if record is None else size(key, record)


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
    machine: Any = session.state.replica.machine

    def look(clock_ms: int) -> Reply:
        machine.database.now = max(clock_ms, machine.time_ms)
        return _size_of(session, argv[2])

    return session.state.replica.read().addCallback(look)


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
    sessions = session.state.sessions.values()
    keys = session.state.replica.machine.query((b"DBSIZE",), 0)
    used = resident_bytes()
    return {
        b"peak.allocated": max(peak_bytes(), used),
        b"total.allocated": used,
        b"clients.normal": sum(s.reader.buffered + s.pending_bytes + s.output.unsent for s in sessions),
        b"keys.count": keys,
        b"keys.bytes-per-key": used // keys if keys else 0,
    }
