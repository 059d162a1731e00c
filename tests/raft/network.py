"""Whole clusters of leto.raft nodes in fake time: servers, the network between them, and one seed for all chance.

`Cluster` owns the time, the servers and what is under way between them. Messages wait in `network` until
they are due: with no faults set that is at once, in the order sent; with faults they are dropped, repeated,
delayed and so reordered. Everything that a node does is checked, by itself and by the oracle.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from leto.raft.configuration import Configuration, Member, encode
from leto.raft.messages import Entry, EntryKind, HardState, InstallSnapshot, Message
from leto.raft.settings import Settings
from tests.raft.describe import configuration_text, message_text
from tests.raft.disk import Write
from tests.raft.oracle import Oracle
from tests.raft.server import Server


@dataclass(slots=True)
class Faults:
    """What the network does to messages: probabilities, and delays in seconds."""

    drop: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0  # the chance of a delay of up to `late_by` instead of `delay`
    delay: tuple[float, float] = (0.0, 0.0)
    late_by: float = 3.0


@dataclass(order=True, slots=True)
class Envelope:
    """A message under way. `blob`: the payload that travels with an InstallSnapshot."""

    at: float
    number: int
    message: Message = field(compare=False)
    blob: Any = field(compare=False, default=None)
    epoch: int = field(compare=False, default=0)  # of the sender


def member(id_: str, voter: bool = True, joining: bool = False) -> Member:
    return Member(id_, f"{id_}.example:15379", voter, joining)


def configuration_of(voters: Iterable[str], learners: Iterable[str] = ()) -> Configuration:
    members = [member(v) for v in voters] + [member(x, voter=False) for x in learners]
    return Configuration(tuple(sorted(members, key=lambda m: m.id)))


class Cluster:
    """`ids` are bootstrapped as voters (and `learners` as learners) of one cluster, all started.

    `settings` are fields of leto.raft.settings.Settings for every server; of `timeouts` each draws its own election
    timeout instead; `record` gets (kind, text) for all that
    happens: kinds are op, net, lost, role, commit, apply, read.
    """

    server_class = Server

    def __init__(
        self,
        ids: Iterable[str] = (),
        *,
        learners: Iterable[str] = (),
        seed: int = 0,
        settings: dict[str, Any] | None = None,
        timeouts: Sequence[float] = (),
        record: Callable[[str, str], None] = lambda kind, text: None,
    ) -> None:
        self.random = Random(seed)
        self.settings = settings or {}
        self.timeouts = timeouts
        self.record = record
        self.time = 0.0
        self.events = 0  # messages delivered, timers fired, calls made
        self.faults = Faults()
        self.servers: dict[str, Server] = {}
        self.oracle = Oracle(self.servers)
        self.network: list[Envelope] = []  # a heap
        self.cut: set[tuple[str, str]] = set()  # (from, to): what is sent there is lost
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        ids = list(ids)
        if ids:
            self.bootstrap(configuration_of(ids, learners))

    def bootstrap(self, configuration: Configuration) -> None:
        """Every member begins with the same first entry: the configuration, in term 1, committed."""
        entry = Entry(1, 1, EntryKind.CONFIGURATION, encode(configuration))
        self.oracle.bootstrapped(entry)
        for each in configuration.members:
            server = self.add_server(each.id, start=False)
            server.disk.write(Write(0, HardState(1, "", 1), [entry], None))
            server.disk.sync(0)
            server.start()

    def add_server(self, id_: str, *, start: bool = True) -> Server:
        """A server with an empty disk: it waits for a leader to call."""
        assert id_ not in self.servers
        own = {"election_timeout": self.random.choice(self.timeouts)} if self.timeouts else {}
        settings = Settings(id=id_, **{**self.settings, **own})
        server = self.server_class(self, id_, settings, Random(f"{self.random.random()} {id_}"))
        self.servers[id_] = server
        if start:
            server.start()
        return server

    def __getitem__(self, id_: str) -> Server:
        return self.servers[id_]

    # what the cluster is --------------------------------------------------------------------------

    def up(self) -> list[Server]:
        return [s for s in self.servers.values() if s.is_up]

    def leader(self) -> Server | None:
        """The running leader of the highest term."""
        return max((s for s in self.up() if s.leads), key=lambda s: s.node.term, default=None)

    def status(self) -> list[str]:
        """A line a server."""
        return [self._status(server) for server in self.servers.values()]

    def _status(self, server: Server) -> str:
        if server.live is None:
            return f"{server.id} is down"
        node = server.node
        role = node.role.name.lower().replace("_", "-")
        return (
            f"{server.id} {role}, term {node.term}, log {server.log.first}..{server.log.last},"
            f" commit {node.commit}, applied {server.machine.applied}, {configuration_text(node.configuration)}"
        )

    # the network ----------------------------------------------------------------------------------

    def post(self, message: Message, blob: Any = None) -> None:
        """A server sends: now it is the network's."""
        random, faults = self.random, self.faults
        copies = 1
        if faults.duplicate and blob is None and random.random() < faults.duplicate:
            copies = 2
        for _ in range(copies):
            envelope = Envelope(self.time, self._next(), message, blob, self.servers[message.sender].epoch)
            if faults.drop and random.random() < faults.drop:
                self.lose(envelope)
                continue
            if faults.late and random.random() < faults.late:
                envelope.at += random.uniform(0, faults.late_by)
            elif faults.delay[1]:
                envelope.at += random.uniform(*faults.delay)
            heapq.heappush(self.network, envelope)

    def deliver(self, envelope: Envelope) -> None:
        """The network hands a message over, if its receiver is there to take it."""
        message = envelope.message
        target = self.servers.get(message.to)
        if target is None or target.live is None or (message.sender, message.to) in self.cut:
            self.lose(envelope)
            return
        if target.paused:
            target.inbox.append((message, envelope.blob))
            return
        self.record("net", message_text(message))
        target.step(message, envelope.blob)
        self._stream_ended(envelope, ok=True)

    def lose(self, envelope: Envelope) -> None:
        self.record("lost", message_text(envelope.message))
        if isinstance(envelope.message, InstallSnapshot):
            self.after(0.0, self._stream_ended, envelope, False)

    def _stream_ended(self, envelope: Envelope, ok: bool) -> None:
        """The sender of a snapshot learns how its stream ended."""
        message = envelope.message
        if isinstance(message, InstallSnapshot):
            sender = self.servers[message.sender]
            if sender.live is not None and sender.epoch == envelope.epoch:
                sender.snapshot_sent(message.to, message.meta.index, ok)

    def take(self, matches: Callable[[Message], bool]) -> list[Envelope]:
        """Take what matches out of the network, in the order sent."""
        taken = sorted((e for e in self.network if matches(e.message)), key=lambda e: e.number)
        self.network = [e for e in self.network if not matches(e.message)]
        heapq.heapify(self.network)
        return taken

    def partition(self, *groups: Iterable[str]) -> None:
        """Only servers of one group hear each other; whoever is in none is alone."""
        of = {id_: number for number, group in enumerate(groups) for id_ in group}
        ids = list(self.servers)
        self.cut = {(a, b) for a in ids for b in ids if a != b and (a not in of or of[a] != of.get(b))}

    def isolate(self, id_: str) -> None:
        self.cut |= {pair for other in self.servers if other != id_ for pair in ((id_, other), (other, id_))}

    def heal(self) -> None:
        self.cut.clear()

    # servers' fates -------------------------------------------------------------------------------

    def crash(self, id_: str, *, torn: bool = False, noticed: bool = False) -> None:
        """`torn`: part of what was not synced may survive. `noticed`: the others see its connections close."""
        self[id_].crash(self.random if torn else None)
        if noticed:
            self.connections_closed(id_)

    def connections_closed(self, id_: str) -> None:
        for server in self.up():
            if server.id == id_:
                continue
            if server.leads:
                server.peer_unreachable(id_)
            elif server.node.leader_id == id_:
                server.leader_lost()

    def resume(self, id_: str, first: Callable[[], object] = lambda: None) -> None:
        """A paused server goes on: with what a client asked (`first`), then with all that its peers sent meanwhile."""
        server = self[id_]
        server.paused = False
        first()
        inbox, server.inbox = server.inbox, []
        for message, blob in inbox:
            if server.is_up:
                self.record("net", message_text(message))
                server.step(message, blob)

    # time -----------------------------------------------------------------------------------------

    def _next(self) -> int:
        self._number += 1
        return self._number

    def after(self, delay: float, call: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._events, (self.time + delay, self._next(), call, args))

    def settle(self) -> None:
        """Deliver and persist all that is due now; time stands still and no timer fires."""
        self.run(0.0, timers=False)

    def run(self, duration: float, until: Callable[[], bool] | None = None, *, timers: bool = True) -> bool:
        """Let `duration` seconds pass, or less if `until` becomes true; -> whether it did."""
        end = self.time + duration
        idle_ticks = 0
        while until is None or not until():
            message_at = self.network[0].at if self.network else math.inf
            event_at = self._events[0][0] if self._events else math.inf
            timer_at, ticking = math.inf, None
            for server in self.servers.values():
                if timers and server.is_up and (deadline := server.deadline()) < timer_at:
                    timer_at, ticking = deadline, server
            # what is under way now goes before timers, so that time 0 settles completely
            at = max(self.time, min(message_at, event_at, timer_at))
            if at > end or at == math.inf:
                self.time = max(self.time, end)
                return until is not None and until()
            idle_ticks = idle_ticks + 1 if at == self.time and timer_at <= at else 0
            assert idle_ticks < 10_000, f"a timer does not move on: {self.status()}"
            self.time = at
            self.events += 1
            if message_at <= at:
                self.deliver(heapq.heappop(self.network))
            elif event_at <= at:
                _, _, call, args = heapq.heappop(self._events)
                call(*args)
            else:
                assert ticking is not None
                ticking.tick()
        return True

    def wait(self, until: Callable[[], bool], seconds: float = 30.0) -> None:
        """Let time pass until `until` holds; fails after `seconds` of the cluster's time."""
        if not self.run(seconds, until):
            raise AssertionError(f"not within {seconds} s:\n" + "\n".join(self.status()))

    # shorthands for tests -------------------------------------------------------------------------

    def elect(self, id_: str) -> Server:
        """`id_` campaigns and wins; everything settles."""
        self[id_].campaign()
        self.settle()
        assert self[id_].leads, "\n".join(self.status())
        return self[id_]

    def propose(self, payload: bytes | str) -> int:
        """By the leader; everything settles. -> its index"""
        leader = self.leader()
        assert leader is not None, "no leader"
        index = leader.propose(payload.encode() if isinstance(payload, str) else payload)
        self.settle()
        return index
