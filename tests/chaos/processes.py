"""Faults of processes: killed, crashed at a step of the disk's work, stopped and woken, restarted."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from leto.storage.faultpoints import POINTS
from tests.chaos.asking import ask, info
from tests.chaos.nemesis import Nemesis, Pauses, names
from tests.chaos.nodes import ChaosNode


def kill(n: Nemesis) -> Pauses:
    count = n.random.randint(1, max(1, (len(n.cluster.nodes) + 1) // 2))
    victims = n.random.sample(n.cluster.nodes, count)
    downtime = n.random.uniform(0.0, 3.0)
    leader = n.leader()
    n.note(f"{names(victims)} for {downtime:.2f} s", takes_leader=leader in victims)
    for node in victims:
        n.kill(node)
    n.struck()
    yield downtime
    for node in victims:
        n.start(node)
        yield n.random.uniform(0.0, 0.5)
    yield n.random.uniform(0.0, 2.0)


def kill_leader(n: Nemesis) -> Pauses:
    downtime = n.random.choice([0.0, 0.5, 2.0, 4.0])
    leader = n.leader()
    if leader is None:
        return
    n.note(f"{leader.id} for {downtime:g} s", takes_leader=True)
    n.kill(leader)
    n.struck()
    yield downtime
    n.start(leader)
    yield n.random.uniform(0.0, 3.0)


def kill_all(n: Nemesis) -> Pauses:
    n.note("all at once", takes_leader=True)
    for node in n.cluster.nodes:
        n.kill(node)
    n.struck()
    for node in n.random.sample(n.cluster.nodes, len(n.cluster.nodes)):
        n.start(node)
        yield n.random.uniform(0.0, 0.3)
    yield 2.0


def crash_point(n: Nemesis) -> Pauses:
    """A node dies at some step of its disk's work."""
    node = n.some()
    point = f"{n.random.choice(POINTS)}:{n.random.choice([1, 1, 2, 5, 20, 100])}"
    n.note(f"{node.id} at {point}", takes_leader=n.leader() is node)
    n.kill(node)
    n.crashing.add(node.id)
    n.start(node, {"LETO_FAULTPOINT": point})
    for _ in range(100):
        if info(node) or not node.is_running:
            break
        yield 0.1
    yield n.random.uniform(1.0, 3.0)
    ask(node, "SNAPSHOT")
    yield n.random.uniform(0.0, 2.0)
    if node.is_running:
        n.kill(node)
    n.tend()
    n.crashing.discard(node.id)
    n.start(node)
    yield 0.5


def pause(n: Nemesis) -> Pauses:
    count = n.random.randint(1, max(1, (len(n.cluster.nodes) + 1) // 2))
    yield from hold(n, n.random.sample(n.cluster.nodes, count))


def pause_leader(n: Nemesis) -> Pauses:
    leader = n.leader()
    if leader is not None:
        yield from hold(n, [leader])


def hold(n: Nemesis, victims: Sequence[ChaosNode]) -> Pauses:
    length = n.random.choice([0.3, 1.0, 2.0, 4.0])
    leader = n.leader()
    n.note(f"{names(victims)} for {length:g} s", takes_leader=leader in victims and length >= 2.0)
    for node in victims:
        if node.is_running:
            n.paused.add(node.id)
            node.pause()
    n.struck()
    yield length
    n.resume(victims)
    yield n.random.uniform(0.0, 1.0)


def rolling_restart(n: Nemesis) -> Pauses:
    """TERM, one after the other, as an operator updates a cluster."""
    n.note("all in turn")
    for node in n.random.sample(n.cluster.nodes, len(n.cluster.nodes)):
        if info(node):  # one that has not begun to serve dies of TERM as any program does
            n.stopping.add(node.id)
            node.signal(signal.SIGTERM)
            for _ in range(300):
                n.tend()
                if not node.is_running:
                    break
                yield 0.1
            if node.is_running:
                n.faults.append(f"{node.id} still runs 30 s after TERM")
                node.kill()
                n.stopping.discard(node.id)
        n.start(node)
        for _ in range(100):
            if info(node).get("raft_leader_id"):
                break
            yield 0.1
