"""What the peers' tests share: a listener that writes down what it hears, and worlds to run transports in."""

from __future__ import annotations

import time

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import Clock, deferLater

from leto.config import Address
from leto.errors import LetoError
from leto.interfaces.store import Identity
from leto.peer.transport import TcpTransport
from leto.twins.transport import MemoryNetwork, MemoryTransport

CLUSTER = "c" * 32
DEADLINE = 8.0


class Recorder:
    """A PeerListener that writes everything down; answers a request with its body reversed."""

    def __init__(self, name: str, members: set[str] | None = None, index: int = 1):
        self.name = name
        self.members = members  # None: admits everybody
        self.configuration_index = index
        self.level = 1
        self.messages = []
        self.requests = []
        self.events = []
        self.removals = []
        self.on_message = None
        self.respond = None

    def peer_message(self, message):
        self.messages.append(message)
        if self.on_message is not None:
            self.on_message(message)

    def peer_request(self, sender, body):
        self.requests.append((sender, body))
        if self.respond is not None:
            return self.respond(sender, body)
        if body.startswith(b"fail"):
            raise LetoError("no, thank you")
        if body.startswith(b"never"):
            return Deferred()
        return succeed(body[::-1])

    def peer_connected(self, server_id):
        self.events.append(("up", server_id))

    def peer_disconnected(self, server_id):
        self.events.append(("down", server_id))

    def removed_by(self, server_id, configuration_index):
        self.removals.append((server_id, configuration_index))

    def admits(self, server_id, incarnation=""):
        return self.members is None or server_id in self.members


class Node:
    """A transport with its listener."""

    def __init__(self, transport, listener, address):
        self.transport = transport
        self.listener = listener
        self.address = address


class MemoryWorld:
    def __init__(self):
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)
        self.nodes = []
        self._port = 1000

    def node(
        self,
        name,
        *,
        cluster=CLUSTER,
        members=None,
        index=1,
        client_address="",
        address=None,
        incarnation="",
        starts=True,
    ):
        self._port += 1
        address = address or f"127.0.0.1:{self._port}"
        transport = MemoryTransport(self.network, Identity(cluster, name, incarnation), address, client_address)
        listener = Recorder(name, members, index)
        if starts:
            transport.start(listener)
        else:
            transport.introduce()
        node = Node(transport, listener, address)
        self.nodes.append(node)
        return node

    async def until(self, condition, what="the condition"):
        for _ in range(2000):
            if condition():
                return
            self.clock.advance(0.005)
        raise AssertionError(f"{what} did not come about")

    async def settle(self):
        for _ in range(40):
            self.clock.advance(0.005)

    async def result(self, deferred):
        box = []
        deferred.addBoth(box.append)
        await self.until(lambda: box, "the answer")
        if hasattr(box[0], "raiseException"):
            box[0].raiseException()
        return box[0]

    async def stop(self):
        for node in self.nodes:
            node.transport.stop()
        self.clock.advance(0)
        assert not self.clock.getDelayedCalls()


class TcpWorld:
    def __init__(self, **options):
        self.nodes = []
        self.options = options

    def node(
        self,
        name,
        *,
        cluster=CLUSTER,
        members=None,
        index=1,
        client_address="",
        address=None,
        incarnation="",
        starts=True,
        **options,
    ):
        box = []
        bind = Address.parse(address) if address else Address("127.0.0.1", 0)
        transport = TcpTransport(
            reactor,
            identity=Identity(cluster, name, incarnation),
            bind=bind,
            advertised=lambda: str(box[0].bind),
            client_address=lambda: client_address,
            **{"election_timeout": 0.2, "heartbeat_interval": 0.05, "confirm_peers": False, **self.options, **options},
        )
        box.append(transport)
        transport.listen()
        listener = Recorder(name, members, index)
        if starts:
            transport.start(listener)
        node = Node(transport, listener, str(transport.bind))
        self.nodes.append(node)
        return node

    async def until(self, condition, what="the condition"):
        deadline = time.monotonic() + DEADLINE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come about")
            await deferLater(reactor, 0.002)

    async def settle(self):
        await deferLater(reactor, 0.15)

    async def result(self, deferred):
        return await deferred

    async def stop(self):
        await gatherResults([node.transport.stop() for node in self.nodes], consumeErrors=True)
