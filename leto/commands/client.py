"""CLIENT: who is connected, and what a connection may set of itself. See https://redis.io/commands/client/."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from leto.clients.table import NO_REPLY, command, container
from leto.commands.connection import BAD_NAME, is_name
from leto.resp.codec import Request
from leto.vocabulary.numbers import parse_integer
from leto.vocabulary.replies import OK, SYNTAX_ERROR, Error, Reply, Verbatim

if TYPE_CHECKING:
    from leto.clients.session import Session

_ANYONE = "noscript loading stale"
_ADMIN = "admin noscript loading stale"
_TYPES = {b"normal": True, b"master": False, b"replica": False, b"slave": False, b"pubsub": False}

container(
    "CLIENT",
    group="connection",
    since="2.4.0",
    summary="A container for client connection commands",
    help=(
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections. Options are:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made from the specified address",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made to specified local address",
        "    * ID <client-id>",
        "      Kill connections by client id.",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Kill connections by type.",
        "    * USER <username>",
        "      Kill connections authenticated by <username>.",
        "    * SKIPME (YES|NO)",
        "      Skip killing current connection (default: yes).",
        "LIST [options ...]",
        "    Return information about client connections. Options:",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Return clients of specified type.",
        "    * ID <client-id> [<client-id> ...]",
        "      Return clients of specified ids only.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "SETINFO <option> <value>",
        "    Set client meta attr. Options are:",
        "    * LIB-NAME: the client lib name.",
        "    * LIB-VER: the client lib version.",
        "NO-EVICT (ON|OFF)",
        "    Protect current client connection from eviction.",
        "NO-TOUCH (ON|OFF)",
        "    Will not touch LRU/LFU stats when this mode is on.",
    ),
)


def _client(
    name: str,
    arity: int,
    flags: str,
    since: str,
    summary: str,
    syntax: str = "",
    complexity: str = "O(1)",
    tips: str = "",
) -> Callable[[Callable[[Session, Request], Reply]], Callable[[Session, Request], Reply]]:
    return command(
        name,
        arity,
        flags,
        group="connection",
        parent="CLIENT",
        since=since,
        summary=summary,
        syntax=syntax,
        complexity=complexity,
        tips=tips,
    )


def _lines(sessions: list[Session]) -> Verbatim:
    return Verbatim("".join(session.describe() + "\n" for session in sessions).encode("latin-1"))


@_client("ID", 2, _ANYONE, "5.0.0", "Returns the client ID for the current connection")
def id_(session: Session, argv: Request) -> Reply:
    return session.identity.id


@_client(
    "INFO",
    2,
    _ANYONE,
    "6.2.0",
    "Returns information about the current client connection.",
    tips="nondeterministic_output",
)
def info(session: Session, argv: Request) -> Reply:
    return _lines([session])


@_client(
    "LIST",
    -2,
    _ADMIN,
    "2.4.0",
    "Get the list of client connections",
    "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
    "O(N) where N is the number of client connections",
    tips="nondeterministic_output",
)
def list_(session: Session, argv: Request) -> Reply:
    sessions = session.state.clients.by_id
    if len(argv) == 2:
        return _lines(list(sessions.values()))
    option = argv[2].upper()
    if option == b"TYPE" and len(argv) == 4:
        is_normal = _TYPES.get(argv[3].lower())
        if is_normal is None:
            return _unknown_type(argv[3])
        return _lines(list(sessions.values()) if is_normal else [])
    if option == b"ID" and len(argv) > 3:
        wanted = [parse_integer(text) for text in argv[3:]]
        if None in wanted:
            return Error(b"ERR Invalid client ID")
        return _lines([sessions[number] for number in wanted if number in sessions])
    return SYNTAX_ERROR


def _unknown_type(name: bytes) -> Error:
    return Error(b"ERR Unknown client type '%b'" % name)


@_client("GETNAME", 2, _ANYONE, "2.6.9", "Get the current connection name")
def getname(session: Session, argv: Request) -> Reply:
    return session.identity.name or None


@_client("SETNAME", 3, _ANYONE, "2.6.9", "Set the current connection name", "connection-name")
def setname(session: Session, argv: Request) -> Reply:
    if not is_name(argv[2]):
        return BAD_NAME
    session.identity.name = argv[2]
    return OK


@_client(
    "SETINFO",
    4,
    _ANYONE,
    "7.2.0",
    "Set client or connection specific info",
    "<LIB-NAME libname | LIB-VER libver>",
)
def setinfo(session: Session, argv: Request) -> Reply:
    option, value = argv[2].lower(), argv[3]
    if option not in (b"lib-name", b"lib-ver"):
        return Error(b"ERR Unrecognized option '%b'" % argv[2])
    if not is_name(value):
        return Error(b"ERR %b cannot contain spaces, newlines or special characters." % option)
    if option == b"lib-name":
        session.identity.library_name = value
    else:
        session.identity.library_version = value
    return OK


@_client(
    "KILL",
    -3,
    _ADMIN,
    "2.4.0",
    "Kill the connection of a client",
    "<ip:port | [ID client-id] [TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB>] [USER username] [ADDR ip:port]"
    " [LADDR ip:port] [SKIPME <YES | NO>] [MAXAGE maxage]>",
    "O(N) where N is the number of client connections",
)
def kill(session: Session, argv: Request) -> Reply:
    if len(argv) == 3:
        found = [
            other for other in session.state.clients if other.identity.peer.encode() == argv[2] and not other.closing
        ]
        if not found:
            return Error(b"ERR No such client")
        _kill(session, found)
        return OK
    chosen = _chosen(session, argv[2:])
    if isinstance(chosen, Error):
        return chosen
    _kill(session, chosen)
    return len(chosen)


def _kill(session: Session, victims: list[Session]) -> None:
    for victim in victims:
        if victim is session:
            session.queue.closing = True  # after this reply
        else:
            victim.kill()


def _matches(read: Callable[[Session], object], wanted: object) -> Callable[[Session], bool]:
    return lambda other: read(other) == wanted


def _older(born: float) -> Callable[[Session], bool]:
    return lambda other: other.identity.created <= born


def _chosen(session: Session, options: Request) -> list[Session] | Error:
    """The clients that every filter takes."""
    tests: list[Callable[[Session], bool]] = []
    skip_me = True
    if len(options) % 2:
        return SYNTAX_ERROR
    for option, value in zip(options[::2], options[1::2], strict=True):
        word = option.upper()
        if word == b"ID":
            number = parse_integer(value)
            if number is None or number <= 0:
                return Error(b"ERR client-id should be greater than 0")
            tests.append(_matches(lambda other: other.identity.id, number))
        elif word == b"TYPE":
            is_normal = _TYPES.get(value.lower())
            if is_normal is None:
                return _unknown_type(value)
            tests.append(_matches(lambda _: True, is_normal))
        elif word == b"ADDR":
            tests.append(_matches(lambda other: other.identity.peer.encode(), value))
        elif word == b"LADDR":
            tests.append(_matches(lambda other: other.identity.local.encode(), value))
        elif word == b"USER":
            if value != b"default":
                return Error(b"ERR No such user '%b'" % value)
            tests.append(_matches(lambda other: other.identity.authenticated, True))
        elif word == b"SKIPME" and value.lower() in (b"yes", b"no"):
            skip_me = value.lower() == b"yes"
        elif word == b"MAXAGE":
            age = parse_integer(value)
            if age is None:
                return Error(b"ERR maxage is not an integer or out of range")
            if age <= 0:
                return Error(b"ERR maxage should be greater than 0")
            tests.append(_older(session.state.reactor.seconds() - age))
        else:
            return SYNTAX_ERROR
    return [
        other
        for other in session.state.clients
        if all(test(other) for test in tests) and not other.closing and not (skip_me and other is session)
    ]


@_client(
    "REPLY",
    3,
    _ANYONE,
    "3.2.0",
    "Instruct the server whether to reply to commands",
    "<ON | OFF | SKIP>",
)
def reply(session: Session, argv: Request) -> Reply:
    mode = argv[2].upper()
    if mode == b"ON":
        session.reply_mode, session.queue.silent = "on", False
        return OK
    if mode == b"OFF":
        session.reply_mode = "off"
        return NO_REPLY
    if mode == b"SKIP":
        if session.reply_mode != "off":
            session.reply_mode = "skip"
        return NO_REPLY
    return SYNTAX_ERROR


def _on_or_off(word: bytes) -> bool | None:
    return {b"ON": True, b"OFF": False}.get(word.upper())


@_client("NO-EVICT", 3, _ADMIN, "7.0.0", "Set client eviction mode for the current connection", "<ON | OFF>")
def no_evict(session: Session, argv: Request) -> Reply:
    wanted = _on_or_off(argv[2])
    if wanted is None:
        return SYNTAX_ERROR
    session.no_evict = wanted
    return OK


@_client(
    "NO-TOUCH",
    3,
    _ANYONE,
    "7.2.0",
    "Controls whether commands sent by the client will alter the LRU/LFU of the keys they access",
    "<ON | OFF>",
)
def no_touch(session: Session, argv: Request) -> Reply:
    wanted = _on_or_off(argv[2])
    if wanted is None:
        return SYNTAX_ERROR
    session.no_touch = wanted
    return OK


@_client(
    "PAUSE",
    -3,
    _ADMIN,
    "2.9.50",
    "Stop processing commands from clients for some time",
    "timeout [WRITE | ALL]",
)
def pause(session: Session, argv: Request) -> Reply:
    pause_all = True
    if len(argv) == 4:
        mode = argv[3].upper()
        if mode not in (b"WRITE", b"ALL"):
            return Error(b"ERR CLIENT PAUSE mode must be WRITE or ALL")
        pause_all = mode == b"ALL"
    elif len(argv) > 4:
        return Error(b"ERR unknown subcommand or wrong number of arguments for '%b'. Try CLIENT HELP." % argv[1])
    timeout = parse_integer(argv[2])
    if timeout is None:
        return Error(b"ERR timeout is not an integer or out of range")
    if timeout < 0:
        return Error(b"ERR timeout is negative")
    session.state.pause.begin(timeout / 1000, pause_all)
    return OK


@_client(
    "UNPAUSE",
    2,
    _ADMIN,
    "6.2.0",
    "Resume processing of clients that were paused",
    complexity="O(N) Where N is the number of paused clients",
)
def unpause(session: Session, argv: Request) -> Reply:
    session.state.pause.end()
    return OK
