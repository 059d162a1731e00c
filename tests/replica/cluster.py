"""Clusters of real replicas on memory stores, a memory network and a fake clock: no sockets, no disk, no waiting."""

from __future__ import annotations

import random
from collections.abc import Callable

import hiredis
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from leto.config import Address, Config
from leto.interfaces.store import Identity
from leto.keyspace.machine import Machine, understood
from leto.raft.messages import Message
from leto.replica import Replica
from leto.replica.joining import bootstrap
from leto.replica.surroundings import Disk, Endings, Surroundings
from leto.storage.flush import InlineFlusher
from leto.twins.store import MemoryFlusher, MemoryStore
from leto.twins.transport import MemoryNetwork, MemoryTransport
from leto.vocabulary.registry import Registry

CLUSTER_ID = "c" * 32


def packed(*words: bytes | str) -> bytes:
    return hiredis.pack_command(words)


class Outcome:
    """What a Deferred came to: `value`, or `error` (the exception), once `done`."""

    def __init__(self, deferred: Deferred) -> None:
        self.done = False
        self.value = None
        self.error: Exception | None = None
        deferred.addCallbacks(self._succeeded, self._failed)

    def _succeeded(self, value) -> None:
        self.done, self.value = True, value

    def _failed(self, failure) -> None:
        self.done, self.error = True, failure.value


class Node:
    """One server: its store outlives the replicas that run on it."""

    def __init__(self, cluster: Cluster, name: str, port: int, **options) -> None:
        self.cluster = cluster
        self.name = name
        self.store = MemoryStore()
        self.config = Config(
            id=name,
            listen=Address("10.0.0.1", port),
            raftbind=Address("10.0.0.1", 10_000 + port),
            **(cluster.options | options),
        )
        self.fatal: list[str] = []
        self.removed: list[str] = []
        self.shut_out: list[float] = []
        self.replica: Replica | None = None
        self.flusher = self.snapshot_flusher = None
        self.wall_offset = 0.0

    incarnation = ""
    raft_address = ""  # where it is, if it has moved
    commands: Registry | None = None  # other ones than this version's

    def introduce(self, incarnation: str = "") -> None:
        """Answer on the peers' port who asks who is there, as a node that wants to be taken does."""
        identity = Identity(CLUSTER_ID, self.name, incarnation or self.incarnation)
        level = understood() if self.commands is None else understood(self.commands)
        MemoryTransport(self.cluster.network, identity, str(self.config.raftbind), level=level).introduce()

    def start(self, *, slow_disk: bool = False, slow_snapshots: bool = False) -> Replica:
        """What is slow waits until the test runs the jobs of `flusher`, or of `snapshot_flusher`."""
        assert self.replica is None
        clock, network = self.cluster.clock, self.cluster.network
        identity = self.store.identity or Identity(CLUSTER_ID, self.name, self.incarnation)
        if self.store.identity is None:
            self.store.identify(identity)
        source = random.Random(f"{self.cluster.seed} {self.name}")
        machine = Machine(random=source.random, **({} if self.commands is None else {"commands": self.commands}))
        address = self.raft_address or str(self.config.raftbind)
        self.transport = MemoryTransport(network, identity, address, str(self.config.listen), machine.understands)
        self.flusher = MemoryFlusher() if slow_disk else InlineFlusher()
        self.snapshot_flusher = MemoryFlusher() if slow_snapshots else InlineFlusher()
        self.replica = Replica(
            self.config,
            Disk(self.store, self.flusher, self.snapshot_flusher),
            machine,
            self.transport,
            Surroundings(clock, source.random, lambda: 1_700_000_000 + clock.seconds() + self.wall_offset),
            Endings(self.fatal.append, self.removed.append, lambda: self.shut_out.append(clock.seconds())),
        )
        self.replica.start()
        return self.replica

    def crash(self) -> None:
        """Lose the process and whatever was not synced."""
        replica, self.replica = self.replica, None
        replica.driver.stop()  # silence: the process is gone
        replica.cluster.dialling.stop()
        replica.cluster.vigil.stop()
        self.transport.stop()
        self.store = self.store.crashed()


class Cluster:
    def __init__(self, size: int = 3, *, seed: int = 1, commands: Registry | None = None, **options) -> None:
        """`commands`: its nodes', if not this version's."""
        self.clock = Clock()
        self.seed = seed
        self.commands = commands
        self.options = options
        self.network = MemoryNetwork(self.clock)
        self.nodes: dict[str, Node] = {}
        first = self.add("id1")
        bootstrap(first.store, first.config, lambda: CLUSTER_ID)
        first.start()
        self.until(lambda: first.replica.is_leader)
        for number in range(2, size + 1):
            self.join(self.add(f"id{number}"))

    def add(self, name: str, **options) -> Node:
        node = self.nodes[name] = Node(self, name, 5000 + len(self.nodes), **options)
        node.commands = self.commands
        return node

    def join(self, node: Node, incarnation: str = "") -> None:
        """As leto.replica.joining does: ask first, take part once taken; until a voter."""
        node.incarnation = incarnation or f"{node.name}x1"
        node.introduce()
        done = Outcome(
            self.leader.replica.add_member(
                node.name,
                str(node.config.raftbind),
                voter=None,
                client_address=str(node.config.listen),
                incarnation=node.incarnation,
            )
        )
        self.until(lambda: done.done)
        assert done.error is None, done.error
        node.start()
        self.until(lambda: node.name in self.leader.replica.node.configuration.voter_ids())
        self.settle()

    @property
    def running(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.replica is not None]

    @property
    def leader(self) -> Node:
        leaders = [node for node in self.running if node.replica.is_leader]
        return max(leaders, key=lambda node: node.replica.node.term)

    @property
    def followers(self) -> list[Node]:
        leader = self.leader
        return [node for node in self.running if node is not leader]

    def advance(self, seconds: float, step: float = 0.005) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        deadline = self.clock.seconds() + seconds
        while not condition():
            assert self.clock.seconds() < deadline, f"not within {seconds} s"
            self.clock.advance(0.005)

    def settle(self) -> None:
        """Until everybody has applied what the leader has."""
        self.until(
            lambda: (
                any(node.replica.is_leader for node in self.running)
                and len({node.replica.machine.applied for node in self.running}) == 1
                and self.leader.replica.node.last_index == self.leader.replica.machine.applied
            )
        )

    def write(self, *words: bytes | str, node: Node | None = None) -> Outcome:
        return Outcome((node or self.leader).replica.write(packed(*words), 1))

    def read(self, key: bytes, node: Node | None = None) -> Outcome:
        replica = (node or self.leader).replica
        return Outcome(replica.read().addCallback(lambda clock_ms: replica.machine.query([b"GET", key], clock_ms)))

    def do(self, *words: bytes | str, node: Node | None = None):
        outcome = self.write(*words, node=node)
        self.until(lambda: outcome.done)
        assert outcome.error is None, outcome.error
        return outcome.value[0]

    def get(self, key: bytes, node: Node | None = None):
        outcome = self.read(key, node)
        self.until(lambda: outcome.done)
        assert outcome.error is None, outcome.error
        return outcome.value

    def assert_equal_state(self) -> None:
        self.settle()
        digests = {node.replica.machine.digest() for node in self.running}
        assert len(digests) == 1, digests
        assert not any(node.fatal for node in self.nodes.values())


Fate = Callable[[str, str, Message | bytes], tuple[float, ...]]
