"""Nodes that are started alike form one cluster: whatever the order of starts, crashes, lost disks and late answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.replica.forming import Verdict, Waiting, judge

ADDRESSES = ("h:1", "h:2", "h:3")


def waiting(name: str, *sees: str, run: str = "", expected: int = 3) -> Waiting:
    return Waiting(name, run or "r" + name[-1], expected, frozenset(sees))


ALL = ("id1", "id2", "id3")


@pytest.mark.parametrize("own", [waiting("id1"), waiting("id1", *ALL), waiting("a", expected=0), waiting("a.b:c@d-e")])
def test_what_a_node_says_of_itself_is_understood(own: Waiting) -> None:
    assert Waiting.parse(f"LOADING {own}") == (own if own.expected else None)
    assert str(own).startswith(f"{own.id} waits for the cluster to take it")


@pytest.mark.parametrize(
    ("own", "answers", "founds", "reason"),
    [
        ("id1", [waiting("id1"), waiting("id2", *ALL), waiting("id3", *ALL)], True, ""),
        ("id1", [waiting("id2", *ALL), waiting("id3", *ALL)], True, ""),
        ("id2", [waiting("id1", *ALL), waiting("id2"), waiting("id3", *ALL)], False, "id1 founds the cluster"),
        ("id1", [waiting("id1"), waiting("id2", *ALL), None], False, "h:3 must answer first: no cluster is formed"),
        ("id1", [waiting("id1"), waiting("id2", *ALL), waiting("id3")], False, "id3 must see all of id1, id2, id3 too"),
        (
            "id1",
            [waiting("id1"), waiting("id2", *ALL)],
            False,
            "3 nodes are to form the cluster, and --join leads to id1, id2",
        ),
        ("id1", [waiting("id1"), waiting("id2", *ALL), waiting("id2", *ALL, run="b")], False, "h:3 is called id2 too"),
        ("id1", [waiting("id1", run="other"), waiting("id2"), waiting("id3")], False, "h:1 is called id1 too"),
        (
            "id1",
            [waiting("id1"), waiting("id2", *ALL), waiting("id3", *ALL, expected=5)],
            False,
            "id3 has --bootstrap-expect 5, not 3",
        ),
    ],
)
def test_who_founds_and_what_the_others_wait_for(
    own: str, answers: list[Waiting | None], founds: bool, reason: str
) -> None:
    verdict = judge(waiting(own), dict(zip(ADDRESSES, answers, strict=False)))
    assert verdict.founds is founds
    assert reason in verdict.reason


@dataclass
class Disk:
    cluster: int = 0  # 0: empty
    lives: int = 0


@dataclass
class Model:
    """Three nodes; each asks the addresses one after another, while the others live, die and lose their disks."""

    disks: dict[str, Disk] = field(default_factory=lambda: {name: Disk() for name in ALL})
    words: dict[str, Waiting | None] = field(
        default_factory=lambda: dict.fromkeys(ALL)
    )  # of running nodes without data
    heard: dict[str, dict[str, Waiting | None]] = field(default_factory=lambda: {name: {} for name in ALL})
    running: set[str] = field(default_factory=set)
    founded: int = 0

    def start(self, name: str) -> None:
        if name not in self.running:
            self.running.add(name)
            disk = self.disks[name]
            disk.lives += 1
            self.heard[name] = {}
            self.words[name] = None if disk.cluster else waiting(name, run=f"{name}x{disk.lives}")

    def kill(self, name: str) -> None:
        self.running.discard(name)
        self.words[name] = None

    def wipe(self, name: str) -> None:
        self.kill(name)
        self.disks[name].cluster = 0

    def ask(self, name: str, other: str) -> None:
        own = self.words[name]
        if own is None:
            return
        if self.disks[other].cluster and other in self.running:
            self.disks[name].cluster = self.disks[other].cluster
            self.words[name] = None
            return
        self.heard[name][other] = self.words[other]
        if len(self.heard[name]) == len(ALL):
            verdict = judge(own, self.heard[name])
            self.heard[name] = {}
            self.words[name] = replace(own, sees=verdict.sees)
            self.act(name, verdict)

    def act(self, name: str, verdict: Verdict) -> None:
        if verdict.founds:
            self.founded += 1
            self.disks[name].cluster = self.founded
            self.words[name] = None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.sampled_from(ALL)),
        st.tuples(st.just("kill"), st.sampled_from(ALL)),
        st.tuples(st.just("wipe"), st.sampled_from(ALL)),
        *[st.tuples(st.just("ask"), st.sampled_from(ALL), st.sampled_from(ALL))] * 6,
    ),
    max_size=120,
)


@settings(max_examples=400, deadline=None)
@given(STEPS, st.permutations(ALL))
def test_there_are_never_two_clusters_and_in_the_end_there_is_one(
    steps: list[tuple[str, ...]], order: list[str]
) -> None:
    model = Model()
    for name in order:
        model.start(name)
    for step, *names in steps:
        getattr(model, step)(*names)
        assert len({disk.cluster for disk in model.disks.values() if disk.cluster}) <= 1, "two clusters"
    for name in order:
        model.start(name)
    for _ in range(4):
        for name in order:
            for other in ALL:
                model.ask(name, other)
    assert len({disk.cluster for disk in model.disks.values()}) == 1
    assert all(disk.cluster for disk in model.disks.values())
