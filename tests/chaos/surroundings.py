"""Faults of what nodes take for granted: wall clocks that are wrong and jump, disks that are full."""

from __future__ import annotations

from tests.chaos.asking import ask
from tests.chaos.nemesis import Nemesis, Pauses, names
from tests.chaos.nodes import ChaosNode

SKEWS = (0.02, 0.3, 2.0)  # seconds, at most, ahead or behind
JUMPS = (5.0, 60.0, 3600.0, 86400.0)


def skew(n: Nemesis) -> Pauses:
    """Some clocks go wrong by little, and stay so."""
    most = n.random.choice(SKEWS)
    victims = n.random.sample(n.cluster.nodes, n.random.randint(1, len(n.cluster.nodes)))
    for node in victims:
        _set(n, node, round(n.random.uniform(-most, most), 3))
    n.note(", ".join(f"{node.id} {node.clock.offset:+.3f} s" for node in victims if node.clock is not None))
    yield n.random.uniform(0.5, 3.0)


def jump(n: Nemesis) -> Pauses:
    """A clock jumps by much, and is set right after a while, or not."""
    leader = n.leader()
    node = leader if leader is not None and n.random.random() < 0.5 else n.some()
    offset = n.random.choice(JUMPS) * n.random.choice([-1, 1])
    returns = n.random.random() < 0.6
    n.note(f"{node.id} {offset:+g} s{', for a while' if returns else ''}")
    _set(n, node, offset)
    yield n.random.uniform(1.5, 4.0)
    if returns:
        _set(n, node, 0.0)
        yield n.random.uniform(0.0, 1.5)


def _set(n: Nemesis, node: ChaosNode, offset: float) -> None:
    assert node.clock is not None
    n.offsets.add([offset])
    node.clock.set(offset)


def fill_disk(n: Nemesis) -> Pauses:
    """No space is left for a node: it ends by itself and says why, or lives on what it has."""
    victims = n.random.sample(n.cluster.nodes, n.random.choice([1, 1, (len(n.cluster.nodes) + 1) // 2]))
    leader = n.leader()
    spare = n.random.choice([0, 0, 4 << 10, 64 << 10])
    n.note(f"{names(victims)}, {spare} bytes left", takes_leader=leader in victims)
    for node in victims:
        node.fill_disk(spare)
        n.full.add(node.id)
    n.struck()
    if n.random.random() < 0.5:
        for node in victims:
            ask(node, "SNAPSHOT", timeout=0.2)
    yield n.random.uniform(0.5, 4.0)
    n.make_room()
    for _ in range(n.random.choice([1, 10, 100])):  # some are only now about to find out
        n.tend()
        for node in victims:
            n.start(node)
        yield 0.1
