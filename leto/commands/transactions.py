"""MULTI EXEC DISCARD WATCH UNWATCH. See https://redis.io/docs/interact/transactions/."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from leto.clients.runs import Run
from leto.clients.table import F, command
from leto.clients.transaction import Transaction, Watch, WatchRun, exec_run
from leto.resp.codec import Request
from leto.vocabulary.replies import OK, Error, Reply

if TYPE_CHECKING:
    from leto.clients.session import Session

ABORTED = Error(b"EXECABORT Transaction discarded because of previous errors.")


def _command(name: str, arity: int, since: str, summary: str, **facts: Any) -> Callable[[F], F]:
    return command(
        name,
        arity,
        "noscript loading stale fast allow_busy",
        group="transactions",
        since=since,
        summary=summary,
        categories="transaction",
        **facts,
    )


@_command("MULTI", 1, "1.2.0", "Mark the start of a transaction block")
def multi(session: Session, argv: Request) -> Reply:
    if session.transaction is not None:
        return Error(b"ERR MULTI calls can not be nested")
    session.transaction = Transaction()
    return OK


@_command(
    "DISCARD",
    1,
    "2.0.0",
    "Discard all commands issued after MULTI",
    complexity="O(N), when N is the number of queued commands",
)
def discard(session: Session, argv: Request) -> Reply:
    if session.transaction is None:
        return Error(b"ERR DISCARD without MULTI")
    session.transaction = None
    session.watch = Watch()
    return OK


@command(
    "EXEC",
    1,
    "noscript loading stale skip_slowlog",
    group="transactions",
    since="1.2.0",
    summary="Execute all commands issued after MULTI",
    complexity="Depends on commands in the transaction",
    categories="transaction",
)
def exec_(session: Session, argv: Request) -> Reply | Run:
    transaction = session.transaction
    if transaction is None:
        return Error(b"ERR EXEC without MULTI")
    watch, session.watch = session.watch, Watch()
    session.transaction = None
    if transaction.failed:
        return ABORTED
    if transaction.has_local:
        session.queue.blocked = "exec"  # it may change how what follows is answered (HELLO, READONLY)
    return exec_run(session.queue, session.carry_out, argv, transaction, watch)


@_command(
    "WATCH",
    -2,
    "2.2.0",
    "Watch the given keys to determine execution of the MULTI/EXEC block",
    keys=(1, -1, 1),
    complexity="O(1) for every key.",
    syntax="key [key ...]",
    key_flags="RO",
)
def watch(session: Session, argv: Request) -> Reply | Run:
    if session.transaction is not None:
        return Error(b"ERR WATCH inside MULTI is not allowed")
    return WatchRun(session.queue, argv, session.watch)


@_command("UNWATCH", 1, "2.2.0", "Forget about all watched keys")
def unwatch(session: Session, argv: Request) -> Reply:
    session.watch = Watch()
    return OK
