"""What goes wrong, and when: a seeded plan of faults against real processes and the network between them.

An action is a generator that yields how long (seconds) it lets things be. It names what it lays hands on, so that two
run together only if they differ in that: processes die while the network is cut, but a node is not wiped twice.
The plan is drawn from the seed; whom "the leader" meets, and when, is up to the real cluster.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

from leto.storage.faultpoints import EXIT_STATUS, POINTS
from tests.chaos.asking import ask, info, waits_to_join
from tests.chaos.network import Network
from tests.integration.cluster import Cluster, Node

Pauses = Generator[float, None, None]
REMOVED = "was removed from the cluster"


@dataclass(slots=True)
class Event:
    at: float
    name: str
    detail: str
    takes_leader: bool = False  # the leader was lost by this: a failover follows

    def line(self, start: float) -> str:
        return f"{self.at - start:8.3f} s  {self.name:<16} {self.detail}"


@dataclass(slots=True)
class Running:
    name: str
    uses: frozenset[str]
    steps: Pauses
    due: float


@dataclass
class Nemesis:
    """Runs actions against `cluster`, whose peers talk through `network`."""

    cluster: Cluster
    network: Network
    seed: int
    only: Sequence[str] = ()
    events: list[Event] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)  # what no node may do: end by itself, believe itself removed

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.paused: set[str] = set()
        self._crashing: set[str] = set()  # started with a fault point: they end by themselves
        self._stopping: set[str] = set()  # sent TERM
        self._leaving: set[str] = set()  # asked to leave since they last joined
        self._active: list[Running] = []
        self._seeds: dict[str, Node] = {}  # whom each node was told to join through
        self._marks = {node.id: 0 for node in self.cluster}  # where in its log each node's present life begins
        self._actions: dict[str, tuple[int, frozenset[str], Callable[[], Pauses]]] = {
            "kill": (5, frozenset({"processes"}), self.kill),
            "kill-leader": (5, frozenset({"processes"}), self.kill_leader),
            "kill-all": (2, frozenset({"processes"}), self.kill_all),
            "crash-point": (4, frozenset({"processes"}), self.crash_point),
            "pause": (3, frozenset({"processes"}), self.pause),
            "pause-leader": (4, frozenset({"processes"}), self.pause_leader),
            "rolling-restart": (2, frozenset({"processes"}), self.rolling_restart),
            "leave-rejoin": (3, frozenset({"processes"}), self.leave_and_rejoin),
            "lost-disk": (2, frozenset({"processes"}), self.lose_disk),
            "demote-promote": (2, frozenset({"processes"}), self.demote_and_promote),
            "halves": (4, frozenset({"network"}), self.halves),
            "isolate-leader": (4, frozenset({"network"}), self.isolate_leader),
            "one-way": (4, frozenset({"network"}), self.one_way),
            "bridge": (2, frozenset({"network"}), self.bridge),
            "delay": (3, frozenset({"network"}), self.delay),
            "throttle": (2, frozenset({"network"}), self.throttle),
            "resets": (3, frozenset({"network"}), self.resets),
            "transfer": (4, frozenset({"transfer"}), self.transfer),
            "snapshot": (4, frozenset({"snapshot"}), self.snapshot),
        }
        unknown = set(self.only) - set(self._actions)
        if unknown:
            raise ValueError(f"no such action: {', '.join(sorted(unknown))}; they are {', '.join(self._actions)}")

    # the plan -----------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Do harm for that long."""
        end = time.monotonic() + seconds
        next_begin = time.monotonic() + 0.5
        pace = threading.Event()
        while time.monotonic() < end:
            now = time.monotonic()
            for running in list(self._active):
                if running.due <= now:
                    self._advance(running)
            if now >= next_begin:
                self._begin()
                next_begin = time.monotonic() + self.random.uniform(0.2, 2.0)
            self.tend()
            pace.wait(0.02)

    def _begin(self) -> None:
        used = {item for running in self._active for item in running.uses}
        names = [
            name
            for name, (_, uses, _) in self._actions.items()
            if not uses & used and (not self.only or name in self.only)
        ]
        if not names:
            return
        (name,) = self.random.choices(names, [self._actions[name][0] for name in names])
        _, uses, action = self._actions[name]
        self._advance_new(Running(name, uses, action(), 0.0))

    def _advance_new(self, running: Running) -> None:
        self._active.append(running)
        self._advance(running)

    def _advance(self, running: Running) -> None:
        self._current = running.name
        try:
            running.due = time.monotonic() + next(running.steps)
        except StopIteration:
            self._active.remove(running)

    def _note(self, detail: str, *, takes_leader: bool = False, name: str = "") -> None:
        name = name or self._current
        self.counts[name] += 1
        self.events.append(Event(time.monotonic(), name, detail, takes_leader))

    def _struck(self) -> None:
        """The fault noted last is in force from now on."""
        self.events[-1].at = time.monotonic()

    def tend(self) -> None:
        """Look after nodes that ended by themselves: whether they may, and what follows."""
        for node in self.cluster:
            if not node.has_failed:
                continue
            status = node.wait_exit()
            if node.id in self._stopping:
                self._stopping.discard(node.id)
                if status != 0:
                    self.faults.append(f"{node.id} ended with status {status} after TERM")
                continue
            if REMOVED in self._log_of_this_life(node):
                if node.id not in self._leaving:
                    self.faults.append(f"{node.id} believes itself removed, and nobody removed it")
                node.forget_data()
            elif status == EXIT_STATUS and node.id in self._crashing:
                self._crashing.discard(node.id)
            else:
                self.faults.append(f"{node.id} ended by itself with status {status}")
                if len(self.faults) > 20:
                    raise AssertionError("nodes end by themselves again and again: " + self.faults[0])

    def _log_of_this_life(self, node: Node) -> str:
        return node.log()[self._marks[node.id] :]

    # processes ----------------------------------------------------------------------------------------

    def start(self, node: Node, environment: dict[str, str] | None = None) -> None:
        """(Re)start; an empty directory joins through whoever runs."""
        if node.is_running:
            return
        members = [other for other, _ in self._infos() if other is not node]
        seed = self.random.choice(members or [other for other in self.cluster if other is not node])
        self._seeds[node.id] = seed
        self._marks[node.id] = len(node.log())
        if not node.raftdir.exists():
            self._leaving.discard(node.id)
        node.start(join=seed.address, environment=environment)

    def _kill(self, node: Node) -> None:
        if node.is_running:
            node.kill()

    def leader(self) -> Node | None:
        """Whoever says so itself, in the highest term."""
        found = [(int(answer["raft_term"]), node) for node, answer in self._infos() if answer["raft_role"] == "leader"]
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def _infos(self) -> Iterator[tuple[Node, dict[str, str]]]:
        for node in self.cluster.running:
            if node.id not in self.paused:
                answer = info(node)
                if answer:
                    yield node, answer

    def _is_whole(self) -> bool:
        """Every node has joined and follows the leader, which counts each as a voter, with no change under way."""
        answers = {node.id: answer for node, answer in self._infos()}
        leaders = {answer["raft_leader_id"] for answer in answers.values()}
        if len(answers) < len(self.cluster.nodes) or len(leaders) != 1:
            return False
        told = answers.get(leaders.pop(), {})
        return set(told.get("raft_voters", "").split(",")) == set(answers) and not told["raft_outgoing"]

    def _some(self) -> Node:
        return self.random.choice(self.cluster.nodes)

    def kill(self) -> Pauses:
        count = self.random.randint(1, max(1, (len(self.cluster.nodes) + 1) // 2))
        victims = self.random.sample(self.cluster.nodes, count)
        downtime = self.random.uniform(0.0, 3.0)
        leader = self.leader()
        self._note(f"{_names(victims)} for {downtime:.2f} s", takes_leader=leader in victims)
        for node in victims:
            self._kill(node)
        self._struck()
        yield downtime
        for node in victims:
            self.start(node)
            yield self.random.uniform(0.0, 0.5)
        yield self.random.uniform(0.0, 2.0)

    def kill_leader(self) -> Pauses:
        downtime = self.random.choice([0.0, 0.5, 2.0, 4.0])
        leader = self.leader()
        if leader is None:
            return
        self._note(f"{leader.id} for {downtime:g} s", takes_leader=True)
        self._kill(leader)
        self._struck()
        yield downtime
        self.start(leader)
        yield self.random.uniform(0.0, 3.0)

    def kill_all(self) -> Pauses:
        self._note("all at once", takes_leader=True)
        for node in self.cluster:
            self._kill(node)
        self._struck()
        for node in self.random.sample(self.cluster.nodes, len(self.cluster.nodes)):
            self.start(node)
            yield self.random.uniform(0.0, 0.3)
        yield 2.0

    def crash_point(self) -> Pauses:
        """A node dies at some step of its disk's work."""
        node = self._some()
        point = f"{self.random.choice(POINTS)}:{self.random.choice([1, 1, 2, 5, 20, 100])}"
        self._note(f"{node.id} at {point}", takes_leader=self.leader() is node)
        self._kill(node)
        self._crashing.add(node.id)
        self.start(node, {"LETO_FAULTPOINT": point})
        yield self.random.uniform(1.0, 3.0)
        ask(node, "SNAPSHOT")
        yield self.random.uniform(0.0, 2.0)
        if node.is_running:
            self._kill(node)
        self.tend()
        self._crashing.discard(node.id)
        self.start(node)
        yield 0.5

    def pause(self) -> Pauses:
        count = self.random.randint(1, max(1, (len(self.cluster.nodes) + 1) // 2))
        yield from self._pause(self.random.sample(self.cluster.nodes, count))

    def pause_leader(self) -> Pauses:
        leader = self.leader()
        if leader is not None:
            yield from self._pause([leader])

    def _pause(self, victims: Sequence[Node]) -> Pauses:
        length = self.random.choice([0.3, 1.0, 2.0, 4.0])
        leader = self.leader()
        self._note(f"{_names(victims)} for {length:g} s", takes_leader=leader in victims and length >= 2.0)
        for node in victims:
            if node.is_running:
                self.paused.add(node.id)
                node.pause()
        self._struck()
        yield length
        self._resume(victims)
        yield self.random.uniform(0.0, 1.0)

    def _resume(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            if node.id in self.paused:
                self.paused.discard(node.id)
                if node.is_running:
                    node.resume()

    def rolling_restart(self) -> Pauses:
        """TERM, one after the other, as an operator updates a cluster."""
        self._note("all in turn")
        for node in self.random.sample(self.cluster.nodes, len(self.cluster.nodes)):
            if node.is_running:
                self._stopping.add(node.id)
                node.signal(signal.SIGTERM)
                for _ in range(100):
                    self.tend()
                    if not node.is_running:
                        break
                    yield 0.1
                if node.is_running:
                    self.faults.append(f"{node.id} still runs 10 s after TERM")
                    node.kill()
                    self._stopping.discard(node.id)
            self.start(node)
            for _ in range(30):
                if info(node).get("raft_leader_id"):
                    break
                yield 0.1

    # members ------------------------------------------------------------------------------------------

    def leave_and_rejoin(self) -> Pauses:
        """LEAVE; the node ends, loses its disk, and joins again."""
        if not self._is_whole():
            return
        node = self._some()
        leader = self.leader()
        if leader is None:
            return
        self._note(f"{node.id} asked of {leader.id}", takes_leader=node is leader)
        self._leaving.add(node.id)
        ask(leader, "LEAVE", node.id, timeout=0.3)
        for _ in range(60):
            self.tend()  # wipes it once it has ended
            if not node.is_running:
                break
            yield 0.1
        yield self.random.uniform(0.0, 1.0)
        self.start(node)
        yield from self._until_whole()

    def lose_disk(self) -> Pauses:
        """A disk is lost, and its node comes back empty under the same id. Never two at a time: a majority of disks
        is what all promises rest on."""
        if not self._is_whole():
            return
        node = self._some()
        self._note(node.id, takes_leader=self.leader() is node)
        self._kill(node)
        node.forget_data()
        yield self.random.uniform(0.0, 2.0)
        self.start(node)
        yield from self._until_whole()

    def demote_and_promote(self) -> Pauses:
        leader = self.leader()
        if leader is None or not self._is_whole():
            return
        node = self._some()
        self._note(f"{node.id} by {leader.id}", takes_leader=node is leader)
        ask(leader, "RAFT", "DEMOTE", node.id, timeout=0.3)
        yield self.random.uniform(0.5, 2.0)
        self.promote_learners()
        yield from self._until_whole()

    def promote_learners(self) -> None:
        """Ask the leader to make voters of the nodes that a demotion left behind."""
        leader = self.leader()
        if leader is not None:
            for learner in filter(None, info(leader).get("raft_learners", "").split(",")):
                ask(leader, "RAFT", "PROMOTE", learner, timeout=0.3)

    def _until_whole(self) -> Pauses:
        """Let others wait for the cluster to be whole again, for a bounded time."""
        for _ in range(30):
            if self._is_whole():
                return
            yield 0.2

    # the network --------------------------------------------------------------------------------------

    @property
    def _ids(self) -> list[str]:
        return [node.id for node in self.cluster]

    def _pairs(self) -> list[tuple[str, str]]:
        return [(one, other) for one in self._ids for other in self._ids if one != other]

    def _between(self, side: set[str]) -> list[tuple[str, str]]:
        return [(one, other) for one, other in self._pairs() if (one in side) != (other in side)]

    def _cut(self, pairs: Sequence[tuple[str, str]], detail: str, *, takes_leader: bool = False) -> Pauses:
        """Silence or closed doors between `pairs`, for a while."""
        length = self.random.choice([0.5, 1.5, 3.0, 6.0])
        kind = self.random.choice(["held", "held", "cut"])
        self._note(f"{detail} {kind} for {length:g} s", takes_leader=takes_leader and length >= 3.0)
        self.network.change(pairs, **{kind: True})
        self._struck()
        yield length
        if kind == "held" and self.random.random() < 0.5:
            for one, other in pairs:
                self.network.reset(one, other)  # what was held is lost; else it all arrives now, late
        self.network.heal()
        yield self.random.uniform(0.0, 1.5)

    def halves(self) -> Pauses:
        ids = self.random.sample(self._ids, len(self._ids))
        side = set(ids[: len(ids) // 2])
        leader = self.leader()
        takes = leader is not None and leader.id in side
        yield from self._cut(self._between(side), "/".join(sorted(side)), takes_leader=takes)

    def isolate_leader(self) -> Pauses:
        leader = self.leader()
        if leader is not None:
            yield from self._cut(self._between({leader.id}), leader.id, takes_leader=True)

    def one_way(self) -> Pauses:
        leader = self.leader()
        one = leader.id if leader is not None and self.random.random() < 0.6 else self._some().id
        outgoing = self.random.random() < 0.5
        others = [other for other in self._ids if other != one]
        if self.random.random() < 0.4:
            others = [self.random.choice(others)]
        pairs = [(one, other) if outgoing else (other, one) for other in others]
        length = self.random.choice([1.0, 3.0, 6.0])
        self._note(f"{one} {'to' if outgoing else 'from'} {'/'.join(others)} silent for {length:g} s")
        self.network.change(pairs, held=True)
        yield length
        self.network.heal()
        yield self.random.uniform(0.0, 1.5)

    def bridge(self) -> Pauses:
        """Two halves that see only one node in common."""
        ids = self.random.sample(self._ids, len(self._ids))
        half = len(ids) // 2
        one, other = set(ids[:half]), set(ids[half + 1 :])
        pairs = [pair for pair in self._pairs() if {*pair} & one and {*pair} & other]
        yield from self._cut(pairs, f"{'/'.join(sorted(one))} - {ids[half]} - {'/'.join(sorted(other))}")

    def delay(self) -> Pauses:
        pairs = self.random.sample(self._pairs(), self.random.randint(1, len(self._pairs())))
        delay, length = self.random.choice([0.02, 0.1, 0.3, 0.7]), self.random.uniform(1.0, 5.0)
        self._note(f"{delay * 1000:g} ms on {len(pairs)} flows for {length:.1f} s")
        self.network.change(pairs, delay=delay, jitter=delay)
        yield length
        self.network.heal()

    def throttle(self) -> Pauses:
        pairs = self.random.sample(self._pairs(), self.random.randint(1, len(self._pairs())))
        rate, length = self.random.choice([5_000, 30_000, 200_000]), self.random.uniform(1.0, 5.0)
        self._note(f"{rate} bytes/s on {len(pairs)} flows for {length:.1f} s")
        self.network.change(pairs, rate=float(rate))
        yield length
        self.network.heal()

    def resets(self) -> Pauses:
        count = self.random.randint(3, 25)
        self._note(f"{count} times")
        for _ in range(count):
            self.network.reset(*self.random.choice(self._pairs()))
            yield self.random.uniform(0.02, 0.3)

    # operators ----------------------------------------------------------------------------------------

    def transfer(self) -> Pauses:
        for _ in range(self.random.randint(1, 4)):
            leader = self.leader()
            if leader is not None:
                target = self.random.choice([[], [self._some().id]])
                self._note(f"{leader.id} to {target[0] if target else 'whoever'}")
                ask(leader, "RAFT", "TRANSFER", *target, timeout=0.2)
            yield self.random.uniform(0.1, 1.0)

    def snapshot(self) -> Pauses:
        for node in self.random.sample(self.cluster.nodes, self.random.randint(1, len(self.cluster.nodes))):
            if node.is_running and node.id not in self.paused:
                self._note(node.id)
                ask(node, "SNAPSHOT", timeout=0.2)
            yield self.random.uniform(0.0, 0.5)

    # the end of it ------------------------------------------------------------------------------------

    def heal(self) -> None:
        """No more faults: the network whole, everybody awake and running. May be called again and again."""
        for running in self._active:
            running.steps.close()
        self._active.clear()
        self.network.heal()
        self._resume(self.cluster.nodes)
        self.tend()
        self._crashing.clear()
        members = {node.id for node, _ in self._infos()}
        for node in self.cluster:
            seed = self._seeds.get(node.id)
            if node.id not in members and seed is not None and waits_to_join(node) and waits_to_join(seed):
                self._kill(node)  # each would wait for the other
            self.start(node)
        self.promote_learners()


def _names(nodes: Sequence[Node]) -> str:
    return "/".join(node.id for node in nodes)
