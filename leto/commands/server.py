"""The node as a server: TIME ROLE LOLWUT DEBUG SHUTDOWN SAVE BGSAVE BGREWRITEAOF LASTSAVE WAIT.

See https://redis.io/commands/?group=server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

import leto
from leto.clients.outcomes import refusal
from leto.clients.runs import Run
from leto.clients.table import NO_REPLY, command
from leto.commands.info import split_address
from leto.commands.raft import snapshot_now
from leto.errors import NothingToSnapshot, StorageError
from leto.resp.codec import Request, encode
from leto.vocabulary.numbers import parse_integer
from leto.vocabulary.replies import NOT_AN_INTEGER, OK, SYNTAX_ERROR, Error, Reply, Status, Verbatim

if TYPE_CHECKING:
    from leto.clients.session import Session

log = Logger()

_ADMIN = "admin noscript loading stale"
_SAVING = "admin noscript no_async_loading"


@command(
    "TIME",
    1,
    "loading stale fast",
    group="server",
    since="2.6.0",
    summary="Return the current server time",
    tips="nondeterministic_output",
)
def time_(session: Session, argv: Request) -> Reply:
    microseconds = int(session.state.wall_clock() * 1e6)
    return [b"%d" % (microseconds // 1_000_000), b"%d" % (microseconds % 1_000_000)]


@command(
    "ROLE",
    1,
    "noscript loading stale fast",
    group="server",
    since="2.8.12",
    summary="Return the role of the instance in the context of replication",
    categories="admin dangerous",
)
def role(session: Session, argv: Request) -> Reply:
    """The leader as Redis's master, everyone else as its replica; offsets are log indexes."""
    status = session.state.replica.status()
    if status.role == "leader":
        replicas = []
        for member in status.members:
            if member.id != status.id and member.connected:
                host, port = split_address(member.client_address)
                replicas.append([host.encode(), b"%d" % port, b"%d" % member.match])
        return [b"master", status.commit, replicas]
    host, port = split_address(status.leader_address)
    link = b"connected" if status.leader_id and status.has_quorum else b"connect"
    return [b"slave", host.encode(), port, link, status.applied]


@command(
    "LOLWUT",
    -1,
    "readonly fast",
    group="server",
    since="5.0.0",
    summary="Display some computer art and the Redis version",
    complexity="",
    syntax="[VERSION version]",
    categories="read",
)
def lolwut(session: Session, argv: Request) -> Reply:
    """Leto bore the twins on Delos, a floating island: a picture of it, whatever the version."""
    if len(argv) > 2 and argv[1].upper() == b"VERSION" and parse_integer(argv[2]) is None:
        return NOT_AN_INTEGER
    rows = (
        "                .",
        "            .  / \\  .",
        "     ~  ~  / \\/   \\/ \\  ~   ~",
        "  ~ ~ ~~__/___________\\__~~ ~  ~",
        "~  ~  ~   ~  ~  ~  ~   ~   ~  ~",
    )
    return Verbatim(("\n".join(rows) + f"\nLeto ver. {leto.__version__}\n").encode())


# Ending and saving -----------------------------------------------------------------------------------


@command(
    "DEBUG",
    -2,
    "admin noscript loading stale",
    group="server",
    since="1.0.0",
    summary="A container for debugging commands",
    complexity="Depends on subcommand.",
)
def debug(session: Session, argv: Request) -> Reply:
    return Error(b"ERR DEBUG command not allowed: a node of Leto cannot be made to sleep, crash or reload by a client.")


@command(
    "SHUTDOWN",
    -1,
    "admin noscript loading stale no_multi allow_busy",
    group="server",
    since="1.0.0",
    summary="Hand over leadership, and stop this node",
    syntax="[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
)
def shutdown(session: Session, argv: Request) -> Reply:
    """Every acknowledged write is in the log already: SAVE and NOSAVE make no difference."""
    words = {word.upper() for word in argv[1:]}
    if words - {b"SAVE", b"NOSAVE", b"NOW", b"FORCE", b"ABORT"} or {b"SAVE", b"NOSAVE"} <= words:
        return SYNTAX_ERROR
    if b"ABORT" in words:
        return SYNTAX_ERROR if len(words) > 1 else Error(b"ERR No shutdown in progress.")
    log.info("{client} asks this node to shut down", client=session.identity.peer)
    session.state.shutdown()
    return NO_REPLY


@command(
    "SAVE",
    1,
    f"{_SAVING} no_multi",
    takes_time=True,
    group="server",
    since="1.0.0",
    summary="Compact this node's log into a snapshot, and wait for it",
    complexity="O(N) where N is the total number of keys in all databases",
)
def save(session: Session, argv: Request) -> Deferred[Reply]:
    def failed(failure: Failure) -> Reply:
        return OK if failure.check(NothingToSnapshot) else refusal(failure, False)

    return snapshot_now(session).addErrback(failed)


def _in_background(session: Session) -> None:
    def failed(failure: Failure) -> None:
        if failure.check(NothingToSnapshot, StorageError) is None:  # a failing disk is the node's end, and told as such
            log.failure("the snapshot that {client} asked for failed", failure, client=session.identity.peer)

    snapshot_now(session).addErrback(failed)


@command(
    "BGSAVE",
    -1,
    _SAVING,
    group="server",
    since="1.0.0",
    summary="Begin to compact this node's log into a snapshot",
    syntax="[SCHEDULE]",
)
def bgsave(session: Session, argv: Request) -> Reply:
    if len(argv) > 2 or (len(argv) == 2 and argv[1].upper() != b"SCHEDULE"):
        return SYNTAX_ERROR
    if session.state.replica.status().snapshot_in_progress:
        return Error(b"ERR Background save already in progress")
    _in_background(session)
    return Status(b"Background saving started")


@command(
    "BGREWRITEAOF",
    1,
    _SAVING,
    group="server",
    since="1.0.0",
    summary="Begin to compact this node's log into a snapshot",
)
def bgrewriteaof(session: Session, argv: Request) -> Reply:
    if session.state.replica.status().snapshot_in_progress:
        return Error(b"ERR Background append only file rewriting already in progress")
    _in_background(session)
    return Status(b"Background append only file rewriting started")


@command(
    "LASTSAVE",
    1,
    "loading stale fast",
    group="server",
    since="1.0.0",
    summary="Get the UNIX time stamp of the last snapshot that a client asked for",
    categories="admin dangerous",
    tips="nondeterministic_output",
)
def lastsave(session: Session, argv: Request) -> Reply:
    return session.state.last_save


# WAIT ---------------------------------------------------------------------------------------------


class WaitRun(Run):
    """WAIT: counts once this client's writes before it are resolved."""

    __slots__ = ("resp3", "session", "silent")

    def __init__(self, session: Session) -> None:
        super().__init__(0)
        self.session = session
        self.resp3 = session.queue.resp3
        self.silent = session.queue.silent

    def start(self) -> None:
        self.output = b"" if self.silent else encode(_others_that_hold_all(self.session), self.resp3)
        self.session.queue.proceed()


def _others_that_hold_all(session: Session) -> int:
    status = session.state.replica.status()
    at_once = sum(m.match >= status.applied for m in status.members if m.id != status.id and m.match)
    voters = sum(member.voter for member in status.configuration.members)
    return max(at_once, voters // 2)


def _wait_at_exec(session: Session, argv: Request) -> Reply:
    return _wrong_wait(argv) or _others_that_hold_all(session)


def _wrong_wait(argv: Request) -> Error | None:
    if parse_integer(argv[1]) is None:
        return NOT_AN_INTEGER
    timeout = parse_integer(argv[2])
    if timeout is None:
        return Error(b"ERR timeout is not an integer or out of range")
    return Error(b"ERR timeout is negative") if timeout < 0 else None


@command(
    "WAIT",
    3,
    "noscript",
    takes_time=True,
    at_exec=_wait_at_exec,
    group="generic",
    since="3.0.0",
    summary="Tell how many other members hold the writes that were acknowledged on this connection",
    syntax="numreplicas timeout",
    categories="connection",
    tips="request_policy:all_shards response_policy:agg_min",
)
def wait(session: Session, argv: Request) -> Reply | WaitRun:
    """Never waits longer than the writes before it: what is acknowledged is durable on a majority already.

    So the answer is at least the half of the voters that the leader is not counted in, whatever was asked for.
    """
    return _wrong_wait(argv) or WaitRun(session)
