"""A seeded world of whole nodes: hosts, network, clients, faults, and the end, when all faults are over.

The seed decides everything. The same seed gives the same trace, event for event, and so the same hash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from random import Random
from typing import Any
from unittest.mock import patch
from zlib import crc32

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from leto.interfaces.store import Identity
from leto.keyspace.machine import Machine
from leto.raft.configuration import Configuration, Member, encode
from leto.raft.messages import Entry, EntryKind, HardState, Message
from leto.replica import compaction, forwarding
from leto.storage.store import FileStore
from leto.twins.disk import PowerLost
from tests.simulation.plan import Outcome, Plan, SimulationFailed, Trace
from tests.simulation.whole.clients import (
    GROUP_OPERATIONS,
    LONGEST_LIFE,
    MODEL,
    VOLATILE,
    Client,
    Operation,
    events,
)
from tests.simulation.whole.deadlines import Deadlines
from tests.simulation.whole.flaps import Flaps
from tests.simulation.whole.host import CLUSTER_ID, Host
from tests.simulation.whole.linearizability import NEVER, linearization
from tests.simulation.whole.oracle import CLOCK_RATE, Oracle, Violation
from tests.simulation.whole.process import Process
from tests.simulation.whole.timeline import Timeline
from tests.simulation.whole.versions import LATER
from tests.simulation.whole.wires import Network, encoded
from tests.vocabulary.earlier import LEVEL

ELECTION_TIMEOUT = 0.8
UNLIKE_TIMEOUTS = [0.6, ELECTION_TIMEOUT, 2.5]  # of nodes whose operators did not agree
LIVENESS_TIMEOUTS = 40  # election timeouts within which a healed cluster leads, takes writes and agrees
ANSWERED_WITHIN = 10.0  # seconds, for every operation of a healthy cluster
EVENTS_A_STEP = 20_000  # more in one step: something spins


class World(Flaps):
    """One run. `keep`: how many of the last events a failure shows."""

    host_class = Host
    demanded_level = LEVEL  # of the cluster, for PUT

    def __init__(self, plan: Plan, *, keep: int = 60, show: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.seed = plan.seed
        self.random = draw = Random(plan.seed)
        self.timeline = Timeline()
        self.violation: Violation | None = None
        self.trace = Trace(keep, show)
        self.counts = self.trace.counts
        self._ticks = 0
        self.network = Network(self.timeline, Random(draw.getrandbits(64)))
        self.oracle = Oracle(self)
        self.deadlines = Deadlines(self)
        self.history: list[Operation] = []
        self.orders: dict[str, Process] = {}
        self.asked: dict[Operation, Process] = {}  # what waits for an answer
        self.operations = 0
        self.volatile: list[bytes] = []
        self.open_groups: list[int] = []
        self._group_use: Counter[int] = Counter()
        self.clients_stop = False
        self.silent_until = 0.0  # clients ask nothing before

        self.quiet_disk = draw.random() < 0.3
        self.quiet_network = draw.random() < 0.2
        self.true_clocks = draw.random() < 0.3
        only_one_wrong = draw.random() < 0.2
        self.wrong_clock = f"n{draw.randint(1, plan.nodes)}" if only_one_wrong else ""
        self.busy = draw.random() < 0.3  # applying takes time
        self.lease = draw.random() < 0.2
        self.versions = Random(f"{plan.seed} versions")
        self.collections = Random(f"{plan.seed} collections")
        self.mixed = self.versions.random() < 0.25  # members of two versions; who is started may be replaced
        self.slow_snapshots = draw.random() < 0.3
        self.flaps = draw.random() < 0.2  # of leadership, more than anything else
        self.quiet_network = self.quiet_network or (self.flaps and draw.random() < 0.7)
        self.think_seconds = draw.choice([0.02, 0.1, 0.3])
        self.big_values = draw.choice([0.0, 0.05, 0.3])
        self.largest_value = draw.choice([300, 3000, 30_000])
        self.chunk_bytes = draw.choice([300, 5000, 1 << 18])
        self.slice_bytes = draw.choice([100, 2000, 1 << 16])
        self.leader_share = draw.choice([0.3, 0.7, 0.9])
        self.options: dict[str, Any] = {
            "election_timeout": ELECTION_TIMEOUT,
            "heartbeat_interval": draw.choice([0.1, 0.2, 0.3]),
            "read_timeout": draw.choice([0.5, 2.0]),
            "write_timeout": draw.choice([0.5, 5.0]),
            "reads": "lease" if self.lease else "linearizable",
            "on_follower": draw.choice(["refuse", "refuse", "proxy"]),
            "snapshot_bytes": draw.choice([10_000, 1 << 20]),
            "snapshot_entries": draw.choice([15, 100, 100_000]),
            "trailing_entries": 0 if self.slow_snapshots else draw.choice([0, 3, 50]),
            "snapshot_rate": draw.choice([20_000, 1 << 20]),
            "max_batch_bytes": draw.choice([100, 1 << 20]),
            "max_uncommitted_bytes": draw.choice([2000, 1 << 20]),
            "segment_bytes": draw.choice([4096, 4096, 1 << 16]),
            "min_free_bytes": draw.choice([0, 5000, 50_000]),
        }
        self.timeouts = UNLIKE_TIMEOUTS if self.lease and draw.random() < 0.5 else [ELECTION_TIMEOUT]
        self.hosts: dict[str, Host] = {}
        self._found(plan.nodes)
        self._weather()
        rough = 0.1 if self.flaps else draw.choice([0.2, 0.5, 1.0])
        self._operations: list[tuple[float, Callable[[], None]]] = [
            (20, self._nothing),
            (6 * rough, self._crash),
            (3 * rough, self._arm_crash),
            (2 * rough, self._fail_disk),
            (1 * rough, self._fill_disk),
            (12, self._restart),
            (3 * rough, self._pause),
            (6, self._resume),
            (5 * rough, self._partition),
            (8, self._heal),
            (2 * rough, self._reset),
            (3 * rough, self._hang_disk),
            (6, self._free_disk),
            (2, self._weather),
            (1, self._jump_wall_clock),
            (8 if self.wrong_clock else 1, self._glitch_wall_clock),
            (3, self._snapshot),
            (3, self._transfer),
            (2, self._join),
            (2, self._remove),
            (2, self._promote_or_demote),
            (1 * rough, self._wipe),
            (3, self._rot),
            (1 * rough, self._slow_link),
            (2 * rough, self._terminate),
            (20 if self.flaps else 0.5, self._flap),
            (20 if self.slow_snapshots else 0.5, self._outrun),
            (0.3 * rough, self._power_cut),
        ]

    # the run -----------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Raises SimulationFailed."""
        actions = [action for _, action in self._operations]
        weights = [weight for weight, _ in self._operations]
        with ExitStack() as stack:
            stack.enter_context(patch.object(compaction, "SLICE_BYTES", self.slice_bytes))
            stack.enter_context(patch.object(forwarding, "KEYSPACE", LATER))
            try:
                for host in list(self.hosts.values()):
                    host.start()
                for number in range(self.random.randint(2, 5)):
                    Client(self, number)
                while self.timeline.events < self.plan.steps:
                    self.random.choices(actions, weights)[0]()
                    self._advance(self._gap(), self.plan.steps)
                self._come_to_rest()
                self._check_history()
            except (Exception, PowerLost) as error:
                raise SimulationFailed(self.plan, self.violation or error, list(self.trace.last)) from error
        return Outcome(
            self.plan,
            self.trace.digest(),
            self.timeline.seconds(),
            self.timeline.events,
            len(self.oracle.leaders),
            self.oracle.commit,
            dict(sorted(self.counts.items())),
        )

    @property
    def level(self) -> int:
        """The highest that a running node knows the cluster to be at."""
        return max((host.replica.node.configuration.level for host in self.hosts.values() if host.is_up), default=1)

    def record(self, kind: str, text: str) -> None:
        self.trace.record(self.timeline.rightNow, kind, text)

    def hash_message(self, message: Message) -> None:
        """Messages are part of the trace, but too many to be shown."""
        trace = self.trace
        trace.hash(b"%.6f %d" % (self.timeline.rightNow, crc32(encoded(message))))
        if trace.show is not None:
            trace.show(f"{self.timeline.rightNow:10.6f} send   {_shortened(message)}")

    def tick(self) -> int:
        """A number for each call and each answer, in their order."""
        self._ticks += 1
        return self._ticks

    def _advance(self, seconds: float, most_events: int = 1 << 60) -> None:
        """Let so much time pass, or less: until so many events in all have happened."""
        timeline = self.timeline
        until, most = timeline.seconds() + seconds, timeline.events + EVENTS_A_STEP * (1 + int(seconds))
        timeline.settle()
        while timeline.seconds() < until and timeline.events < most_events:
            before = timeline.events
            timeline.advance(min(0.05, until - timeline.seconds()), most)
            self.deadlines.check()
            if timeline.events > most:
                self.oracle.fail(f"something spins: {timeline.events - before} events at once")
        if self.violation is not None:
            raise self.violation

    def _gap(self) -> float:
        draw = self.random.random()
        if draw < 0.4:
            return self.random.uniform(0.0, 0.05)
        return self.random.uniform(0.0, 0.4) if draw < 0.93 else self.random.uniform(0.5, 4.0)

    # the world's furniture -----------------------------------------------------------------------------------------

    def _found(self, nodes: int) -> None:
        """A new cluster: of one that others will join, or of several at once, as an old backup might bring it up."""
        alone = self.random.random() < 0.2
        for number in range(1, nodes + 1):
            self._add_host("" if number == 1 else "10.0.0.1:5001")
        if alone:
            return
        members = tuple(Member(h.name, h.address, True, False, str(h.config.listen)) for h in self.hosts.values())
        payload = encode(Configuration(members))
        for host in self.hosts.values():
            store = FileStore.open(
                "/data", segment_bytes=4096, disk=host.disk, random32=lambda: 7, clock=lambda: 0.0, background=False
            )
            store.identify(Identity(CLUSTER_ID, host.name))
            store.write(HardState(1), [Entry(1, 1, int(EntryKind.CONFIGURATION), payload)], True)
            store.close()

    def _add_host(self, join: str) -> Host:
        number = len(self.hosts) + 1
        host = self.hosts[f"n{number}"] = self.host_class(self, f"n{number}", number, join)
        if self._is_wrong(host):
            host.rate = self.random.uniform(0.98, 1.02)
            host.wall_offset = self.random.uniform(0.0, 5.0)
        if self.busy and not self.lease:
            delays = Random(self.random.getrandbits(64))
            host.apply_seconds = lambda: 0.01 if delays.random() < 0.1 else 0.0
        self._settle_disk(host)
        return host

    def _settle_disk(self, host: Host) -> None:
        delays = Random(self.random.getrandbits(64))
        if self.quiet_disk:
            host.flush_seconds = lambda: 0.0003
        else:
            typical = self.random.choice([0.0005, 0.01, 0.1])
            host.flush_seconds = lambda: delays.uniform(0, typical if delays.random() < 0.97 else 1.0)
        if self.slow_snapshots:
            host.snapshot_seconds = lambda: delays.uniform(0.0, 3.0) if delays.random() < 0.3 else 0.0

    def pick_group(self) -> int:
        """The group of keys that the next operation is about."""
        for group in [g for g in self.open_groups if self._group_use[g] >= GROUP_OPERATIONS]:
            self.open_groups.remove(group)
        while len(self.open_groups) < 3:
            self.open_groups.append(len(self._group_use) + 1)
            self._group_use[self.open_groups[-1]] = 0
        group = self.random.choice(self.open_groups)
        self._group_use[group] += 1
        return group

    def target(self) -> Host | None:
        """Whom a client asks."""
        leaders = [host for host in self.hosts.values() if host.leads]
        if leaders and self.random.random() < self.leader_share:
            return self.random.choice(leaders)
        return self._pick([host for host in self.hosts.values() if host.is_up])

    def any_member(self, asker: Host) -> Host | None:
        """Whom a joining node asks: the members' addresses are known to its operator."""
        return self._pick([host for host in self.hosts.values() if host is not asker and host.is_up])

    def call(self, asker: Host, asked: Host, function: Callable[[Any], Deferred[Any]]) -> Deferred[Any]:
        """A command on a client's connection from one machine to another: lost if either ends or the way is cut."""
        answer: Deferred[Any] = Deferred()
        process = asked.process
        own = asker.process
        assert own is not None
        timeline = self.timeline

        def finish(result: Any) -> None:
            if not answer.called:
                if isinstance(result, Failure):
                    answer.errback(result)
                else:
                    answer.callback(result)

        def lost() -> None:
            own.deliver(finish, Failure(ConnectionError(f"{asked.name} does not answer")))

        def arrive() -> None:
            if process is None or process.replica is None or self.network.is_cut(asker.name, asked.name):
                return
            process.deliver(lambda: maybeDeferred(function, process.replica).addBoth(leave))

        def leave(result: Any) -> None:
            if process is not None and process.alive and not self.network.is_cut(asked.name, asker.name):
                timeline.callLater(self.random.uniform(0.0, 0.01), own.deliver, finish, result)

        timeline.callLater(self.random.uniform(0.0, 0.01), arrive)
        timeline.callLater(10.0, lost)
        return answer

    def _pick(self, hosts: list[Host]) -> Host | None:
        return self.random.choice(hosts) if hosts else None

    def leader(self) -> Host | None:
        leaders = [host for host in self.hosts.values() if host.leads]
        return max(leaders, key=lambda host: host.replica.node.term, default=None)

    def _leader_or_any(self, chance: float) -> Host | None:
        leader = self.leader()
        if leader is not None and self.random.random() < chance:
            return leader
        return self._pick([host for host in self.hosts.values() if host.process is not None])

    # the end: faults off -----------------------------------------------------------------------------------------

    def _come_to_rest(self) -> None:
        self.record("op", "all faults end")
        self.think_seconds = max(self.think_seconds, 0.3)
        self.chunk_bytes = 1 << 18
        self.network.end_faults()
        for host in list(self.hosts.values()):
            process = host.process
            if host.is_up:
                # a follower must not be outrun by compaction: that is a matter of settings, not of faults
                host.replica.upkeep.streams._sender._rate = 1 << 24
                host.replica.upkeep.streams._sender._chunk_bytes = 1 << 18
            host.flush_seconds = lambda: 0.0003
            host.snapshot_seconds = host.apply_seconds = lambda: 0.0
            host.disk.capacity = None
            if process is not None:
                process.crash_at_operation = process.crash_at_send = 0
                process.fail_at_operation, process.fails_to_sync = None, False
                if process.paused:
                    process.resume(None)
            host.free_disk()
        self.timeline.settle()
        self._advance(ELECTION_TIMEOUT)  # whose connection was reset does not know it yet
        self._wait_until_whole()
        self._wait_for_echoes()
        self.clients_stop = True
        unanswered = self._wait_for_answers(ANSWERED_WITHIN)
        if unanswered:
            self.oracle.fail(f"no answer within {ANSWERED_WITHIN} s, though all is well: {unanswered[:3]}")
        leader = self._wait_until_whole()
        term = leader.replica.node.term
        self._advance(2 * max(self.timeouts))  # every follower's timeout, of up to 1.5 times that, would have come
        if self.leader() is not leader or leader.replica.node.term != term:
            self.oracle.fail("a healthy idle cluster changes its leader or term")
        self._last_reads(leader)
        self._wait_for_expiry(leader)
        self._compare_states(leader)
        self._replay()

    def _wait_for_expiry(self, leader: Host) -> None:
        """Whatever the wall clocks show: every time to live ends, and the keys are deleted."""
        seconds = LONGEST_LIFE / CLOCK_RATE + 1.0
        deadline = self.timeline.seconds() + seconds
        while left := {h.name: n for h in self._members(leader) if (n := h.replica.machine.database.volatile)}:
            if self.timeline.seconds() > deadline:
                self.oracle.fail(f"keys outlive their time by {seconds - LONGEST_LIFE:.1f} s: {left}")
            self._advance(0.1)

    def _compare_states(self, leader: Host) -> None:
        """All members reach one index (a key may just have expired), and have the same digest there."""
        deadline = self.timeline.seconds() + 5 * ELECTION_TIMEOUT
        while True:
            digests = {host.name: host.replica.machine.digest() for host in self._members(leader)}
            same = len({index for index, _ in digests.values()}) == 1
            if same and len(set(digests.values())) == 1:
                return
            if same or self.timeline.seconds() > deadline:
                self.oracle.fail(f"the states differ at the end: {digests}")
            self._advance(0.05)

    def _wait_until_whole(self) -> Host:
        """The leader. Every process that ended is started again, as a service manager does."""
        deadline = self.timeline.seconds() + LIVENESS_TIMEOUTS * ELECTION_TIMEOUT
        while not self._is_whole():
            if self.timeline.seconds() > deadline:
                self.oracle.fail(f"no progress within {LIVENESS_TIMEOUTS} election timeouts: {self._state()}")
            for host in self.hosts.values():
                if host.process is None and not host.retired:
                    host.start_or_replace()
            self._advance(0.1)
        leader = self.leader()
        assert leader is not None
        return leader

    def _wait_for_echoes(self) -> None:
        """Until every member has answered what its leader sends now: what was said to it before, a wish to hand over
        leadership too, has come by then."""
        leader = self.leader()
        assert leader is not None
        state = leader.replica.node._state
        term, round_ = state.term, state.round
        deadline = self.timeline.seconds() + LIVENESS_TIMEOUTS * ELECTION_TIMEOUT
        while state.term == term and any(each.round <= round_ for each in state.progress.values()):
            if self.timeline.seconds() > deadline or not leader.is_up:
                break  # _wait_until_whole says what is wrong
            self._advance(0.1)

    def _wait_for_answers(self, seconds: float) -> list[Operation]:
        """What has no answer after so many seconds, from a process that is alive."""
        deadline = self.timeline.seconds() + seconds
        while True:
            waiting = [operation for operation, process in self.asked.items() if process.alive]
            if not waiting or self.timeline.seconds() >= deadline:
                return waiting
            self._advance(0.1)

    def _last_reads(self, leader: Host) -> None:
        """Every group, at every member, when all is quiet."""
        reads: list[Operation] = []
        for group in self._group_use:
            name = b"g%d" % group
            for host in self._members(leader):
                self.operations += 1
                commands = [[b"GET", name + b"a"], [b"GET", name + b"b"], [b"GET", name + b"c"]]
                operation = Operation(self.operations, group, host.name, commands, True)
                reads.append(operation)
                client = Client.__new__(Client)
                client.world, client._waits_for, client._seen = self, None, {}
                client.ask(operation, host.process)
        self._wait_for_answers(self.options["read_timeout"] + 1.0)
        unserved = [str(operation) for operation in reads if operation.returned == NEVER]
        if unserved:
            self.oracle.fail(f"reads fail in a healthy cluster: {unserved[:3]}")

    def _replay(self) -> None:
        """Everything that was applied, applied once more by a fresh keyspace, gives the same state."""
        machine = Machine(random=lambda: 0.5, commands=LATER)
        for number, (term, kind, _) in enumerate(self.oracle.entries):
            machine.apply(Entry(number + 1, term, kind, self.oracle.payloads[number]))
        if machine.digest()[1] != self.oracle.digests[-1]:
            self.oracle.fail("replaying the log gives another state")

    def _check_history(self) -> None:
        groups: dict[int, list[Operation]] = {}
        for operation in self.history:
            if operation.group != VOLATILE:
                groups.setdefault(operation.group, []).append(operation)
        for group, operations in groups.items():
            if linearization(events(operations), MODEL) is None:
                for operation in operations:
                    told = f"{operation} -> {operation.output}"
                    self.trace.last.append(f"{operation.called:>6} {operation.returned:>6} {told}")
                self.oracle.fail(f"the history of group {group} is not linearizable")
            self.counts["histories"] += 1

    def _members(self, leader: Host) -> list[Host]:
        return [self.hosts[name] for name in leader.replica.node.configuration.ids()]

    def _is_whole(self) -> bool:
        """One leader, whose configuration is at rest, and whom all members follow; no disk is still at what was written
        while disks were slow."""
        leader = self.leader()
        if leader is None:
            return False
        node = leader.replica.node
        configuration = node.configuration
        return (
            not node.transferring_to
            and not configuration.outgoing
            and not any(member.joining for member in configuration.members)
            and not self._replaced()
            and not any(process.alive for process in self.orders.values())
            and not any(host.process is not None and host.process.stopping for host in self.hosts.values())
            and not any(host.joining for host in self.hosts.values())
            and all(
                host.is_up
                and host.replica.node.leader_id == leader.name
                and host.replica.machine.applied >= node.commit - 3
                and not host.replica.driver.is_flushing
                for host in self._members(leader)
            )
            and node.term in [term for term, _, _ in self.oracle.entries[-1:]]
        )

    def _state(self) -> str:
        return "; ".join(host.described() for host in self.hosts.values())


def _shortened(message: Message) -> str:
    text = repr(message)
    return text if len(text) < 240 else f"{text[:237]}..."
