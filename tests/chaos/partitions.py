"""Faults of the network between peers: in the proxies (silence, closed doors, delay, throttling, resets), and where
nodes have namespaces of their own in the kernel (packets dropped by direction, links taken down, a shaped link)."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.namespaces import DROPS
from tests.chaos.nemesis import Nemesis, Pauses, names

Pairs = Sequence[tuple[str, str]]


def ids_of(n: Nemesis) -> list[str]:
    return [node.id for node in n.cluster]


def pairs_of(n: Nemesis) -> Pairs:
    return [(one, other) for one in ids_of(n) for other in ids_of(n) if one != other]


def between(n: Nemesis, side: set[str]) -> Pairs:
    return [(one, other) for one, other in pairs_of(n) if (one in side) != (other in side)]


def sever(n: Nemesis, pairs: Pairs, kinds: Sequence[str]) -> str:
    """Stop what the first of each pair sends to the second, in one of the ways that this network has."""
    kind = n.random.choice([kind for kind in kinds if kind == "packets" or n.cluster.through_proxies])
    if kind != "packets":
        n.network.change(pairs, **{kind: True})
        return kind
    assert n.cluster.namespaces is not None
    ways = n.random.choice([DROPS, *((way,) for way in DROPS)])
    n.cluster.namespaces.drop(pairs, ways)
    return "packets dropped by " + (ways[0] if len(ways) == 1 else "any way")


def kinds_of_cut(n: Nemesis, *others: str) -> list[str]:
    return [*others, *(("packets",) * 2 if n.cluster.namespaces is not None else ())]


def cut(n: Nemesis, pairs: Pairs, detail: str, *, takes_leader: bool = False) -> Pauses:
    """Nothing passes between `pairs`, for a while."""
    length = n.random.choice([0.5, 1.5, 3.0, 6.0])
    kind = sever(n, pairs, kinds_of_cut(n, "held", "held", "cut"))
    n.note(f"{detail} {kind} for {length:g} s", takes_leader=takes_leader and length >= 3.0)
    yield length
    if kind == "held" and n.random.random() < 0.5:
        for one, other in pairs:
            n.network.reset(one, other)  # what was held is lost; else it all arrives now, late
    n.heal_network()
    yield n.random.uniform(0.0, 1.5)


def halves(n: Nemesis) -> Pauses:
    ids = n.random.sample(ids_of(n), len(n.cluster.nodes))
    side = set(ids[: len(ids) // 2])
    leader = n.leader()
    takes = leader is not None and leader.id in side
    yield from cut(n, between(n, side), "/".join(sorted(side)), takes_leader=takes)


def isolate_leader(n: Nemesis) -> Pauses:
    leader = n.leader()
    if leader is not None:
        yield from cut(n, between(n, {leader.id}), leader.id, takes_leader=True)


def one_way(n: Nemesis) -> Pauses:
    leader = n.leader()
    one = leader.id if leader is not None and n.random.random() < 0.6 else n.some().id
    outgoing = n.random.random() < 0.5
    others = [other for other in ids_of(n) if other != one]
    if n.random.random() < 0.4:
        others = [n.random.choice(others)]
    pairs = [(one, other) if outgoing else (other, one) for other in others]
    length = n.random.choice([1.0, 3.0, 6.0])
    kind = sever(n, pairs, kinds_of_cut(n, "held"))
    n.note(f"{one} {'to' if outgoing else 'from'} {'/'.join(others)} {kind} for {length:g} s")
    yield length
    n.heal_network()
    yield n.random.uniform(0.0, 1.5)


def bridge(n: Nemesis) -> Pauses:
    """Two halves that see only one node in common."""
    ids = n.random.sample(ids_of(n), len(n.cluster.nodes))
    half = len(ids) // 2
    one, other = set(ids[:half]), set(ids[half + 1 :])
    pairs = [pair for pair in pairs_of(n) if {*pair} & one and {*pair} & other]
    yield from cut(n, pairs, f"{'/'.join(sorted(one))} - {ids[half]} - {'/'.join(sorted(other))}")


def unplug(n: Nemesis) -> Pauses:
    """Links are down: clients do not reach these nodes either."""
    namespaces = n.cluster.namespaces
    assert namespaces is not None
    leader = n.leader()
    victims = n.random.sample(n.cluster.nodes, n.random.randint(1, len(n.cluster.nodes) // 2 + 1))
    if leader is not None and n.random.random() < 0.5:
        victims = [leader]
    length = n.random.choice([0.3, 1.0, 3.0, 5.0])
    n.note(f"{names(victims)} for {length:g} s", takes_leader=leader in victims and length >= 3.0)
    for node in victims:
        namespaces.unplug(node.id)
    n.struck()
    yield length
    n.heal_network()
    yield n.random.uniform(0.0, 1.5)


def shape(n: Nemesis) -> Pauses:
    """What one node sends, to peers and to clients, squeezes through a narrow link; what does not fit is lost."""
    namespaces = n.cluster.namespaces
    assert namespaces is not None
    node = n.leader() if n.random.random() < 0.5 else None
    node = node or n.some()
    rate, length = n.random.choice([10_000, 40_000, 200_000]), n.random.uniform(1.0, 5.0)
    n.note(f"{node.id} sends {rate} bytes/s for {length:.1f} s")
    namespaces.throttle(node.id, float(rate))
    yield length
    n.heal_network()


def delay(n: Nemesis) -> Pauses:
    pairs = n.random.sample(pairs_of(n), n.random.randint(1, len(pairs_of(n))))
    seconds, length = n.random.choice([0.02, 0.1, 0.3, 0.7]), n.random.uniform(1.0, 5.0)
    n.note(f"{seconds * 1000:g} ms on {len(pairs)} flows for {length:.1f} s")
    n.network.change(pairs, delay=seconds, jitter=seconds)
    yield length
    n.heal_network()


def throttle(n: Nemesis) -> Pauses:
    pairs = n.random.sample(pairs_of(n), n.random.randint(1, len(pairs_of(n))))
    rate, length = n.random.choice([5_000, 30_000, 200_000]), n.random.uniform(1.0, 5.0)
    n.note(f"{rate} bytes/s on {len(pairs)} flows for {length:.1f} s")
    n.network.change(pairs, rate=float(rate))
    yield length
    n.heal_network()


def resets(n: Nemesis) -> Pauses:
    count = n.random.randint(3, 25)
    n.note(f"{count} times")
    for _ in range(count):
        n.network.reset(*n.random.choice(pairs_of(n)))
        yield n.random.uniform(0.02, 0.3)
