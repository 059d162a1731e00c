"""CONFIG: the node's settings by Redis's names where Redis has one, else by Leto's options' names.

GET shows all but secrets of the cluster; SET changes what can change while the node runs, on this node only and
until it restarts. See https://redis.io/commands/config/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from leto.keyspace.glob import compile_pattern
from leto.keyspace.numbers import parse_integer
from leto.keyspace.replies import OK, SYNTAX_ERROR, Error, Reply
from leto.resp.codec import Request
from leto.resp.state import ServerState
from leto.resp.table import command, container

if TYPE_CHECKING:
    from leto.resp.session import Session

_ADMIN = "admin noscript loading stale"
_EACH = "O(N) when N is the number of configuration parameters provided"
_UNITS = {b"": 1, b"b": 1, b"k": 1000, b"kb": 1 << 10, b"m": 10**6, b"mb": 1 << 20, b"g": 10**9, b"gb": 1 << 30}

container(
    "CONFIG",
    group="server",
    since="2.0.0",
    summary="A container for server configuration commands",
    help=(
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
    ),
)


# What can be read ------------------------------------------------------------------------------


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def parameters(state: ServerState) -> dict[str, Any]:
    """Every parameter's value now, by name."""
    config = state.config
    return {
        # Redis's names
        "appendfsync": config.fsync,
        "appendonly": "yes",
        "bind": config.listen.host or "* -::*",
        "cluster-enabled": _yes(config.on_follower == "moved"),
        "databases": 1,
        "dir": config.raftdir,
        "latency-monitor-threshold": _milliseconds(state.meter.threshold),
        "lazyfree-lazy-user-del": "no",
        "logfile": config.log_file or "",
        "loglevel": {"info": "notice", "warn": "warning", "error": "warning"}.get(config.log_level, config.log_level),
        "maxclients": state.maxclients,
        "maxmemory": 0,
        "maxmemory-policy": "noeviction",
        "port": config.listen.port,
        "protected-mode": _yes(state.protected_mode),
        "proto-max-bulk-len": config.max_bulk_bytes,
        "requirepass": state.password.decode("utf-8", "replace") if state.password else "",
        "save": "",
        "slowlog-log-slower-than": state.slowlog.threshold,
        "slowlog-max-len": state.slowlog.length,
        "tcp-keepalive": 300,
        "timeout": 0,
        # Leto's
        "admin-listen": config.admin_listen or "",
        "advertise": config.advertise or "",
        "advertise-client": config.advertise_client or "",
        "client-output-bytes": state.output_bytes,
        "client-pending-bytes": state.pending_bytes,
        "compat": config.compat,
        "election-timeout-ms": _milliseconds(config.election_timeout),
        "flush": config.flush,
        "fsync": config.fsync,
        "heartbeat-ms": _milliseconds(config.heartbeat_interval),
        "id": config.id,
        "join": config.join or "",
        "listen": config.listen,
        "max-batch-bytes": config.max_batch_bytes,
        "max-bulk-bytes": config.max_bulk_bytes,
        "max-uncommitted-bytes": config.max_uncommitted_bytes,
        "on-follower": config.on_follower,
        "on-removed": config.on_removed,
        "raftbind": config.raftbind,
        "raftdir": config.raftdir,
        "read-timeout-ms": _milliseconds(config.read_timeout),
        "reads": config.reads,
        "segment-bytes": config.segment_bytes,
        "snapshot-bytes": config.snapshot_bytes,
        "snapshot-entries": config.snapshot_entries,
        "snapshot-rate": config.snapshot_rate,
        "trailing-entries": config.trailing_entries,
        "write-timeout-ms": _milliseconds(config.write_timeout),
    }


# What can be set -----------------------------------------------------------------------------------


class Unacceptable(Exception):
    """Why a value is not taken, in Redis's words."""


def _number(low: int, high: int) -> Callable[[bytes], int]:
    def parse(text: bytes) -> int:
        value = parse_integer(text)
        if value is None:
            raise Unacceptable("argument couldn't be parsed into an integer")
        return _within(value, low, high)

    return parse


def _size(low: int) -> Callable[[bytes], int]:
    def parse(text: bytes) -> int:
        digits = text.rstrip(b"bkmgBKMG")
        unit = _UNITS.get(text[len(digits) :].lower())
        value = parse_integer(digits)
        if value is None or value < 0 or unit is None:
            raise Unacceptable("argument must be a memory value")
        return _within(value * unit, low, (1 << 63) - 1)

    return parse


def _within(value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise Unacceptable(f"argument must be between {low} and {high} inclusive")
    return value


def _switch(text: bytes) -> bool:
    if text.lower() not in (b"yes", b"no"):
        raise Unacceptable("argument must be 'yes' or 'no'")
    return text.lower() == b"yes"


def _set(attribute: str) -> Callable[[ServerState, Any], None]:
    return lambda state, value: setattr(state, attribute, value)


def _set_threshold(state: ServerState, value: int) -> None:
    state.slowlog.threshold = value


def _set_latency_threshold(state: ServerState, milliseconds: int) -> None:
    state.meter.threshold = milliseconds / 1000


def _set_password(state: ServerState, value: bytes | None) -> None:
    """From now on; who is connected stays, and without a password all are welcome."""
    state.password = value
    if value is None:
        for session in state.sessions.values():
            session.reader.authenticated = True


_INT64 = (1 << 63) - 1
SETTABLE: dict[str, tuple[Callable[[bytes], Any], Callable[[ServerState, Any], None]]] = {
    "client-output-bytes": (_size(1 << 16), _set("output_bytes")),
    "client-pending-bytes": (_size(1 << 16), _set("pending_bytes")),
    "latency-monitor-threshold": (_number(0, _INT64), _set_latency_threshold),
    "maxclients": (_number(1, (1 << 32) - 1), _set("maxclients")),
    "protected-mode": (_switch, _set("protected_mode")),
    "requirepass": (lambda text: text or None, _set_password),
    "slowlog-log-slower-than": (_number(-1, _INT64), _set_threshold),
    "slowlog-max-len": (_number(0, _INT64), lambda state, value: state.slowlog.resize(value)),
}


@command(
    "GET",
    -3,
    _ADMIN,
    group="server",
    parent="CONFIG",
    since="2.0.0",
    summary="Get the values of configuration parameters",
    complexity=_EACH,
    syntax="parameter [parameter ...]",
)
def get(session: Session, argv: Request) -> Reply:
    wanted = [compile_pattern(pattern.lower()) for pattern in argv[2:]]
    return {
        name.encode(): str(value).encode()
        for name, value in parameters(session.state).items()
        if any(matches(name.encode()) for matches in wanted)
    }


@command(
    "SET",
    -4,
    _ADMIN,
    group="server",
    parent="CONFIG",
    since="2.0.0",
    summary="Set configuration parameters to the given values",
    complexity=_EACH,
    syntax="parameter value [parameter value ...]",
    tips="request_policy:all_nodes response_policy:all_succeeded",
)
def set_(session: Session, argv: Request) -> Reply:
    """All of them or none."""
    if len(argv) % 2:
        return SYNTAX_ERROR
    state = session.state
    known = parameters(state)
    changes: dict[str, Any] = {}
    for given, value in zip(argv[2::2], argv[3::2], strict=True):
        name = given.decode("latin-1").lower()
        if name not in known:
            return Error(b"ERR Unknown option or number of arguments for CONFIG SET - '%b'" % given)
        if name in changes:
            return _failed(name, "duplicate parameter")
        if name not in SETTABLE:
            return _failed(name, "can't set immutable config")
        try:
            changes[name] = SETTABLE[name][0](value)
        except Unacceptable as reason:
            return _failed(name, str(reason))
    for name, value in changes.items():
        SETTABLE[name][1](state, value)
    return OK


def _failed(name: str, reason: str) -> Error:
    return Error(f"ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}".encode())


@command(
    "RESETSTAT",
    2,
    _ADMIN,
    group="server",
    parent="CONFIG",
    since="2.0.0",
    summary="Reset the stats returned by INFO",
)
def resetstat(session: Session, argv: Request) -> Reply:
    session.state.reset_statistics()
    return OK


@command(
    "REWRITE",
    2,
    _ADMIN,
    group="server",
    parent="CONFIG",
    since="2.8.0",
    summary="Rewrite the configuration file with the in memory configuration",
)
def rewrite(session: Session, argv: Request) -> Reply:
    if session.state.config.config_file is None:
        return Error(b"ERR The server is running without a config file")
    return Error(b"ERR Rewriting config file: Leto never writes to its config file; edit it and restart the node")
