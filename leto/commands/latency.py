"""LATENCY: what of Redis's diagnostics has a meaning in a node of Leto. See https://redis.io/commands/latency/."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from leto.clients.table import F, command, container
from leto.reactor.stalls import Event
from leto.resp.codec import Request
from leto.vocabulary.replies import Error, Reply, Verbatim

if TYPE_CHECKING:
    from leto.clients.session import Session

_ADMIN = "admin noscript loading stale"
GRAPH_COLUMNS = 60

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


def _latency(
    name: str, arity: int, since: str, summary: str, syntax: str = "", tips: str = _DIAGNOSIS
) -> Callable[[F], F]:
    return command(
        name, arity, _ADMIN, group="server", parent="LATENCY", since=since, summary=summary, syntax=syntax, tips=tips
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


@_latency("LATEST", 2, "2.8.13", "Return the latest latency samples for all events.")
def latency_latest(session: Session, argv: Request) -> Reply:
    """Event, when it last took long, how long then, the longest of all; milliseconds, as Redis has it."""
    return [
        [name.encode(), event.samples[-1][0], _ms(event.samples[-1][1]), _ms(event.longest)]
        for name, event in session.state.meter.events.items()
    ]


@_latency("HISTORY", 3, "2.8.13", "Return timestamp-latency samples for the event.", "event")
def latency_history(session: Session, argv: Request) -> Reply:
    event = _event(session, argv[2])
    return [[at, _ms(seconds)] for at, seconds in event.samples] if event is not None else []


def _event(session: Session, name: bytes) -> Event | None:
    return session.state.meter.events.get(name.decode("utf-8", "replace"))


@_latency("RESET", -2, "2.8.13", "Reset latency data for one or more events.", "[event [event ...]]")
def latency_reset(session: Session, argv: Request) -> Reply:
    """How many events there were. Without names the meter of INFO stalls begins anew as well."""
    meter = session.state.meter
    if len(argv) > 2:
        return meter.reset_events(name.decode("utf-8", "replace") for name in argv[2:])
    count = meter.reset_events()
    meter.reset()
    return count


@_latency("DOCTOR", 2, "2.8.13", "Return a human readable latency analysis report.")
def latency_doctor(session: Session, argv: Request) -> Reply:
    meter = session.state.meter
    lines = [
        f"The reactor was away from its sockets and timers for at most {meter.longest * 1000:.1f} ms, and "
        f"{meter.stalls} times for more than 20 ms, since the start or LATENCY RESET. INFO stalls has the worst.",
        *(
            f"- {name}: {len(event.samples)} seconds with one of at least {_ms(meter.threshold)} ms, the longest "
            f"{_ms(event.longest)} ms"
            for name, event in meter.events.items()
        ),
        "See also SLOWLOG GET and INFO commandstats.",
    ]
    return Verbatim("".join(f"{line}\n" for line in lines).encode())


@_latency("GRAPH", 3, "2.8.13", "Return a latency graph for the event.", "event")
def latency_graph(session: Session, argv: Request) -> Reply:
    """A bar a sample, the oldest first."""
    event = _event(session, argv[2])
    if event is None:
        return Error(b"ERR No samples available for event '%b'" % argv[2])
    now = int(session.state.wall_clock())
    lines = [f"{argv[2].decode()} - high {_ms(event.longest)} ms, low {_ms(min(s for _, s in event.samples))} ms"]
    for at, seconds in event.samples:
        bar = "#" * max(1, round(seconds / event.longest * GRAPH_COLUMNS))
        lines.append(f"{now - at:>7} s ago {_ms(seconds):>6} ms {bar}")
    return Verbatim("".join(f"{line}\n" for line in lines).encode())


@_latency(
    "HISTOGRAM",
    -2,
    "7.0.0",
    "Return the cumulative distribution of latencies of a subset of commands or all.",
    "[command [command ...]]",
)
def latency_histogram(session: Session, argv: Request) -> Reply:
    """Calls by the time they took, cumulative: bounds are powers of two, in microseconds. What was quicker than
    table.QUICK is one bucket: a clock finer than that would cost quick commands a part of their speed. CONFIG RESETSTAT
    begins anew."""
    table = session.state.table
    asked = list(table.all())
    if len(argv) > 2:
        found = [known for name in argv[2:] if (known := table.find_path(name.lower())) is not None]
        asked = [each for known in found for each in (known, *known.subcommands.values())]
    return {
        known.full_name.encode(): {b"calls": known.calls, b"histogram_usec": dict(known.histogram())}
        for known in asked
        if known.calls
    }
