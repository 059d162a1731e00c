"""The connection's own commands: PING ECHO QUIT RESET SELECT HELLO AUTH READONLY READWRITE.

See https://redis.io/commands/?group=connection. There is one database, and one user: default.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from leto.clients.table import CONNECTION, command
from leto.resp.codec import Request
from leto.vocabulary.numbers import parse_integer
from leto.vocabulary.registry import wrong_arity
from leto.vocabulary.replies import NOT_AN_INTEGER, OK, PONG, SYNTAX_ERROR, Error, Reply, Status

if TYPE_CHECKING:
    from leto.clients.session import Session

REDIS_VERSION = "7.0.15"  # whose protocol and commands these are

BAD_NAME = Error(b"ERR Client names cannot contain spaces, newlines or special characters.")
WRONG_PASSWORD = Error(b"WRONGPASS invalid username-password pair or user is disabled.")
NO_PASSWORD = Error(
    b"ERR AUTH <password> called without any password configured for the default user."
    b" Are you sure your configuration is correct?"
)
HELLO_NO_AUTH = Error(
    b"NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user>"
    b" <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
)
_FAST = "noscript loading stale fast no_auth allow_busy"


@command(
    "PING",
    -1,
    "fast",
    group="connection",
    since="1.0.0",
    summary="Ping the server",
    syntax="[message]",
    tips="request_policy:all_shards response_policy:all_succeeded",
)
def ping(session: Session, argv: Request) -> Reply:
    if session.queue.compat_leto or len(argv) == 1:
        return PONG
    if len(argv) > 2:
        return wrong_arity(CONNECTION[b"PING"])
    return argv[1]


@command(
    "ECHO",
    2,
    "loading stale fast",
    group="connection",
    since="1.0.0",
    summary="Echo the given string",
    syntax="message",
)
def echo(session: Session, argv: Request) -> Reply:
    return argv[1]


@command("QUIT", -1, _FAST, group="connection", since="1.0.0", summary="Close the connection")
def quit_(session: Session, argv: Request) -> Reply:
    session.queue.closing = True
    return OK


@command("RESET", 1, _FAST, group="connection", since="6.2.0", summary="Reset the connection")
def reset(session: Session, argv: Request) -> Reply:
    """As if the client had just connected."""
    session.reset()
    return Status(b"RESET")


@command(
    "SELECT",
    2,
    "loading stale fast",
    group="connection",
    since="1.0.0",
    summary="Change the selected database for the current connection",
    syntax="index",
)
def select(session: Session, argv: Request) -> Reply:
    index = parse_integer(argv[1])
    if index is None:
        return NOT_AN_INTEGER
    return OK if index == 0 else Error(b"ERR DB index is out of range")


def when_admitted(session: Session, go_on: Callable[[], Reply]) -> Reply | Deferred[Reply]:
    """Go on with a request that holds a password: at once, or later where its address guesses (leto.clients.guard)."""
    guard = session.state.guard
    seconds = 0.0 if session.identity.authenticated else guard.delay(session.identity.peer_host)
    if not seconds:
        return go_on()
    return guard.wait(session.identity.id, session.identity.peer_host, seconds).addCallback(lambda _: go_on())


def authenticate(session: Session, user: bytes, password: bytes) -> Error | None:
    """Let the client in, or say why not. How long it takes tells nothing about the password."""
    state = session.state
    wanted = state.settings.password
    if user != b"default" or (wanted is not None and not compare_digest(_digest(password), _digest(wanted))):
        state.counters.authentication_failures += 1
        state.guard.failed(session.identity.peer_host)
        return WRONG_PASSWORD
    session.admit()
    return None


def _digest(password: bytes) -> bytes:
    """As long for every password: else the time of the comparison tells how long the right one is."""
    return sha256(password).digest()


@command(
    "AUTH",
    -2,
    _FAST,
    group="connection",
    since="1.0.0",
    summary="Authenticate to the server",
    complexity="O(N) where N is the number of passwords defined for the user",
    syntax="[username] password",
)
def auth(session: Session, argv: Request) -> Reply | Deferred[Reply]:
    if len(argv) > 3:
        return SYNTAX_ERROR
    if len(argv) == 2 and session.state.settings.password is None:
        return NO_PASSWORD
    user = argv[1] if len(argv) == 3 else b"default"
    return when_admitted(session, lambda: authenticate(session, user, argv[-1]) or OK)


@command(
    "HELLO",
    -1,
    _FAST,
    group="connection",
    since="6.0.0",
    summary="Handshake with Redis",
    syntax="[protover [AUTH username password] [SETNAME clientname]]",
)
def hello(session: Session, argv: Request) -> Reply | Deferred[Reply]:
    version = None
    if len(argv) > 1:
        version = parse_integer(argv[1])
        if version is None:
            return Error(b"ERR Protocol version is not an integer or out of range")
        if version not in (2, 3):
            return Error(b"NOPROTO unsupported protocol version")
    credentials: tuple[bytes, bytes] | None = None
    name: bytes | None = None
    at = 2
    while at < len(argv):
        option, more = argv[at].upper(), len(argv) - 1 - at
        if option == b"AUTH" and more >= 2:
            credentials = argv[at + 1], argv[at + 2]
            at += 3
        elif option == b"SETNAME" and more >= 1:
            name = argv[at + 1]
            if not is_name(name):
                return BAD_NAME
            at += 2
        else:
            return Error(b"ERR Syntax error in HELLO option '%b'" % argv[at])
    if credentials is None:
        return _welcome(session, version, name)
    user, password = credentials
    return when_admitted(session, lambda: authenticate(session, user, password) or _welcome(session, version, name))


def _welcome(session: Session, version: int | None, name: bytes | None) -> Reply:
    """HELLO's answer, once the password is right if there was one."""
    if not session.identity.authenticated:
        return HELLO_NO_AUTH
    if name is not None:
        session.identity.name = name
    if version is not None:
        session.queue.resp3 = version == 3
    return {
        b"server": b"redis",
        b"version": REDIS_VERSION.encode(),
        b"proto": 3 if session.queue.resp3 else 2,
        b"id": session.identity.id,
        b"mode": b"cluster" if session.state.config.on_follower == "moved" else b"standalone",
        b"role": b"master" if session.state.replica.is_leader else b"replica",
        b"modules": [],
    }


def is_name(name: bytes) -> bool:
    """Whether a client may be called so: printable ASCII without spaces, as CLIENT LIST needs it."""
    return all(33 <= byte <= 126 for byte in name)


@command(
    "READONLY",
    1,
    "loading stale fast",
    group="cluster",
    since="3.0.0",
    summary="Let this connection's reads be answered from this node's state alone, possibly stale",
    categories="connection",
)
def readonly(session: Session, argv: Request) -> Reply:
    session.queue.readonly = True
    return OK


@command(
    "READWRITE",
    1,
    "loading stale fast",
    group="cluster",
    since="3.0.0",
    summary="Undo READONLY: this connection's reads are linearizable again",
    categories="connection",
)
def readwrite(session: Session, argv: Request) -> Reply:
    session.queue.readonly = False
    return OK
