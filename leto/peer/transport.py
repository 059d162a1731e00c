"""Peers' connections over TCP: who is connected to whom, and what that means to the replica.

One connection each way between two nodes: each dials the other. What a node sends goes over the connection that it
dialled; what it hears comes over the one that it accepted, whose peer has proved who it is.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from secrets import token_bytes
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, gatherResults, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from leto.config import Address
from leto.errors import ProtocolError
from leto.interfaces.store import Identity
from leto.interfaces.transport import Claim, PeerListener
from leto.peer.accepted import AcceptedConnection, AcceptorFactory
from leto.peer.connection import Limits, PeerConnection
from leto.peer.dialled import DialledConnection
from leto.peer.frames import MAX_MESSAGE_BYTES
from leto.peer.greetings import Hello, Refusal, RefusalCode, Vouch, Vouched
from leto.peer.handshake import (
    AcceptorHandshake,
    DiallerHandshake,
    Introduction,
    Session,
    admission,
    level_refusal,
    protection,
)
from leto.peer.links import Connector, Link, tcp_connector
from leto.peer.meeting import meet
from leto.peer.origins import dial_back_address, is_loopback, plain
from leto.peer.reports import Reports
from leto.peer.strangers import Strangers
from leto.peer.vouching import Vouching
from leto.raft.messages import InstallSnapshot, Message
from leto.reactor.descriptors import STRANGERS
from leto.reactor.listening import Listener
from leto.reactor.notices import Notices
from leto.reactor.sockets import SocketReaders

_ACCEPTS: Final = 16  # connections taken in one turn: so that each can say who it is before too many others come
_TO: Final = attrgetter("to")
_STOP_SECONDS: Final = 1.0  # how long stop() waits for connections to close in order


class TcpTransport:
    """leto.interfaces.transport.Transport over TCP. Durations are seconds, sizes are bytes.

    `advertised` and `client_address` are asked at every handshake: what this node wants to be dialled at, host
    possibly empty ("where I come from"), and where its clients connect ("" when unknown). `confirm_peers`: without a
    secret nobody is let in whom the member at its own address does not vouch for (leto.peer.vouching). `level` is what
    this node understands, `release` the version of Leto that it is. `on_claim` is told of members of other clusters
    that take this node for theirs.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        identity: Identity,
        bind: Address,
        advertised: Callable[[], str],
        client_address: Callable[[], str] = lambda: "",
        secret: bytes | None = None,
        heartbeat_interval: float = 0.1,
        election_timeout: float = 0.8,
        protected_mode: bool = True,
        queue_bytes: int = 32 << 20,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_unauthenticated: int = STRANGERS,
        handshake_timeout: float = 5.0,
        confirm_peers: bool = True,
        level: int = 1,
        release: str = "",
        on_claim: Callable[[Claim], object] = lambda claim: None,
        connector: Connector | None = None,
        readers: SocketReaders | None = None,
        random: Callable[[], float] = random_module.random,
        nonce: Callable[[int], bytes] = token_bytes,
        log: Logger | None = None,
    ) -> None:
        self.listener: PeerListener | None = None
        self.readers = readers
        self.bind = bind
        self._reactor = reactor
        self._identity = identity
        self._advertised = advertised
        self._client_address = client_address
        self._secret = secret
        self._election_timeout = election_timeout
        protected = protected_mode and secret is None and not is_loopback(bind.host)
        self._barred = protection(identity.server_id) if protected else None
        self._limits = Limits(queue_bytes, max_message_bytes, max(1.0, 2 * election_timeout, 4 * heartbeat_interval))
        self._handshake_timeout = handshake_timeout
        self._connector = connector or tcp_connector(reactor)
        self._on_claim = on_claim
        self._confirms = confirm_peers and secret is None
        self._vouching = Vouching(reactor, identity, self._connector, self._connect_timeout, lambda: self._peers)
        self._random = random
        self._nonce = nonce
        self._instance = nonce(16)
        self._level, self._release = level, release
        self._notices = Notices(log or Logger(namespace="leto.peer"), reactor.seconds)
        self._reports = Reports(self._notices, lambda peer: peer in self._peers)
        self._links: dict[str, Link] = {}
        self._peers: Mapping[str, str] = {}
        self._incoming: dict[str, AcceptedConnection] = {}
        self._strangers: Strangers[AcceptedConnection] = Strangers(max_unauthenticated, self._is_members_host)
        self._hosts: dict[str, str] = {}  # peer -> where a connection with it came from or went to last
        self._connections: set[PeerConnection] = set()
        self._client_addresses: dict[str, str] = {}
        self._told: dict[str, tuple[int, str]] = {}  # peer -> level, release
        self._listening: Listener | None = None
        self._tick_call: Any = None
        self._ticked_at = 0.0
        self._stopped: Deferred[None] | None = None
        self.factory = AcceptorFactory(self.acceptor)

    # Transport ------------------------------------------------------------------------------------

    def listen(self, listening: Listener | None = None) -> None:
        """Accept peers' connections, on sockets that are bound already or on `bind`.

        Raises ConfigError with one clear line if the port is in use or the address is not this host's.
        """
        self._listening = listening if listening is not None else Listener.bind(self.bind, "raftbind")
        self.bind = self._listening.address
        self._listening.serve(self._reactor, self.factory, accepts=_ACCEPTS)

    def start(self, listener: PeerListener) -> None:
        """Talk and listen on behalf of `listener`. Connections that came before are refused (they come again).
        Called again with the same one, it does nothing."""
        if self.listener is not None or self._stopped is not None:
            return
        self.listener = listener
        self._ticked_at = self._reactor.seconds()
        self._tick_call = self._reactor.callLater(self._tick_seconds, self._tick)
        for link in self._links.values():
            link.redial()

    def set_peers(self, addresses: Mapping[str, str]) -> None:
        """server id -> host:port. Peers left out are disconnected, unless they know a newer configuration than this
        node (it lags) or this node has none. An address without a host waits for the peer to say where it is."""
        self._peers = {peer: address for peer, address in addresses.items() if peer != self._identity.server_id}
        if self.listener is None:
            for peer, address in self._peers.items():
                self._link(peer).configured = address
            return
        for peer, address in self._peers.items():
            self._link(peer).move(configured=address)
        for connection in list(self._incoming.values()):
            refusal = self._judge(connection.session) if connection.session is not None else None
            if refusal is not None:
                connection.refuse(refusal)
        for peer in [peer for peer in self._hosts if peer not in self._peers]:
            del self._hosts[peer]
        for peer in [peer for peer in self._links if peer not in self._peers]:
            self._links[peer].configured = ""
            if peer not in self._incoming or self._incoming[peer].is_over:
                self._unlink(peer)

    def send(self, messages: Iterable[Message]) -> None:
        """Queue and send. What a peer's queue cannot take, or what has no connection, is dropped.

        Raises ValueError for an InstallSnapshot (leto.replica.catchup streams snapshots).
        """
        pending = messages if type(messages) is list else list(messages)
        is_one_each = len(set(map(_TO, pending))) == len(pending)
        touched: dict[str, DialledConnection] = {}
        for message in pending:
            if type(message) is InstallSnapshot:
                raise ValueError("InstallSnapshot is not sent: leto.replica.catchup streams the snapshot")
            link = self._links.get(message.to)
            connection = link.connection if link is not None else None
            if connection is not None and is_one_each:
                connection.send_message(message)
            elif connection is not None:
                connection.put_message(message)
                touched[message.to] = connection
        for connection in touched.values():
            connection.flush()

    def request(self, server_id: str, body: bytes, timeout: float) -> Deferred[bytes]:
        """Fires with the answer. Errbacks with ConnectionError (RequestFailed: the peer says why) or TimeoutError."""
        link = self._links.get(server_id)
        if link is None or link.connection is None:
            return fail(ConnectionError(f"no connection to {server_id}"))
        return link.connection.request(body, timeout)

    def meet(self, server_id: str, address: str, incarnation: str | None, timeout: float) -> Deferred[int]:
        """See leto.interfaces.transport.Transport."""
        handshake = DiallerHandshake(self._introduction(), server_id, self._secret, self._nonce(32), only_asks=True)
        return meet(self._reactor, self._connector, Address.parse(address), handshake, incarnation, timeout)

    def is_connected(self, server_id: str) -> bool:
        """Whether our connection to that peer is up."""
        link = self._links.get(server_id)
        return link is not None and link.connection is not None

    def reached_at(self, server_id: str) -> str:
        """See leto.interfaces.transport.Transport."""
        link = self._links.get(server_id)
        return link.reached_at if link is not None and link.connection is not None else ""

    def client_address(self, server_id: str) -> str:
        """What that peer said last, "" when unknown."""
        return self._client_addresses.get(server_id, "")

    def level_of(self, server_id: str) -> int:
        """What a connected peer understands, 0 for another."""
        return self._told[server_id][0] if self.is_connected(server_id) else 0

    def release_of(self, server_id: str) -> str:
        """The version of Leto that peer said last, "" when unknown."""
        return self._told.get(server_id, (0, ""))[1]

    def stop(self) -> Deferred[None]:
        """Close everything; fires when all connections are closed. The listener hears nothing more."""
        if self._stopped is not None:
            return succeed(None)
        self.listener = None
        emptied: Deferred[None] = Deferred()
        self._stopped = emptied
        waits: list[Deferred[Any]] = [emptied]
        if self._tick_call is not None:
            self._tick_call.cancel()
            self._tick_call = None
        if self._listening is not None:
            waits.append(maybeDeferred(self._listening.close))
        for peer in list(self._links):
            self._unlink(peer)
        for connection in list(self._connections):
            connection.close()
        if self._connections:
            impatience = self._reactor.callLater(_STOP_SECONDS, self._abort_all)
            emptied.addCallback(lambda _: impatience.active() and impatience.cancel())
        else:
            emptied.callback(None)
        return gatherResults(waits, consumeErrors=True).addCallback(lambda _: None)

    # What is going on, for status pages and tests -----------------------------------------------------

    def incoming(self) -> frozenset[str]:
        """Peers whose connection to us is up."""
        return frozenset(self._incoming)

    def dropped(self, server_id: str) -> int:
        """Messages to that peer that did not fit its queue, on the connection that is up."""
        link = self._links.get(server_id)
        return 0 if link is None or link.connection is None else link.connection.dropped

    def queued_bytes(self, server_id: str) -> int:
        """Bytes that wait for that peer."""
        link = self._links.get(server_id)
        return 0 if link is None or link.connection is None else link.connection.queued_bytes

    # Connections' side (connection.Owner) ------------------------------------------------------------------

    def acceptor(self) -> AcceptedConnection:
        """The protocol of a connection that comes."""
        return AcceptedConnection(self, self._limits, self._identity.server_id)

    def accepted(self, connection: AcceptedConnection) -> None:
        """Somebody connected."""
        if self._stopped is not None:
            connection.abort()
            return
        self._connections.add(connection)
        barred = self._barred if not is_loopback(connection.remote_host) else None
        if self.listener is None:
            barred = Refusal(RefusalCode.STARTING, f"node {self._identity.server_id!r} is starting")
        connection.handshake = AcceptorHandshake(
            self._introduction(),
            self._secret,
            self._nonce(32),
            lambda hello: self._admit(connection, hello),
            barred,
            self._confirms,
        )
        connection.opened_at = self._reactor.seconds()
        self._drop(self._strangers.add(connection, connection.remote_host))

    def _drop(self, victim: AcceptedConnection | None) -> None:
        if victim is not None:
            self._reports.crowd(victim)
            victim.abort()

    def greeted(self, connection: AcceptedConnection) -> None:
        """A connection that came has said who it is; it may have to prove it yet."""
        self._drop(self._strangers.spoke(connection))

    def confirm(self, connection: AcceptedConnection, hello: Hello) -> Deferred[str]:
        """Whether it is who it says: fires with "", or why that is not known."""
        admitted = self.listener is not None and self.listener.admits(hello.server_id, hello.incarnation)
        return self._vouching.confirm(hello, connection.remote_host, admitted)

    def vouch(self, question: Vouch) -> Vouched:
        """What this node knows of a connection that another was asked for, or of a member."""
        ours = [connection for connection in self._connections if isinstance(connection, DialledConnection)]
        return self._vouching.answer(question, self.listener if self._secret is None else None, ours)

    def dialled(self, connection: DialledConnection) -> None:
        """One of our links connected."""
        self._connections.add(connection)
        connection.opened_at = self._reactor.seconds()

    def established(self, connection: PeerConnection, session: Session) -> None:
        """A handshake is complete."""
        peer = session.server_id
        listener = self.listener
        self._told[peer] = session.level, session.release
        if session.client_address or peer not in self._client_addresses:
            self._client_addresses[peer] = session.client_address
        if peer in self._peers:
            self._hosts[peer] = plain(connection.remote_host)
        if isinstance(connection, DialledConnection):
            link = self._links.get(peer)
            if link is None or listener is None:
                connection.abort()
                return
            link.established(connection)
            self._notices.forget("refused", peer)
            self._notices.info(("up", peer), "connected to {peer} at {address}", peer=peer, address=connection.remote)
            listener.peer_connected(peer)
        elif isinstance(connection, AcceptedConnection):
            self._strangers.discard(connection)
            before = self._incoming.get(peer)
            self._incoming[peer] = connection
            if before is not None:
                before.abort()
            learned = dial_back_address(session.address, connection.remote_host)
            link = self._link(peer)
            link.move(configured=self._peers.get(peer, ""), learned=learned)
            link.kick()

    def refused(self, connection: PeerConnection, refusal: Refusal) -> None:
        """A handshake ended in a refusal, ours or the other side's."""
        peer = ""
        if isinstance(connection, DialledConnection):
            peer = connection.server_id
        elif isinstance(connection, AcceptedConnection) and connection.handshake is not None:
            peer = connection.handshake.claimed_id
        if self._stopped is not None or refusal.code == RefusalCode.MET:
            return
        if isinstance(connection, AcceptedConnection) and connection.claim is not None:
            self._on_claim(connection.claim)
        self._reports.refused(connection, peer, refusal)
        if isinstance(connection, DialledConnection) and peer in self._links:
            self._links[peer].refused(refusal)
            leaves_out = refusal.code == RefusalCode.UNKNOWN_MEMBER and refusal.by_peer and refusal.proved
            if leaves_out and self.listener is not None:
                self.listener.removed_by(peer, refusal.configuration_index)

    def broken(self, connection: PeerConnection, error: ProtocolError) -> None:
        """The other side sent what no node of this protocol sends."""
        self._reports.broken(connection, error)

    def failed(self, connection: PeerConnection, failure: Failure) -> None:
        """A request from a peer ended in an error that is this node's own fault."""
        self._reports.failed(connection, failure)

    def oversized(self, connection: DialledConnection, size: int) -> None:
        """An append that no peer takes was not sent."""
        self._reports.oversized(connection, size, self._limits.max_message_bytes)

    def closed(self, connection: PeerConnection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        if self._stopped is not None:
            if not self._connections and not self._stopped.called:
                self._stopped.callback(None)
            return
        listener = self.listener
        session = connection.session
        if isinstance(connection, DialledConnection):
            link = self._links.get(connection.server_id)
            mine = link is not None and link.connection is connection
            if link is not None:
                link.lost(connection)
            if session is not None and (mine or link is None) and listener is not None:
                peer = session.server_id
                if self._notices.info(("lost", peer), "lost the connection to {peer}", peer=peer):
                    self._notices.forget("up", peer)  # that it is back will be news
                listener.peer_disconnected(session.server_id)
        elif isinstance(connection, AcceptedConnection):
            self._strangers.discard(connection)
            if session is None or self._incoming.get(session.server_id) is not connection:
                return
            peer = session.server_id
            del self._incoming[peer]
            if peer not in self._peers and peer in self._links:
                self._unlink(peer)
            if listener is not None:
                listener.peer_disconnected(peer)

    # Private ---------------------------------------------------------------------------------------------

    @property
    def _tick_seconds(self) -> float:
        return self._election_timeout / 2

    @property
    def _connect_timeout(self) -> float:
        return max(0.5, self._election_timeout)

    def _is_members_host(self, host: str) -> bool:
        named = (address.rpartition(":")[0].strip("[]") for address in self._peers.values())
        return host in named or any(self._hosts.get(peer) == host for peer in self._peers)

    def _introduction(self) -> Introduction:
        listener = self.listener
        return Introduction(
            self._identity.cluster_id,
            self._identity.server_id,
            self._instance,
            self._advertised(),
            self._client_address(),
            0 if listener is None else listener.configuration_index,
            self._identity.incarnation,
            self._level,
            self._release,
            1 if listener is None else listener.level,
        )

    def _judge(self, other: Hello | Session) -> Refusal | None:
        listener = self.listener
        if listener is None:
            return Refusal(RefusalCode.STARTING, f"node {self._identity.server_id!r} is starting or stopping")
        admitted = listener.admits(other.server_id, other.incarnation)
        refusal = admission(other.server_id, admitted, other.configuration_index, listener.configuration_index)
        return refusal or level_refusal(other.server_id, other.level, listener.level)

    def _admit(self, connection: AcceptedConnection, hello: Hello) -> Refusal | None:
        refusal = self._judge(hello)
        if refusal is not None:
            return refusal
        other = self._incoming.get(hello.server_id)
        if other is None or other.session is None or other.session.instance == hello.instance or not other.is_alive:
            return None  # nobody there, a reconnection, or one that fell silent
        return Refusal(
            RefusalCode.DUPLICATE_ID,
            f"another node {hello.server_id!r} is connected, from {other.remote}; ids must be unique",
        )

    def _link(self, server_id: str) -> Link:
        link = self._links.get(server_id)
        if link is None:
            link = self._links[server_id] = Link(
                self._reactor,
                server_id,
                connector=self._connector,
                protocol=self._dialler,
                random=self._random,
                delay_cap=self._election_timeout / 2,
                connect_timeout=self._connect_timeout,
                notices=self._notices,
            )
        return link

    def _unlink(self, server_id: str) -> None:
        self._links.pop(server_id).close()

    def _dialler(self, server_id: str) -> DialledConnection:
        def handshake() -> DiallerHandshake:
            return DiallerHandshake(self._introduction(), server_id, self._secret, self._nonce(32))

        return DialledConnection(self, self._limits, self._reactor, server_id, handshake)

    def _tick(self) -> None:
        now = self._reactor.seconds()
        late = now - self._ticked_at > 2 * self._tick_seconds + 0.5
        self._ticked_at = now
        self._tick_call = self._reactor.callLater(self._tick_seconds, self._tick)
        for connection in list(self._connections):
            if late:
                connection.excuse()
            elif connection.session is not None or connection.is_over:
                if not connection.tick():
                    self._give_up(connection, "nothing heard for too long")
            elif now - connection.opened_at > self._handshake_timeout:
                self._give_up(connection, f"no handshake within {self._handshake_timeout:g} s")

    def _give_up(self, connection: PeerConnection, reason: str) -> None:
        self._reports.gave_up(connection, reason)
        connection.abort()

    def _abort_all(self) -> None:
        for connection in list(self._connections):
            connection.abort()
