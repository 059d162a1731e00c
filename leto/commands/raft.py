"""The cluster's own commands: JOIN, LEAVE, SNAPSHOT as the original Leto has them, and RAFT for the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from leto.clients.outcomes import refusal
from leto.clients.table import command, container
from leto.config import Address, is_server_id
from leto.errors import NothingToSnapshot, NotLeader, UnknownMember
from leto.interfaces.replica import PeerStatus
from leto.raft.messages import SnapshotMeta
from leto.resp.codec import Request
from leto.vocabulary.replies import OK, SYNTAX_ERROR, Error, Reply

if TYPE_CHECKING:
    from leto.clients.session import Session

_ADMIN = "admin noscript"
_LONGEST_ID = 255
_INCARNATION = re.compile(rb"[A-Za-z0-9_-]{0,64}").fullmatch  # 32 hexadecimal digits, by leto.process.service


def resolve_host(address: Address, seen: str) -> Address:
    """`address` as others can dial it: without a host, or with an unspecified one, the host it was `seen` from."""
    host = address.host
    if host:
        try:
            if not ip_address(host.partition("%")[0]).is_unspecified:
                return address
        except ValueError:
            return address  # a host name: kept, and resolved at every dial
    return Address(seen, address.port)


def _address(text: bytes, seen: str, option: str = "--advertise") -> Address | Error:
    """What others can dial. `option`: the node's own that sets it."""
    try:
        address = Address.parse(text.decode())
        if address.is_unspecified and not address.takes(seen):
            return Error(
                f"ERR {address} cannot be reached at {seen}, where this request came from: "
                f"start the node with {option}, or bind it to an address of the other family".encode()
            )
        return resolve_host(address, seen)
    except UnicodeDecodeError:
        return Error(b"ERR an address must be UTF-8 text")
    except ValueError as error:
        return Error(f"ERR {error}".encode())


def _server_id(text: bytes) -> str | Error:
    try:
        server_id = text.decode()
    except UnicodeDecodeError:
        return Error(b"ERR a server id must be UTF-8 text")
    if not server_id or len(text) > _LONGEST_ID or not server_id.isprintable() or "/" in server_id:
        return Error(b"ERR a server id is 1 to 255 bytes of printable text without a slash")
    return server_id


def _new_server_id(text: bytes) -> str | Error:
    """The id of a node to take in: one that a node can be started with, and that peers let in."""
    server_id = _server_id(text)
    if isinstance(server_id, str) and not is_server_id(server_id):
        return Error(b"ERR a server id is 1 to 128 letters, digits and _ . : @ - (the first a letter, a digit or _)")
    return server_id


def _not_leader(failure: Failure) -> Error:
    """`-node is not the leader`, followed by the leader's client address where it is known."""
    error = failure.value
    if isinstance(error, NotLeader):
        words = "node is not the leader"
        return Error(f"{words} {error.leader_address}".encode() if error.leader_address else words.encode())
    return refusal(failure, True)


def _done(change: Deferred[Any]) -> Deferred[Reply]:
    return change.addCallbacks(lambda _: OK, _not_leader)


@command(
    "JOIN",
    -3,
    _ADMIN,
    takes_time=True,
    group="cluster",
    since="1.0.0",
    summary="Add the node that asks to the cluster, or move a known one to a new address",
    syntax="raft-address server-id [client-address] [incarnation]",
)
def join(session: Session, argv: Request) -> Reply | Deferred[Reply]:
    """JOIN raftaddr id [client-address [incarnation]]: a learner that becomes a voter once it has caught up. A known
    id stays what it is."""
    if len(argv) > 5:
        return SYNTAX_ERROR
    address = _address(argv[1], session.identity.peer_host)
    server_id = _new_server_id(argv[2])
    client_address: Address | Error | str = ""
    if len(argv) > 3 and argv[3]:
        client_address = _address(argv[3], session.identity.peer_host, "--advertise-client")
    for value in (address, server_id, client_address):
        if isinstance(value, Error):
            return value
    if len(argv) > 4 and _INCARNATION(argv[4]) is None:
        return Error(b"ERR an incarnation is at most 64 letters, digits, _ and -")
    incarnation = argv[4].decode("ascii") if len(argv) > 4 else ""
    return _done(
        session.state.replica.add_member(
            str(server_id),
            str(address),
            voter=None,
            client_address=str(client_address),
            reached_at=session.identity.local_host,
            incarnation=incarnation,
        )
    )


@command(
    "LEAVE",
    2,
    _ADMIN,
    takes_time=True,
    group="cluster",
    since="1.0.0",
    summary="Remove a node",
    syntax="server-id",
)
def leave(session: Session, argv: Request) -> Reply | Deferred[Reply]:
    server_id = _server_id(argv[1])
    if isinstance(server_id, Error):
        return server_id
    change = session.state.replica.remove_member(server_id)
    if session.queue.compat_leto:
        change.addErrback(lambda failure: failure.trap(UnknownMember) and None)
    return _done(change)


def snapshot_now(session: Session) -> Deferred[Reply]:
    """Snapshot and compact this node's log."""

    def taken(meta: SnapshotMeta) -> Reply:
        session.state.last_save = int(session.state.wall_clock())
        return OK

    return session.state.replica.snapshot().addCallback(taken)


@command(
    "SNAPSHOT",
    1,
    _ADMIN,
    takes_time=True,
    group="cluster",
    since="1.0.0",
    summary="Compact this node's log into a snapshot",
    complexity="O(N) where N is the number of keys",
)
def snapshot(session: Session, argv: Request) -> Deferred[Reply]:
    def failed(failure: Failure) -> Reply:
        if failure.check(NothingToSnapshot):
            return Error(b"nothing new to snapshot")
        return refusal(failure, False)

    return snapshot_now(session).addErrback(failed)


# RAFT ---------------------------------------------------------------------------------------------

container(
    "RAFT",
    group="cluster",
    since="1.0.0",
    summary="A container for the commands of the Raft cluster",
    help=(
        "STATUS",
        "    Return what this node and every other member tell of themselves, as JSON.",
        "LEADER",
        "    Return the leader's id and client address, or nil when none is known.",
        "MEMBERS",
        "    Return id, role, peer address and client address of every member.",
        "ADD <id> <address> [LEARNER]",
        "    Add a node; it votes once it has caught up, or never as a LEARNER.",
        "MOVE <id> <address> [<client-address> [<incarnation>]]",
        "    Tell that a member is at another address now; it must be there already.",
        "REMOVE <id>",
        "    Remove a node.",
        "PROMOTE <id>",
        "    Make a learner a voter.",
        "DEMOTE <id>",
        "    Make a voter a learner.",
        "TRANSFER [<id>]",
        "    Hand leadership to that voter, or to the most caught-up one; returns its id.",
        "SNAPSHOT",
        "    Compact this node's log into a snapshot.",
    ),
)


def _raft(name: str, arity: int, summary: str, syntax: str = "", *, at_once: bool = False) -> Callable[[Any], Any]:
    return command(
        name,
        arity,
        "noscript" if at_once else _ADMIN,
        takes_time=not at_once,
        group="cluster",
        parent="RAFT",
        since="1.0.0",
        summary=summary,
        syntax=syntax,
    )


@_raft("STATUS", 2, "Return what every member tells of itself, as JSON")
def raft_status(session: Session, argv: Request) -> Deferred[Reply]:
    """The JSON text of Replica.cluster_status(), the same in RESP2 and RESP3."""
    asked = session.state.replica.cluster_status()
    return asked.addCallback(lambda status: json.dumps(status, sort_keys=True).encode())


@_raft("LEADER", 2, "Return the leader's id and client address", at_once=True)
def raft_leader(session: Session, argv: Request) -> Reply:
    status = session.state.replica.status()
    if not status.leader_id:
        return None
    return [status.leader_id.encode(), status.leader_address.encode()]


@_raft("MEMBERS", 2, "Return the members of the cluster", at_once=True)
def raft_members(session: Session, argv: Request) -> Reply:
    return [_member(member) for member in session.state.replica.status().members]


def _member(member: PeerStatus) -> dict[bytes, Reply]:
    return {
        b"id": member.id.encode(),
        b"role": member.role.encode(),
        b"address": member.address.encode(),
        b"client_address": member.client_address.encode(),
    }


@_raft("ADD", -4, "Add a node", "server-id address [LEARNER]")
def raft_add(session: Session, argv: Request) -> Reply | Deferred[Reply]:
    if len(argv) > 5 or (len(argv) == 5 and argv[4].upper() != b"LEARNER"):
        return SYNTAX_ERROR
    server_id = _new_server_id(argv[2])
    if isinstance(server_id, Error):
        return server_id
    address = _address(argv[3], session.identity.peer_host)
    if isinstance(address, Error):
        return address
    replica = session.state.replica
    return _done(
        replica.add_member(server_id, str(address), voter=len(argv) == 4, reached_at=session.identity.local_host)
    )


def _change(session: Session, argv: Request, change: Callable[[str], Deferred[None]]) -> Reply | Deferred[Reply]:
    server_id = _server_id(argv[2])
    return server_id if isinstance(server_id, Error) else _done(change(server_id))


@_raft("MOVE", -4, "Move a member to another address", "server-id address [client-address] [incarnation]")
def raft_move(session: Session, argv: Request) -> Reply | Deferred[Reply]:
    if len(argv) > 6:
        return SYNTAX_ERROR
    server_id, address = _server_id(argv[2]), _address(argv[3], session.identity.peer_host)
    client: Address | Error | str = ""
    if len(argv) > 4 and argv[4]:
        client = _address(argv[4], session.identity.peer_host, "--advertise-client")
    for value in (server_id, address, client):
        if isinstance(value, Error):
            return value
    incarnation = argv[5].decode("ascii", "replace") if len(argv) > 5 else None
    return _done(
        session.state.replica.move_member(
            str(server_id), str(address), client_address=str(client), incarnation=incarnation
        )
    )


@_raft("REMOVE", 3, "Remove a node", "server-id")
def raft_remove(session: Session, argv: Request) -> Reply | Deferred[Reply]:
    return _change(session, argv, session.state.replica.remove_member)


@_raft("PROMOTE", 3, "Make a learner a voter", "server-id")
def raft_promote(session: Session, argv: Request) -> Reply | Deferred[Reply]:
    return _change(session, argv, session.state.replica.promote)


@_raft("DEMOTE", 3, "Make a voter a learner", "server-id")
def raft_demote(session: Session, argv: Request) -> Reply | Deferred[Reply]:
    return _change(session, argv, session.state.replica.demote)


@_raft("TRANSFER", -2, "Hand leadership to another voter", "[server-id]")
def raft_transfer(session: Session, argv: Request) -> Reply | Deferred[Reply]:
    if len(argv) > 3:
        return SYNTAX_ERROR
    target = None
    if len(argv) == 3:
        chosen = _server_id(argv[2])
        if isinstance(chosen, Error):
            return chosen
        target = chosen
    return session.state.replica.transfer(target).addCallbacks(lambda server_id: server_id.encode(), _not_leader)


@_raft("SNAPSHOT", 2, "Compact this node's log into a snapshot")
def raft_snapshot(session: Session, argv: Request) -> Deferred[Reply]:
    return snapshot(session, argv)
