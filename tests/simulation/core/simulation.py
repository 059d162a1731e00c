"""One seeded run: a cluster, every fault mixed, every check after every step, and liveness at the end.

The seed decides everything: how many servers, their settings, what the network and the disks do, which operation
comes next and where. The same seed gives the same trace, event for event, and so the same hash.

What runs are the real leto.raft nodes on the stand-ins of tests.raft (server, disk, machine). `cluster_class` is
the seam: a Cluster whose servers are built of the real storage, keyspace and replica takes the stand-ins' place.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from leto.errors import ConfigurationRefused, NotLeader, Overloaded, TransferFailed
from leto.raft.configuration import Configuration, demoted, promoted, with_member, without_member
from tests.raft.network import Cluster, Faults, configuration_of, member
from tests.raft.oracle import CLOCK_RATE
from tests.raft.server import Server
from tests.simulation.plan import Outcome, Plan, SimulationFailed, Trace

MAX_MEMBERS = 7
LIVENESS_TIMEOUTS = 40  # election timeouts within which a healed cluster leads, commits and agrees


class Simulation:
    """One run. `keep`: how many of the last events a failure shows."""

    cluster_class: type[Cluster] = Cluster

    def __init__(self, plan: Plan, *, keep: int = 40, show: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.random = Random(plan.seed)
        self.trace = Trace(keep, show)
        self.counts = self.trace.counts
        self._serial = 0
        self._stays: set[str] = set()  # removed servers that go on running
        draw = self.random
        self.quiet_disk = draw.random() < 0.3
        self.quiet_network = draw.random() < 0.2
        settings = {
            "election_timeout": 0.8,
            "heartbeat_interval": 0.1,
            "max_append_bytes": draw.choice([1, 64, 4096]),
            "max_inflight_appends": draw.choice([1, 2, 4, 64]),
            "max_inflight_bytes": draw.choice([64, 1 << 16]),
            "max_uncommitted_bytes": draw.choice([2000, 1 << 20]),
            "cache_bytes": draw.choice([0, 200, 1 << 20]),
            "lease": draw.random() < 0.4,
            "clock_drift": 0.1,
        }
        timeouts = (0.4, 0.8, 2.5) if draw.random() < 0.5 else ()
        ids = [f"n{number}" for number in range(1, plan.nodes + 1)]
        self.cluster = self.cluster_class(
            seed=draw.getrandbits(64), settings=settings, timeouts=timeouts, record=self._record
        )
        self.cluster.bootstrap(configuration_of(ids))
        for server in self.cluster.servers.values():
            self._furnish(server)
        self._weather()
        rough = draw.choice([0.1, 0.3, 1.0])  # how much of the time something is broken
        self._operations = [
            (30, self._propose),
            (15, self._read),
            (4 * rough, self._crash),
            (12, self._restart),
            (3, self._pause),
            (6, self._resume),
            (4 * rough, self._partition),
            (8, self._heal),
            (5, self._snapshot),
            (3, self._transfer),
            (8, self._change),
            (2 * rough, self._hang_disk),
            (5, self._free_disk),
            (2, self._lose_leader),
            (1 * rough, self._step_down),
            (1, self._campaign),
            (2, self._weather),
            (1, self._jump_wall_clock),
            (1, self._glitch_wall_clock),
            (1, self._doubt_peer),
            (3 * rough, self._ask_the_old),
        ]

    def run(self) -> Outcome:
        """Raises SimulationFailed."""
        operations = [operation for _, operation in self._operations]
        weights = [weight for weight, _ in self._operations]
        try:
            while self.cluster.events < self.plan.steps:
                operation = self.random.choices(operations, weights)[0]
                operation()
                self.cluster.run(self._gap())
                self._stop_removed()
            self._come_to_rest()
        except Exception as error:
            raise SimulationFailed(self.plan, error, list(self.trace.last)) from error
        return Outcome(
            self.plan,
            self.trace.digest(),
            self.cluster.time,
            self.cluster.events,
            len(self.cluster.oracle.leaders),
            self.cluster.oracle.commit,
            dict(sorted(self.counts.items())),
        )

    # chance ---------------------------------------------------------------------------------------------------------

    def _record(self, kind: str, text: str) -> None:
        self.trace.record(self.cluster.time, kind, text)

    def _op(self, text: str) -> None:
        self._record("op", text)

    def _gap(self) -> float:
        """Mostly a moment, sometimes long enough for an election or two."""
        draw = self.random.random()
        if draw < 0.3:
            return 0.0
        if draw < 0.7:
            return self.random.uniform(0.0, 0.05)
        return self.random.uniform(0.0, 0.4) if draw < 0.95 else self.random.uniform(0.5, 4.0)

    def _furnish(self, server: Server) -> None:
        """Give a server its clock and its disk's and state machine's slowness."""
        server.rate = self.random.uniform(0.97, 1.03)
        server.wall_offset_ms = self.random.randint(0, 5000)
        self._free(server)
        if self.random.random() < 0.3:
            delays = Random(self.random.getrandbits(64))
            server.apply_delay = lambda: delays.choice([0.0, 0.0, 0.02, 0.3])

    def _free(self, server: Server) -> None:
        if self.quiet_disk:
            server.sync_delay = lambda: 0.0
            return
        delays = Random(self.random.getrandbits(64))
        typical = self.random.choice([0.0005, 0.01, 0.1])
        server.sync_delay = lambda: delays.uniform(0, typical) if delays.random() < 0.95 else delays.uniform(0, 1.0)

    def _pick(self, servers: list[Server]) -> Server | None:
        return self.random.choice(servers) if servers else None

    def _leader_or_any(self, chance: float) -> Server | None:
        leader = self.cluster.leader()
        return leader if leader is not None and self.random.random() < chance else self._pick(self.cluster.up())

    # operations -----------------------------------------------------------------------------------------------------

    def _propose(self) -> None:
        for _ in range(self.random.choice([1, 1, 1, 3, 10])):
            server = self._leader_or_any(0.9)
            if server is None:
                return
            self._serial += 1
            payload = b"%d" % self._serial
            if self.random.random() < 0.1:
                payload += b"." * self.random.randint(1, 500)
            try:
                server.propose(payload)
                self.counts["proposed"] += 1
            except (NotLeader, Overloaded) as error:
                self.counts[type(error).__name__] += 1

    def _read(self) -> None:
        for _ in range(self.random.choice([1, 1, 4])):
            server = self._leader_or_any(0.4)
            if server is not None:
                self._op(f"read {server.read()} at {server.id}")

    def _crash(self) -> None:
        server = self._leader_or_any(0.4)
        if server is None:
            return
        noticed = self.random.random() < 0.5
        self._op(f"crash {server.id}{' (noticed)' if noticed else ''}")
        self.cluster.crash(server.id, torn=self.random.random() < 0.7, noticed=noticed)
        if self.random.random() < 0.05:  # the power of the whole room
            for other in self.cluster.up():
                self._op(f"crash {other.id} too")
                self.cluster.crash(other.id, torn=True)

    def _restart(self) -> None:
        server = self._pick([s for s in self.cluster.servers.values() if s.live is None and not s.stopped])
        if server is not None:
            self._op(f"restart {server.id}")
            if not server.disk.waiting and self.random.random() < 0.5:
                self._free(server)
            server.start()

    def _pause(self) -> None:
        server = self._leader_or_any(0.7)
        if server is not None:
            self._op(f"pause {server.id}")
            server.paused = True

    def _resume(self) -> None:
        server = self._pick([s for s in self.cluster.servers.values() if s.paused])
        if server is not None:
            self._op(f"resume {server.id}")
            if server.leads or self.random.random() < 0.3:
                self.cluster.resume(server.id, first=server.read)
            else:
                self.cluster.resume(server.id)

    def _partition(self) -> None:
        ids = list(self.cluster.servers)
        kind = self.random.randrange(3)
        leader = self.cluster.leader()
        if kind == 0:
            left = [id_ for id_ in ids if self.random.random() < 0.5]
            self.cluster.partition(left, [id_ for id_ in ids if id_ not in left])
        elif kind == 1 and leader is not None:
            self.cluster.isolate(leader.id)
        else:
            for _ in range(self.random.randint(1, len(ids))):
                self.cluster.cut.add((self.random.choice(ids), self.random.choice(ids)))
        self._op(f"cut {' '.join(f'{a}->{b}' for a, b in sorted(self.cluster.cut))}")

    def _ask_the_old(self) -> None:
        """The leader is cut off, and read from as soon as another one has committed something."""
        old = self.cluster.leader()
        if old is None:
            return
        self._op(f"cut off {old.id}")
        self.cluster.isolate(old.id)
        commit = self.cluster.oracle.commit
        self.cluster.run(2.0, lambda: self.cluster.oracle.commit > commit and self.cluster.leader() is not old)
        if old.is_up and old.leads:
            self._op(f"read {old.read()} at {old.id}")
        if self.random.random() < 0.7:
            self._heal()

    def _heal(self) -> None:
        if self.cluster.cut:
            self._op("heal")
            self.cluster.heal()

    def _snapshot(self) -> None:
        server = self._pick(self.cluster.up())
        if server is not None:
            meta = server.snapshot(trailing=self.random.choice([0, 0, 3, 20]))
            if meta is not None:
                self._op(
                    f"{server.id} has a snapshot of {meta.index}, its log is {server.log.first}..{server.log.last}"
                )

    def _transfer(self) -> None:
        leader = self.cluster.leader()
        if leader is None:
            return
        target = self.random.choice(list(self.cluster.servers))
        try:
            leader.transfer(target)
            self._op(f"transfer from {leader.id} to {target}")
        except TransferFailed:
            self.counts["TransferFailed"] += 1

    def _change(self) -> None:
        leader = self.cluster.leader()
        if leader is None:
            return
        current = Configuration(leader.node.configuration.members)
        target = self._changed(current)
        try:
            index = leader.change(target)
            self._op(f"change at {leader.id}, index {index}")
            self.counts["changed"] += 1
        except (ConfigurationRefused, NotLeader) as error:  # not leader: while leadership is being handed over
            self.counts[type(error).__name__] += 1

    def _changed(self, current: Configuration) -> Configuration:
        """A configuration that an operator might ask for now."""
        voters = [m.id for m in current.members if m.voter]
        learners = [m.id for m in current.members if not m.voter]
        kind = self.random.choice(["join", "join", "learner", "remove", "remove", "promote", "demote", "replace"])
        if kind in ("join", "learner", "replace") and len(current.members) >= MAX_MEMBERS:
            kind = "remove"
        if kind in ("join", "learner"):
            return with_member(current, member(self._newcomer(), voter=False, joining=kind == "join"))
        if kind == "promote" and learners:
            return promoted(current, self.random.choice(learners))
        if kind == "demote" and voters:
            return demoted(current, self.random.choice(voters))
        if kind == "replace" and len(voters + learners) > 1:
            return self._replaced(current)
        return without_member(current, self.random.choice(voters + learners))

    def _replaced(self, current: Configuration) -> Configuration:
        """Some voters leave, some learners and perhaps a newcomer vote, in one step."""
        target = current
        for each in current.members:
            draw = self.random.random()
            if each.voter and draw < 0.4 and sum(m.voter for m in target.members) > 1:
                target = without_member(target, each.id) if draw < 0.25 else demoted(target, each.id)
            elif not each.voter and draw < 0.7:
                target = promoted(target, each.id)
        if self.random.random() < 0.2 and len(target.members) < MAX_MEMBERS:
            target = with_member(target, member(self._newcomer()))
        return target

    def _newcomer(self) -> str:
        """An idle server that no configuration names yet, or a new one with an empty disk."""
        named = {m.id for s in self.cluster.up() for m in s.node.configuration.members + s.node.configuration.outgoing}
        for server in self.cluster.servers.values():
            if server.is_up and server.id not in named and server.log.last == 0:
                return server.id
        id_ = f"n{len(self.cluster.servers) + 1}"
        self._furnish(self.cluster.add_server(id_))
        return id_

    def _hang_disk(self) -> None:
        server = self._leader_or_any(0.5)
        if server is not None:
            self._op(f"{server.id}'s disk hangs")
            server.sync_delay = None
            if self.random.random() < 0.7:
                self.cluster.after(1.0, self._step_down_if_hung, server, server.epoch)

    def _step_down_if_hung(self, server: Server, epoch: int) -> None:
        """As the replica does when a flush takes too long."""
        if server.is_up and server.epoch == epoch and server.sync_delay is None:
            server.step_down()

    def _free_disk(self) -> None:
        server = self._pick([s for s in self.cluster.servers.values() if s.sync_delay is None])
        if server is not None:
            self._op(f"{server.id}'s disk goes on")
            self._free(server)
            if server.is_up:
                server.flush()

    def _lose_leader(self) -> None:
        server = self._pick(self.cluster.up())
        if server is not None and not server.leads:
            self._op(f"{server.id} loses its connection to {server.node.leader_id or 'nobody'}")
            server.leader_lost()

    def _step_down(self) -> None:
        server = self._leader_or_any(0.9)
        if server is not None:
            self._op(f"{server.id} steps down")
            server.step_down()

    def _campaign(self) -> None:
        server = self._pick(self.cluster.up())
        if server is not None:
            self._op(f"{server.id} campaigns")
            server.campaign()

    def _weather(self) -> None:
        if self.quiet_network:
            self.cluster.faults = Faults(delay=(0.0, 0.002))
            return
        draw = self.random
        self.cluster.faults = Faults(
            drop=draw.choice([0.0, 0.0, 0.05, 0.3]),
            duplicate=draw.choice([0.0, 0.05, 0.3]),
            late=draw.choice([0.0, 0.01, 0.1]),
            delay=draw.choice([(0.0, 0.001), (0.0, 0.02), (0.0, 0.2)]),
        )
        self._op(f"weather {self.cluster.faults}")

    def _jump_wall_clock(self) -> None:
        server = self._pick(list(self.cluster.servers.values()))
        assert server is not None
        server.wall_offset_ms += self.random.choice([-3_600_000, -500, 500, 3_600_000])
        self._op(f"{server.id}'s wall clock jumps to {server.wall_ms}")

    def _glitch_wall_clock(self) -> None:
        """It is an hour off for a second."""
        server = self._leader_or_any(0.7)
        if server is not None:
            self._op(f"{server.id}'s wall clock is wrong for a second")
            self._shift_wall_clock(server, offset := self.random.choice([-3_600_000, 3_600_000]))
            self.cluster.after(1.0, self._shift_wall_clock, server, -offset)

    def _shift_wall_clock(self, server: Server, offset_ms: int) -> None:
        server.wall_offset_ms += offset_ms

    def _doubt_peer(self) -> None:
        server = self._pick(self.cluster.up())
        if server is not None:
            server.peer_unreachable(self.random.choice(list(self.cluster.servers)))

    def _stop_removed(self) -> None:
        """Most removed servers end; some stay and must not disturb."""
        for server in self.cluster.up():
            if server.node.removed and server.id not in self._stays:
                if self.random.random() < 0.7:
                    self._op(f"{server.id} is removed and ends")
                    server.crash()
                    server.stopped = True
                else:
                    self._stays.add(server.id)

    # the end: faults off --------------------------------------------------------------------------------------------

    def _come_to_rest(self) -> None:
        cluster = self.cluster
        self._op("all faults end")
        cluster.faults = Faults(delay=(0.0, 0.002))
        cluster.heal()
        for server in list(cluster.servers.values()):
            server.sync_delay = lambda: 0.0005
            server.apply_delay = lambda: 0.0
            if server.paused:
                cluster.resume(server.id)
            if server.live is None and not server.stopped:
                server.start()
            elif server.is_up:
                server.flush()
        timeout = LIVENESS_TIMEOUTS * 0.8
        cluster.wait(self._is_whole, timeout)
        cluster.run(2.0)  # who stood still may have taken itself for the leader for a moment
        cluster.wait(self._is_whole, timeout)
        leader = cluster.leader()
        assert leader is not None
        term = leader.node.term
        index = leader.propose(b"the end")
        cluster.wait(lambda: all(s.machine.applied >= index for s in self._members(leader)), timeout)
        before = self._clock_of_reads(leader)
        cluster.run(5.0)
        if cluster.leader() is not leader or leader.node.term != term:
            cluster.oracle.fail("a healthy idle cluster changes its leader or term")
        passed = self._clock_of_reads(leader) - before
        if passed < CLOCK_RATE * 5.0 - 0.5 * leader.settings.lease:  # a lease's reads know the clock of its renewal
            cluster.oracle.fail(f"the cluster clock has passed {passed:.3f} s in 5 s of a healthy cluster")
        for server in cluster.up():
            cluster.oracle.holds(server)

    def _clock_of_reads(self, leader: Server) -> float:
        """Seconds: the latest that the members' reads are judged by. They are all served."""
        cluster = self.cluster
        contexts = [(server, server.read()) for server in self._members(leader)]
        cluster.wait(lambda: all(context in server.answers for server, context in contexts), LIVENESS_TIMEOUTS * 0.8)
        answers = [server.answers[context] for server, context in contexts]
        if unserved := [server.id for server, context in contexts if not server.answers[context].index]:
            cluster.oracle.fail(f"reads at {unserved} fail in a healthy cluster")
        return max(answer.clock_ms for answer in answers) / 1000

    def _members(self, leader: Server) -> list[Server]:
        """The running servers that the leader's configuration names."""
        return [self.cluster[m.id] for m in leader.node.configuration.members if self.cluster[m.id].is_up]

    def _is_whole(self) -> bool:
        """One leader that has committed all it has, whose configuration is at rest, and who all members follow."""
        leader = self.cluster.leader()
        if leader is None:
            return False
        node = leader.node
        configuration = node.configuration
        return (
            not node.transferring_to
            and not configuration.outgoing
            and not any(m.joining for m in configuration.members)
            and node.commit == node.last_index
            and len(self.cluster.oracle.committed) >= node.commit  # else nobody has applied it yet
            and self.cluster.oracle.committed[node.commit - 1].term == node.term
            and all(s.node.leader_id == leader.id and s.machine.applied == node.commit for s in self._members(leader))
        )
