"""Counts the Python functions that one client's request calls, on the leader and on one follower.

A generator counts each time it is gone on with, a comprehension once, as the interpreter calls them. What the client
does is not counted. Requests come one after another, in a steady state, with nothing else going on.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from tests.calls.cluster import TURNS, Cluster, Peer

ROOT = Path(__file__).parents[2]
STEP_SECONDS = 0.0002  # that pass from one turn to the next: a client that is answered asks again at once
WARM = 150  # requests before anything is counted: by then each judgement of times past is made
COUNTED = 60  # the one with the fewest calls tells: the others have a timer's work besides
Place = tuple[str, str]  # room, function


class Calls(NamedTuple):
    """Of one request. `synced`: of the follower's, those between the end of its fdatasync and its answer's sending;
    `answered`: of the leader's, those between the receipt of that answer and the client's reply (0 for a read that
    asked nobody)."""

    leader: Counter[Place]
    follower: Counter[Place]
    synced: int
    answered: int
    way: tuple[str, ...]
    """The files of leto/ whose functions run at the leader, in the order in which the request comes to each."""


class _Counting:
    """A profile function: counts calls, and those between one system call and another."""

    def __init__(self) -> None:
        self.places: Counter[Any] = Counter()
        self.total = 0
        self.marks: dict[str, list[int]] = {}  # system call -> how many calls there were before each

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            self.places[frame.f_code] += 1
            self.total += 1
        elif event in ("c_call", "c_return"):
            name = arg.__name__
            if (name, event) in (("fdatasync", "c_return"), ("recv", "c_return"), ("send", "c_call")):
                self.marks.setdefault(name, []).append(self.total)

    def count(self, call: Callable[[], object]) -> None:
        sys.setprofile(self)
        try:
            call()
        finally:
            sys.setprofile(None)

    def by_place(self) -> Counter[Place]:
        found: Counter[Place] = Counter()
        for code, calls in self.places.items():
            found[_room(code.co_filename), code.co_qualname] += calls
        return found

    def way(self) -> tuple[str, ...]:
        """The files of leto/ in the order of their first calls."""
        files = [Path(code.co_filename) for code in self.places]  # a Counter keeps the order in which they came
        ours = [file.relative_to(ROOT / "leto") for file in files if file.is_relative_to(ROOT / "leto")]
        return tuple(dict.fromkeys(map(str, ours)))


def _room(file: str) -> str:
    path = Path(file)
    if path.is_relative_to(ROOT / "leto"):
        return path.relative_to(ROOT / "leto").parts[0]
    return "twisted" if "twisted" in path.parts else "harness" if path.is_relative_to(ROOT) else "python"


def count(cluster: Cluster, request: bytes) -> Calls:
    """Of `request`, sent by the cluster's client. Raises AssertionError if it is not answered by the second turn."""
    cluster.settle()
    for _ in range(WARM):
        _count_one(cluster, request)
    counted = [_count_one(cluster, request) for _ in range(COUNTED)]
    return min(counted, key=lambda calls: (calls.leader.total(), calls.follower.total(), calls.synced, calls.answered))


def _count_one(cluster: Cluster, request: bytes) -> Calls:
    """The first follower's acknowledgement makes the quorum; the other's comes when the client has its reply."""
    first, second = cluster.followers
    leader, follower, other = _Counting(), _Counting(), _Counting()
    cluster.client.send(request)
    turns: list[tuple[Peer, _Counting]] = [(cluster.leader, leader), (first, follower), (cluster.leader, leader)]
    answer, answered = b"", 0
    for peer, counting in turns:
        before = counting.total
        peer.await_input()
        counting.count(peer.turn)
        answer = cluster.answer()
        cluster.time.passes(STEP_SECONDS)
        if answer and before:
            answered = counting.marks["send"][-1] - [at for at in counting.marks["recv"] if at > before][0]
    assert answer, "no answer"
    is_write = "fdatasync" in follower.marks
    for peer, counting in ((second, other), (cluster.leader, leader)):
        if is_write:  # a read is confirmed by one follower alone
            peer.await_input()
        counting.count(peer.turn)
        cluster.time.passes(STEP_SECONDS)
    synced = 0
    if is_write:
        synced = follower.marks["send"][-1] - follower.marks["fdatasync"][-1]
    return Calls(leader.by_place(), follower.by_place(), synced, answered, leader.way())


def count_together(cluster: Cluster, request: bytes) -> Counter[Place]:
    """Of `request`, sent by each of the cluster's clients at once: what the leader calls for all of them together."""
    for _ in range(WARM // 4):
        _count_together_once(cluster, request)
    return min((_count_together_once(cluster, request) for _ in range(COUNTED // 4)), key=Counter.total)


def _count_together_once(cluster: Cluster, request: bytes) -> Counter[Place]:
    first, second = cluster.followers
    leader = _Counting()
    for client in cluster.clients:
        client.send(request)
    waiting = cluster.clients
    for _ in range(TURNS):  # one that the kernel brings late is answered later: another time it is not
        cluster.leader.await_input()
        leader.count(cluster.leader.turn)
        cluster.time.passes(STEP_SECONDS)
        waiting = [client for client in waiting if not cluster.answer(client)]
        if not waiting:
            break
        first.await_input()
        first.turn()
        cluster.time.passes(STEP_SECONDS)
    assert not waiting, "no answer"
    second.turn()
    cluster.time.passes(STEP_SECONDS)
    leader.count(cluster.leader.turn)
    cluster.time.passes(STEP_SECONDS)
    return leader.by_place()


def of_leto(calls: Counter[Place]) -> int:
    """Those of Leto's own functions."""
    return sum(number for (room, _), number in calls.items() if room not in ("twisted", "harness", "python"))
