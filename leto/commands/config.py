"""CONFIG: the node's settings by Redis's names where Redis has one, else by Leto's options' names.

GET shows all but secrets of the cluster; SET changes what can change while the node runs, on this node only and
until it restarts; REWRITE writes what was changed into its file. See https://redis.io/commands/config/.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from leto.clients.state import ServerState
from leto.clients.table import command, container
from leto.commands.inert_settings import INERT, Unacceptable, number, size, switch
from leto.config import LONGEST_PASSWORD, OutputLimits, rewriting
from leto.config.kinds import Setting
from leto.config.limits import parse_output_limits
from leto.config.settings import OPTIONS, Option
from leto.errors import ConfigError
from leto.reactor import descriptors
from leto.reactor.aside import in_thread
from leto.resp.codec import Request
from leto.vocabulary.glob import PatternTooLong, compile_pattern
from leto.vocabulary.replies import OK, SYNTAX_ERROR, Error, Reply

if TYPE_CHECKING:
    from leto.clients.session import Session

log = Logger()

_ADMIN = "admin noscript loading stale"
_NO_FILE = Error(b"ERR The server is running without a config file")
_EACH = "O(N) when N is the number of configuration parameters provided"

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


def parameters(state: ServerState) -> dict[str, Any]:
    """Every parameter's value now, by name."""
    config = state.config
    shown: dict[str, Any] = {
        "bind": config.listen.host or "* -::*",
        "cluster-enabled": _yes(config.on_follower == "moved"),
        "databases": 1,
        "loglevel": {"info": "notice", "warn": "warning", "error": "warning"}.get(config.log_level, config.log_level),
        "port": config.listen.port,
        "requirepass": (state.settings.password or b"").decode("utf-8", "surrogateescape"),
    }
    for name, inert in INERT.items():
        shown[name] = state.settings.inert.get(inert.name, inert.default)
    for name, option in OPTIONS.items():
        if name not in shown:
            shown[name] = shown[option.of.redis or name] = _shown(option, state)
    return shown


def _shown(option: Option, state: ServerState) -> str:
    """Sizes in bytes, as Redis shows them; the rest as it is written."""
    value = attrgetter(_where(option))(state) if option.of.settable else getattr(state.config, option.field)
    if value is None:
        return ""
    return str(value) if option.of.kind == "size" or isinstance(value, OutputLimits) else option.of.show(value)


# What can be set -----------------------------------------------------------------------------------


_HELD_IN = {
    "client-output-buffer-limit": "settings.output_limits",
    "client-pending-bytes": "settings.pending_bytes",
    "client-query-buffer-limit": "settings.query_buffer_limit",
    "maxmemory-clients": "memory.limit",
    "slowlog-log-slower-than": "slowlog.threshold",
    "slowlog-max-len": "slowlog.length",
    "latency-monitor-threshold": "meter.threshold_ms",
    "timeout": "idle.timeout",
}
"""Where the running node keeps what CONFIG SET may change: attributes of its ServerState, the others of its
settings by their name."""


def _where(option: Option) -> str:
    return _HELD_IN.get(option.name, f"settings.{option.field}")


def _set(path: str) -> Callable[[ServerState, Any], None]:
    owner, _, attribute = path.rpartition(".")
    return lambda state, value: setattr(attrgetter(owner)(state) if owner else state, attribute, value)


def _parser(of: Setting) -> Callable[[bytes], Any]:
    low, high = int(of.least), int(of.most)
    return {"count": number(low, high), "number": number(low, high), "size": size(low, high), "switch": switch}[of.kind]


def _output_limits(text: bytes) -> Callable[[OutputLimits], OutputLimits]:
    """What becomes of the limits by that: classes that it does not name keep theirs."""
    words = text.decode("latin-1")
    try:
        parse_output_limits(words)
    except ValueError as error:
        raise Unacceptable(str(error)) from None
    return lambda limits: parse_output_limits(words, limits)


def _set_output_limits(state: ServerState, change: Callable[[OutputLimits], OutputLimits]) -> None:
    state.settings.output_limits = change(state.settings.output_limits)


def _clients_memory(text: bytes) -> int:
    if text.endswith(b"%"):
        raise Unacceptable("Leto holds no memory limit for its data that this could be a share of: give bytes")
    return size(0)(text)


def _set_password(state: ServerState, value: bytes | None) -> None:
    """From now on; who is connected stays, and without a password all are welcome."""
    state.settings.password = value
    if value is None:
        for session in state.clients:
            session.admit()


def _password(text: bytes) -> bytes | None:
    if len(text) > LONGEST_PASSWORD:
        raise Unacceptable(f"a password is {LONGEST_PASSWORD} bytes at most: AUTH takes no longer one")
    return text or None


def _clients_there_is_room_for(text: bytes) -> int:
    wanted = number(1, (1 << 32) - 1)(text)
    try:
        room = descriptors.adjust(wanted).maxclients
    except ConfigError:
        room = 0
    if room < wanted:
        raise Unacceptable(
            f"The operating system is not able to handle the specified number of clients, try with {room}"
        )
    return wanted


_PARSERS = {
    "client-output-buffer-limit": _output_limits,  # not of one of the kinds
    "maxclients": _clients_there_is_room_for,
    "maxmemory-clients": _clients_memory,
}
SETTABLE: dict[str, tuple[Callable[[bytes], Any], Callable[[ServerState, Any], None]]] = {
    name: (_PARSERS.get(name) or _parser(option.of), _set(_where(option)))
    for name, option in OPTIONS.items()
    if option.of.settable
} | {
    "client-output-buffer-limit": (_output_limits, _set_output_limits),
    "requirepass": (_password, _set_password),
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
    try:
        wanted = [compile_pattern(pattern, nocase=True).match for pattern in argv[2:]]
    except PatternTooLong as error:
        return Error(f"ERR {error}".encode())
    return {
        name.encode(): str(value).encode("utf-8", "surrogateescape")  # names of files are any bytes
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
    names: set[str] = set()
    changes: dict[str, Any] = {}
    for given, value in zip(argv[2::2], argv[3::2], strict=True):
        name = given.decode("latin-1").lower()
        if name not in known:
            return Error(b"ERR Unknown option or number of arguments for CONFIG SET - '%b'" % given)
        inert = INERT.get(name)
        if name in names:
            return _failed(name, "duplicate parameter")
        if inert is None and name not in SETTABLE:
            return _failed(name, "can't set immutable config")
        names.add(name)
        try:
            if inert is not None:
                changes[inert.name] = inert.parse(value)
            else:
                changes[name] = SETTABLE[name][0](value)
        except Unacceptable as reason:
            return _failed(name, str(reason))
    for name, value in changes.items():
        if name in INERT:
            state.settings.inert[name] = str(value)
        else:
            SETTABLE[name][1](state, value)
            state.settings.changed.add(name)
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


def _rewrite_at_exec(session: Session, argv: Request) -> Reply:
    """In a transaction it cannot be waited for."""
    state = session.state
    if state.config.config_file is None:
        return _NO_FILE
    found = _to_write(state)
    return found if isinstance(found, Error) else _told(_write(state.config.config_file, found), state, found)


@command(
    "REWRITE",
    2,
    _ADMIN,
    group="server",
    parent="CONFIG",
    since="2.8.0",
    summary="Rewrite the configuration file with the in memory configuration",
    takes_time=True,
    at_exec=_rewrite_at_exec,
)
def rewrite(session: Session, argv: Request) -> Reply | Deferred[Reply]:
    """The file is written beside the reactor's thread: a disk may take its time."""
    state = session.state
    if state.config.config_file is None:
        return _NO_FILE
    found = _to_write(state)
    if isinstance(found, Error):
        return found
    return in_thread(state.reactor, partial(_write, state.config.config_file, found)).addCallback(_told, state, found)


def _to_write(state: ServerState) -> dict[str, Any] | Error:
    """What CONFIG SET has changed, by the options' names."""
    settings = state.settings
    if "requirepass" in settings.changed:
        return _not_written(
            "the password was changed by CONFIG SET, and the file would not say so: write it to a requirepass-file"
        )
    return {name: attrgetter(_where(option))(state) for name, option in OPTIONS.items() if name in settings.changed}


def _write(path: str, changes: dict[str, Any]) -> str:
    """Why it could not be; "" once it is done."""
    try:
        rewriting.rewrite(path, changes)
    except OSError as error:
        return error.strerror or str(error)
    except (ConfigError, UnicodeDecodeError) as error:
        return str(error)
    return ""


def _told(reason: str, state: ServerState, written: dict[str, Any]) -> Reply:
    path = state.config.config_file
    if reason:
        log.warn("CONFIG REWRITE: {path} stays as it is: {reason}", path=path, reason=reason)
        return _not_written(reason)
    log.info("CONFIG REWRITE: {path} has {names}", path=path, names=", ".join(written) or "nothing new")
    hidden = sorted(state.config.given_beside_file.intersection(written))
    if hidden:
        log.warn(
            "CONFIG REWRITE: the command line or the environment gives {names} too, and has the last word at a start",
            names=", ".join(hidden),
        )
    if state.settings.inert:
        names = ", ".join(sorted(state.settings.inert))
        log.info("CONFIG REWRITE: not in {path}, since they steer nothing: {names}", path=path, names=names)
    return OK


def _not_written(reason: str) -> Error:
    return Error(f"ERR Rewriting config file: {reason}".encode())
