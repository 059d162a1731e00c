"""The transport's twin in memory: a network of nodes in one process, whose faults are the caller's to choose.

Everything is delivered by the injected clock, never within the call that sends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NoReturn

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from leto.errors import LetoError, NotSent, ProtocolError
from leto.interfaces.store import Identity
from leto.interfaces.transport import PeerListener
from leto.peer.exchange import MAX_OUTSTANDING, RequestFailed
from leto.peer.handshake import admission, level_refusal
from leto.peer.meeting import ANOTHER_DIRECTORY
from leto.peer.origins import dial_back_address, dialable
from leto.raft.messages import InstallSnapshot, Message

_HOST: Final = "127.0.0.1"  # where every connection of this network comes from

Fate = Callable[[str, str, "Message | bytes"], Sequence[float]]


def undisturbed(sender: str, to: str, what: Message | bytes) -> Sequence[float]:
    """The fate of everything on a healthy network: delivered once, at once."""
    return (0.0,)


class MemoryNetwork:
    """Nodes by their addresses, and what happens between them.

    `fate(sender, to, what)` gives, for a Raft message or a request's or answer's bytes, the delays in seconds of the
    copies that arrive: () loses it, (0.0,) delivers it, (0.1, 0.5) delivers it twice. `ordered`: nothing overtakes
    anything on its way from one node to another (as on a TCP connection); else delays alone decide.
    """

    def __init__(
        self, reactor: Any, *, fate: Fate = undisturbed, ordered: bool = True, redial_seconds: float = 0.05
    ) -> None:
        self.reactor = reactor
        self.redial_seconds = redial_seconds  # between attempts to connect
        self.fate = fate
        self.ordered = ordered
        self._nodes: dict[str, MemoryTransport] = {}  # by Raft address, those that listen
        self._cut: set[tuple[str, str]] = set()

    def cut(self, sender: str, to: str) -> None:
        """What `sender` sends to `to` is lost from now on, silently; its connection stays, new ones fail."""
        self._cut.add((sender, to))

    def heal(self, sender: str, to: str) -> None:
        """Undo cut()."""
        self._cut.discard((sender, to))

    def partition(self, *sides: Iterable[str]) -> None:
        """Cut every node from those of the other sides, both ways."""
        groups = [list(side) for side in sides]
        for number, side in enumerate(groups):
            for other in groups[:number] + groups[number + 1 :]:
                self._cut.update((a, b) for a in side for b in other)

    def heal_all(self) -> None:
        """Undo every cut."""
        self._cut.clear()

    def reset(self, a: str, b: str) -> None:
        """Reset the connections between two nodes: both hear of it, what was under way is lost, both dial again."""
        for one in list(self._nodes.values()):
            for other in (a, b):
                if one.server_id in (a, b) and one.server_id != other:
                    one.drop_connection(other)

    def is_cut(self, sender: str, to: str) -> bool:
        """Whether what is sent that way is lost."""
        return (sender, to) in self._cut

    def add(self, node: MemoryTransport) -> None:
        """It listens on its address."""
        self._nodes[node.address] = node

    def remove(self, node: MemoryTransport) -> None:
        """It listens no more."""
        if self._nodes.get(node.address) is node:
            del self._nodes[node.address]

    def find(self, address: str) -> MemoryTransport | None:
        """Who listens there."""
        return self._nodes.get(address)


class MemoryTransport:
    """leto.interfaces.transport.Transport on a MemoryNetwork. `address` is both where it listens and what it
    advertises."""

    def __init__(
        self, network: MemoryNetwork, identity: Identity, address: str, client_address: str = "", level: int = 1
    ) -> None:
        self.network = network
        self.level = level
        self.identity = identity
        self.server_id = identity.server_id
        self.address = address
        self.listener: PeerListener | None = None
        self._own_client_address = client_address
        self._client_addresses: dict[str, str] = {}
        self._peers: dict[str, str] = {}  # as set_peers said
        self._learned: dict[str, str] = {}  # peers that dialled us, while they are connected
        self._outgoing: dict[str, _Wire] = {}
        self._incoming: dict[str, _Wire] = {}
        self._redial: Any = None
        self._stopped = False

    # Transport ------------------------------------------------------------------------------------

    def start(self, listener: PeerListener) -> None:
        """Listen and dial on behalf of `listener`. Again with the same one: nothing happens."""
        if self.listener is None and not self._stopped:
            self.listener = listener
            self.network.add(self)
            self._schedule_dial(0.0)

    def set_peers(self, addresses: Mapping[str, str]) -> None:
        """As TcpTransport's."""
        self._peers = {peer: address for peer, address in addresses.items() if peer != self.server_id}
        for wire in list(self._incoming.values()):
            if self._refuses(wire.dialler, wire.dialler_index):
                wire.close()
        for peer, wire in list(self._outgoing.items()):
            if wire.acceptor.address not in self._addresses(peer):
                wire.close()  # left out, or moved
        self._schedule_dial(0.0)

    def send(self, messages: Iterable[Message]) -> None:
        """As TcpTransport's."""
        for message in messages:
            if type(message) is InstallSnapshot:
                raise ValueError("InstallSnapshot is not sent: leto.replica.catchup streams the snapshot")
            wire = self._outgoing.get(message.to)
            if wire is not None:
                wire.carry(self.server_id, message.to, message, wire.deliver_message)

    def request(self, server_id: str, body: bytes, timeout: float) -> Deferred[bytes]:
        """As TcpTransport's."""
        wire = self._outgoing.get(server_id)
        if wire is None:
            return fail(ConnectionError(f"no connection to {server_id}"))
        return wire.request(body, timeout)

    def introduce(self) -> None:
        """Answer who asks who is there, and nobody else, until start()."""
        self.network.add(self)

    def meet(self, server_id: str, address: str, incarnation: str | None, timeout: float) -> Deferred[int]:
        """As TcpTransport's."""
        network = self.network
        other = network.find(address)
        delay = 0.0
        error: Exception | None = None
        if network.is_cut(self.server_id, server_id) or network.is_cut(server_id, self.server_id):
            delay, error = timeout, TimeoutError("no answer")
        elif other is None:
            error = ConnectionError("nobody listens there")
        elif other.identity.cluster_id != self.identity.cluster_id:
            error = ConnectionError(f"a node of cluster {other.identity.cluster_id} answers there")
        elif other.server_id != server_id:
            error = ConnectionError(f"{other.server_id!r} answers there")
        elif incarnation is not None and other.identity.incarnation != incarnation:
            error = ConnectionError(ANOTHER_DIRECTORY)
        level = 0 if other is None else other.level
        answer: Deferred[Any] = deferLater(network.reactor, delay)
        answer.addErrback(_unanswered)
        return answer.addCallback(lambda _: fail(error) if error is not None else succeed(level))

    def is_connected(self, server_id: str) -> bool:
        """As TcpTransport's."""
        return server_id in self._outgoing

    def reached_at(self, server_id: str) -> str:
        """As TcpTransport's."""
        wire = self._outgoing.get(server_id)
        return wire.acceptor.address if wire is not None else ""

    def client_address(self, server_id: str) -> str:
        """As TcpTransport's."""
        return self._client_addresses.get(server_id, "")

    def level_of(self, server_id: str) -> int:
        """As TcpTransport's."""
        wire = self._outgoing.get(server_id)
        return 0 if wire is None else wire.acceptor.level

    def release_of(self, server_id: str) -> str:
        """As TcpTransport's."""
        return ""

    def stop(self) -> Deferred[None]:
        """As TcpTransport's; also what a killed process looks like to the others."""
        self._stopped = True
        self.listener = None
        self.network.remove(self)
        if self._redial is not None:
            self._redial.cancel()
            self._redial = None
        for wire in (*self._outgoing.values(), *self._incoming.values()):
            wire.close()
        return succeed(None)

    # The network's side --------------------------------------------------------------------------------

    def incoming(self) -> frozenset[str]:
        """Peers whose connection to us is up."""
        return frozenset(self._incoming)

    def drop_connection(self, server_id: str) -> None:
        """Close both connections with that node."""
        for wire in (self._outgoing.get(server_id), self._incoming.get(server_id)):
            if wire is not None:
                wire.close()

    def accept(self, wire: _Wire) -> bool:
        """Somebody dials; False if it is refused."""
        dialler = wire.dialler
        if self._refuses(dialler, wire.dialler_index):
            return False
        before = self._incoming.get(dialler.server_id)
        self._incoming[dialler.server_id] = wire
        if before is not None:
            before.close()
        self._client_addresses[dialler.server_id] = dialler._own_client_address
        self._learned[dialler.server_id] = dial_back_address(dialler.address, _HOST)
        self._schedule_dial(0.0)
        return True

    def refused_by(self, other: MemoryTransport) -> None:
        """That member does not know this node."""
        listener = other.listener
        if listener is not None:
            index = listener.configuration_index
            self.network.reactor.callLater(0.0, self._removed_by, other.server_id, index)

    def closed(self, wire: _Wire) -> None:
        """A connection of this node is gone: one of the peers' events, told in a turn of its own."""
        other = wire.acceptor if wire.dialler is self else wire.dialler
        mine = self._outgoing if wire.dialler is self else self._incoming
        if mine.get(other.server_id) is not wire:
            return
        del mine[other.server_id]
        if mine is self._incoming:
            self._learned.pop(other.server_id, None)
        if not self._stopped:
            self.network.reactor.callLater(0.0, self._disconnected, other.server_id)
            self._schedule_dial(self.network.redial_seconds)

    # Private -------------------------------------------------------------------------------------------

    def _refuses(self, dialler: MemoryTransport, their_index: int) -> bool:
        """Whether that node is not welcome; one that is no member is told so."""
        listener = self.listener
        if listener is None:
            return True
        admitted = listener.admits(dialler.server_id, dialler.identity.incarnation)
        if admission(dialler.server_id, admitted, their_index, listener.configuration_index) is not None:
            dialler.refused_by(self)
            return True
        return level_refusal(dialler.server_id, dialler.level, listener.level) is not None

    def _addresses(self, peer: str) -> list[str]:
        known = (self._peers.get(peer, ""), self._learned.get(peer, ""))
        return [address for address in known if _is_dialable(address)]

    def _schedule_dial(self, delay: float) -> None:
        if self.listener is None:
            return
        if self._redial is not None:
            if self._redial.getTime() <= self.network.reactor.seconds() + delay:
                return
            self._redial.cancel()
        self._redial = self.network.reactor.callLater(delay, self._dial)

    def _dial(self) -> None:
        self._redial = None
        network = self.network
        missing = False
        for peer in sorted({*self._peers, *self._learned} - set(self._outgoing)):
            addresses = self._addresses(peer)
            other = next((found for address in addresses if (found := network.find(address)) is not None), None)
            cut = network.is_cut(self.server_id, peer) or network.is_cut(peer, self.server_id)
            if not addresses:
                continue  # accept() dials once it is known
            listener = self.listener
            if other is None or cut or listener is None or other.listener is None:
                missing = True
                continue
            if other.level < listener.level:
                missing = True
                continue
            same_cluster = other.identity.cluster_id == self.identity.cluster_id
            wire = _Wire(network, self, other, listener.configuration_index)
            if other.server_id != peer or not same_cluster or not other.accept(wire):
                missing = True
                continue
            self._outgoing[peer] = wire
            self._client_addresses[peer] = other._own_client_address
            network.reactor.callLater(0.0, self._connected, wire)
        if missing:
            self._schedule_dial(self.network.redial_seconds)

    def _connected(self, wire: _Wire) -> None:
        if self.listener is not None and self._outgoing.get(wire.acceptor.server_id) is wire:
            self.listener.peer_connected(wire.acceptor.server_id)

    def _disconnected(self, server_id: str) -> None:
        if self.listener is not None:
            self.listener.peer_disconnected(server_id)

    def _removed_by(self, server_id: str, index: int) -> None:
        if self.listener is not None:
            self.listener.removed_by(server_id, index)


class _Wire:
    """One connection, from `dialler` to `acceptor`."""

    def __init__(
        self, network: MemoryNetwork, dialler: MemoryTransport, acceptor: MemoryTransport, dialler_index: int
    ) -> None:
        self.network = network
        self.dialler = dialler
        self.acceptor = acceptor
        self.dialler_index = dialler_index
        self._last = {dialler.server_id: 0.0, acceptor.server_id: 0.0}  # when what was sent last arrives
        self._calls: set[Any] = set()  # what is under way
        self._waiting: dict[Deferred[bytes], Any] = {}  # requests without an answer, and their timeouts
        self._open = True

    def carry(self, sender: str, to: str, what: Any, deliver: Callable[[Any], None]) -> None:
        """Let the network decide what becomes of it."""
        network = self.network
        if not self._open or network.is_cut(sender, to):
            return
        now = network.reactor.seconds()
        for delay in network.fate(sender, to, what):
            due = now + delay
            if network.ordered:
                due = max(due, self._last[sender])
                self._last[sender] = due
            self._schedule(due - now, sender, to, what, deliver)

    def request(self, body: bytes, timeout: float) -> Deferred[bytes]:
        """From the dialler to the acceptor."""
        sender, to = self.dialler.server_id, self.acceptor.server_id
        if len(self._waiting) >= MAX_OUTSTANDING:
            return fail(NotSent(f"{MAX_OUTSTANDING} requests to {to!r} wait for answers already"))
        answer: Deferred[bytes] = Deferred(self._forget)
        late = TimeoutError(f"{to!r} did not answer within {timeout:g} s")
        self._waiting[answer] = self.network.reactor.callLater(timeout, self._answer, answer, late)
        self.carry(sender, to, body, lambda what: self._deliver_request(what, answer))
        return answer

    def deliver_message(self, message: Message) -> None:
        """A Raft message arrives at the acceptor."""
        listener = self.acceptor.listener
        if listener is None:
            return
        try:
            listener.peer_message(message)
        except ProtocolError:
            self.close()  # as a hostile peer's

    def _deliver_request(self, body: bytes, waiter: Deferred[bytes]) -> None:
        listener = self.acceptor.listener
        if listener is None:
            return
        answer = maybeDeferred(listener.peer_request, self.dialler.server_id, body)
        answer.addErrback(_explain)
        answer.addCallback(self._send_answer, waiter)

    def close(self) -> None:
        """Both ends hear of it; what is under way is lost."""
        if self._open:
            self._open = False
            for call in self._calls:
                call.cancel()
            self._calls.clear()
            self.dialler.closed(self)
            self.acceptor.closed(self)
            lost = ConnectionError(f"the connection to {self.acceptor.server_id!r} was closed")
            for answer in list(self._waiting):
                self._answer(answer, lost)

    def _send_answer(self, result: bytes | RequestFailed, waiter: Deferred[bytes]) -> None:
        sender, to = self.acceptor.server_id, self.dialler.server_id
        what = result if isinstance(result, bytes) else str(result).encode()
        self.carry(sender, to, what, lambda _: self._answer(waiter, result))

    def _answer(self, waiter: Deferred[bytes], result: bytes | Exception) -> None:
        if waiter in self._waiting:
            self._forget(waiter)
            if isinstance(result, bytes):
                waiter.callback(result)
            else:
                waiter.errback(result)

    def _forget(self, waiter: Deferred[bytes]) -> None:
        timeout = self._waiting.pop(waiter, None)
        if timeout is not None and timeout.active():
            timeout.cancel()

    def _schedule(self, delay: float, sender: str, to: str, what: Any, deliver: Callable[[Any], None]) -> None:
        def arrive() -> None:
            self._calls.discard(call)
            if not self.network.is_cut(sender, to):
                deliver(what)

        call = self.network.reactor.callLater(delay, arrive)
        self._calls.add(call)


@lru_cache(maxsize=1024)
def _is_dialable(address: str) -> bool:
    return dialable(address) is not None


def _explain(failure: Failure) -> RequestFailed:
    """What the asker is told of a request that failed."""
    failure.trap(LetoError)
    return RequestFailed(str(failure.value))


def _unanswered(failure: Failure) -> NoReturn:
    """Who gives up waiting is told what TcpTransport tells."""
    failure.trap(CancelledError)
    raise TimeoutError("no answer")
