"""Three whole nodes in one process, each on a reactor of its own that turns only when it is told to.

What runs is what a process of Leto runs: reactor, sockets, sessions, replica, core, store, files. Time stands still
but for what the caller lets pass, so that which function is called how often depends on the code alone.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from functools import partial
from operator import getitem
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor

from leto.clients.protocol import RespFactory
from leto.commands import CONNECTION
from leto.config import Address, Config
from leto.interfaces.store import Identity
from leto.keyspace.machine import Machine, understood
from leto.peer.transport import TcpTransport
from leto.raft.configuration import Configuration, Member, encode
from leto.raft.messages import Entry, EntryKind, HardState
from leto.reactor.listening import Listener
from leto.reactor.sockets import SocketReaders, Waker
from leto.reactor.stalls import StallMeter
from leto.replica import Replica
from leto.replica.surroundings import Disk, Endings, Surroundings
from leto.storage.flush import AdaptiveFlusher, ThreadFlusher
from leto.storage.store import FileStore

CLUSTER_ID = "c" * 32
ANYWHERE = Address("127.0.0.1", 0)
ELECTION_TIMEOUT, HEARTBEAT_INTERVAL = 60.0, 20.0  # seconds: nothing of these comes while requests are counted
TURNS = 2000  # of all nodes, within which a cluster must have formed, or a request its answer
EPOCH = 1_700_000_000.0
INPUT_SECONDS = 20.0  # within which what was sent has come
QUIET_SECONDS = 0.1  # without anything new: what was sent has come


class Time:
    """Seconds, for all nodes. `seconds` and `wall` call no Python function, as the system's clocks do not."""

    def __init__(self) -> None:
        self._cell = [0.0, EPOCH, 0.0]
        self.seconds: Callable[[], float] = partial(getitem, self._cell, 0)
        self.wall: Callable[[], float] = partial(getitem, self._cell, 1)
        self.nothing: Callable[[], float] = partial(getitem, self._cell, 2)
        self.passes(1000.0)

    def passes(self, seconds: float) -> None:
        self._cell[0] += seconds
        self._cell[1] += seconds


class Peer:
    """One node: what leto.process.service builds, without its logs, signals and doors."""

    def __init__(self, name: str, directory: str, time: Time, peers: Listener) -> None:
        self.name = name
        self.peers, self.clients = peers, Listener.bind(ANYWHERE, "--listen")
        self.reactor: Any = EPollReactor()
        self.reactor.seconds = time.seconds
        self.config = Config(
            id=name,
            listen=self.clients.address,
            raftbind=peers.address,
            raftdir=directory,
            election_timeout=ELECTION_TIMEOUT,
            heartbeat_interval=HEARTBEAT_INTERVAL,
        )
        self.meter = StallMeter(time.seconds, time.wall, time.nothing)
        self._time = time
        self._store = FileStore.open(directory, random32=lambda: 7, clock=time.seconds, background=False)
        self.replica: Any = None

    def build(self, configuration: Configuration) -> None:
        time, config, store = self._time, self.config, self._store
        store.identify(Identity(CLUSTER_ID, self.name))
        store.write(HardState(1), [Entry(1, 1, int(EntryKind.CONFIGURATION), encode(configuration))], True)
        source = Random(self.name)
        readers = SocketReaders(self.reactor)
        self.meter.serve(readers)
        self._snapshots = ThreadFlusher(self.reactor.callFromThread, "snapshots")
        self._waker = Waker(readers)
        self._flusher = AdaptiveFlusher(self.reactor, ThreadFlusher(self._waker.wake), store.mark, self._snapshots)
        self._transport = TcpTransport(
            self.reactor,
            identity=Identity(CLUSTER_ID, self.name),
            bind=config.raftbind,
            advertised=lambda: str(config.raftbind),
            heartbeat_interval=HEARTBEAT_INTERVAL,
            election_timeout=ELECTION_TIMEOUT,
            confirm_peers=False,
            level=understood(),
            readers=readers,
        )
        self.replica = Replica(
            config,
            Disk(store, self._flusher, self._snapshots),
            Machine(random=source.random),
            self._transport,
            Surroundings(self.reactor, random=source.random, wall_clock=time.wall, soon=readers.soon, meter=self.meter),
            Endings(_fail, _fail),
        )
        self._factory = RespFactory(
            self.replica,
            config,
            self.reactor,
            commands=CONNECTION,
            shutdown=lambda: None,
            wall_clock=time.wall,
            readers=readers,
            meter=self.meter,
        )
        self.meter.watch(self.reactor)
        self._transport.start(self.replica.listener)
        self._transport.listen(self.peers)
        self.replica.start()
        self.clients.serve(self.reactor, self._factory, after=self.peers)
        self.meter.begin()

    def turn(self) -> None:
        """One iteration of its reactor: what is due, and what has come."""
        reactor = self.reactor
        reactor.runUntilCurrent()
        reactor.timeout()
        reactor.doIteration(0)

    def await_input(self) -> None:
        """Until something has come: on a busy machine the kernel may hand it over a little later than it was sent."""
        ready, _, _ = select.select([self.reactor._poller.fileno()], [], [], INPUT_SECONDS)
        assert ready, f"nothing came to {self.name}"

    def stop(self) -> None:
        self.meter.close()
        stopping: list[Deferred[Any]] = [Deferred.fromCoroutine(self.replica.stop())]
        self._factory.close()
        stopping += [self.clients.close(), self._transport.stop(), self._flusher.stop(), self._snapshots.stop()]
        for _ in range(TURNS):
            if all(each.called for each in stopping):
                break
            self._time.passes(0.05)
            self.turn()
        self._waker.close()
        self._store.close()
        self._close_descriptors()

    def _close_descriptors(self) -> None:
        """What would else be closed in the midst of another test, which counts them."""
        reactor, readers = self.reactor, self._factory.state.readers
        for waker in reactor._internalReaders:
            waker.connectionLost(None)
        reactor._poller.close()
        readers._poll.close()
        readers._reactor._poll.close()


def _fail(reason: str) -> None:
    raise AssertionError(reason)


class Cluster:
    """`leader` leads; `followers` follow. `client` is connected to the leader. `directory`: an empty one."""

    def __init__(self, directory: str, nodes: int = 3) -> None:
        self.time = Time()
        self.members: list[Peer] = []
        for number in range(1, nodes + 1):
            name = f"n{number}"
            self.members.append(Peer(name, f"{directory}/{name}", self.time, Listener.bind(ANYWHERE, "--raftbind")))
        configuration = Configuration(
            tuple(Member(m.name, str(m.config.raftbind), True, False, str(m.config.listen)) for m in self.members)
        )
        for each in self.members:
            each.build(configuration)
        self.leader, *self.followers = self.members
        self._turn_until(lambda: all(self._is_connected(m) for m in self.members), 0.02)
        self.leader.replica.node.campaign(self.time.seconds())
        self.leader.replica.driver.schedule()
        self._turn_until(lambda: self.leader.replica.is_leader and self._agree(), 0.02)
        self.clients: list[socket.socket] = []
        self.connect(1)
        self.client = self.clients[0]

    def connect(self, clients: int) -> None:
        """So many more, to the leader."""
        listen, factory = self.leader.config.listen, self.leader._factory
        for _ in range(clients):
            self.clients.append(socket.create_connection((listen.host, listen.port)))
            self.clients[-1].setblocking(False)
        self._turn_until(lambda: factory.connected == len(self.clients), 0.0)

    def disconnect(self, clients: int) -> None:
        """So many of those that came last."""
        for _ in range(clients):
            self.clients.pop().close()
        factory = self.leader._factory
        self._turn_until(lambda: factory.connected == len(self.clients), 0.0)

    def _is_connected(self, member: Peer) -> bool:
        return all(member._transport.is_connected(other.name) for other in self.members if other is not member)

    def _agree(self) -> bool:
        return len({m.replica.node.applied_index for m in self.members}) == 1 < self.leader.replica.node.applied_index

    def _turn_until(self, reached: Callable[[], bool], seconds: float) -> None:
        for _ in range(TURNS):
            if reached():
                return
            for each in self.members:
                each.turn()
            self.time.passes(seconds)
        raise AssertionError(f"not within {TURNS} turns: {[m.replica.node for m in self.members]}")

    def settle(self) -> None:
        """Until nothing more comes to any node."""
        for _ in range(TURNS):
            ready, _, _ = select.select([each.reactor._poller.fileno() for each in self.members], [], [], QUIET_SECONDS)
            if not ready:
                return
            for each in self.members:
                each.turn()
        raise AssertionError("the nodes do not come to rest")

    def answer(self, client: socket.socket | None = None) -> bytes:
        """What that one (None: `client`) has been answered by now, b"" if nothing."""
        try:
            return (client or self.client).recv(1 << 16)
        except BlockingIOError:
            return b""

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        for each in self.members:
            each.stop()
