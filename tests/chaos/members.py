"""What operators do, and what befalls members: leaving, losing a disk, demotion, transfer, snapshots."""

from __future__ import annotations

from tests.chaos.asking import ask
from tests.chaos.nemesis import Nemesis, Pauses


def leave_and_rejoin(n: Nemesis) -> Pauses:
    """LEAVE; the node ends, loses its disk, and joins again."""
    if not n.is_whole():
        return
    node = n.some()
    leader = n.leader()
    if leader is None:
        return
    n.note(f"{node.id} asked of {leader.id}", takes_leader=node is leader)
    n.leaving.add(node.id)
    ask(leader, "LEAVE", node.id, timeout=0.3)
    for _ in range(60):
        n.tend()  # wipes it once it has ended
        if not node.is_running:
            break
        yield 0.1
    yield n.random.uniform(0.0, 1.0)
    n.start(node)
    yield from until_whole(n)


def lose_disk(n: Nemesis) -> Pauses:
    """A disk is lost, and its node comes back empty under the same id. Never two at a time: a majority of disks
    is what all promises rest on."""
    if not n.is_whole():
        return
    node = n.some()
    n.note(node.id, takes_leader=n.leader() is node)
    n.kill(node)
    node.forget_data()
    yield n.random.uniform(0.0, 2.0)
    n.start(node)
    yield from until_whole(n)


def demote_and_promote(n: Nemesis) -> Pauses:
    leader = n.leader()
    if leader is None or not n.is_whole():
        return
    node = n.some()
    n.note(f"{node.id} by {leader.id}", takes_leader=node is leader)
    ask(leader, "RAFT", "DEMOTE", node.id, timeout=0.3)
    yield n.random.uniform(0.5, 2.0)
    n.promote_learners()
    yield from until_whole(n)


def until_whole(n: Nemesis) -> Pauses:
    """Let others wait for the cluster to be whole again, for a bounded time."""
    for _ in range(30):
        if n.is_whole():
            return
        yield 0.2


def transfer(n: Nemesis) -> Pauses:
    for _ in range(n.random.randint(1, 4)):
        leader = n.leader()
        if leader is not None:
            target = n.random.choice([[], [n.some().id]])
            n.note(f"{leader.id} to {target[0] if target else 'whoever'}")
            ask(leader, "RAFT", "TRANSFER", *target, timeout=0.2)
        yield n.random.uniform(0.1, 1.0)


def snapshot(n: Nemesis) -> Pauses:
    for node in n.random.sample(n.cluster.nodes, n.random.randint(1, len(n.cluster.nodes))):
        if node.is_running and node.id not in n.paused:
            n.note(node.id)
            ask(node, "SNAPSHOT", timeout=0.2)
        yield n.random.uniform(0.0, 0.5)
