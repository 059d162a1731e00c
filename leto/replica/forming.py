"""How nodes that are all started alike form one cluster, and never a second one. Pure.

Each of them knows, by `--join`, the addresses of all, and by `--bootstrap-expect` how many they are. While it has no
data it says of itself who it is and whom it sees waiting like itself. One founds the cluster: the one of the lowest id,
once all of the addresses have answered it, all are without a cluster, and all say that they see the very same nodes.
The others find its cluster then, and join it.

There is no second cluster, because every node that could found one needs all of them to be without data, itself
included: after the founding the founder is not, until its disk is lost; and whoever has joined by then is not either.
So the order of starts, crashes (the founding is finished at the next start), wiped disks and cut networks may keep a
cluster from forming for a while, but cannot make two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_TEXT = "{} waits for the cluster to take it"
_DETAILS = " (run {}, one of {}, sees {})"
_PATTERN = re.compile(r"LOADING (\S+) waits for the cluster to take it \(run (\w+), one of (\d+), sees ([^()]*)\)")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A node without data, by its own words."""

    id: str
    run: str  # names this life of its process
    expected: int  # how many nodes are to form the cluster; 0: it only joins
    sees: frozenset[str] = frozenset()  # ids, its own included, if it has seen nodes at all addresses, and all waited

    def __str__(self) -> str:
        text = _TEXT.format(self.id)
        if not self.expected:
            return text
        return text + _DETAILS.format(self.run, self.expected, " ".join(sorted(self.sees)) or "not all")

    @classmethod
    def parse(cls, error: str) -> Waiting | None:
        """From what a waiting node answers, behind the dash of the error; None if it is no such."""
        found = _PATTERN.fullmatch(error)
        if found is None:
            return None
        sees = frozenset() if found[4] == "not all" else frozenset(found[4].split())
        return cls(found[1], found[2], int(found[3]), sees)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from one round of questions."""

    founds: bool
    sees: frozenset[str]  # what to tell the others from now on
    reason: str  # what is waited for


def judge(own: Waiting, answers: Mapping[str, Waiting | None]) -> Verdict:
    """`answers`: what each address of `--join` said in this round, its own among them or not; None for one that did not
    answer, or not as a node that waits."""
    missing = [address for address, answer in answers.items() if answer is None]
    if missing:
        return _wait(f"{' and '.join(missing)} must answer first: no cluster is formed without all of --join")
    nodes = {own.id: own}
    for address, answer in answers.items():
        if answer is None or answer.run == own.run:
            continue
        if nodes.setdefault(answer.id, answer).run != answer.run:
            return _wait(f"the node at {address} is called {answer.id} too: ids must be unique")
        if answer.expected != own.expected:
            return _wait(f"{answer.id} has --bootstrap-expect {answer.expected or 'not given'}, not {own.expected}")
    ids = frozenset(nodes)
    if len(ids) != own.expected:
        return _wait(f"{own.expected} nodes are to form the cluster, and --join leads to {', '.join(sorted(ids))}")
    apart = sorted(node.id for node in nodes.values() if node is not own and node.sees != ids)
    if apart:
        return Verdict(False, ids, f"{', '.join(apart)} must see all of {', '.join(sorted(ids))} too")
    founder = min(ids)
    return Verdict(own.id == founder, ids, "" if own.id == founder else f"{founder} founds the cluster")


def _wait(reason: str) -> Verdict:
    return Verdict(False, frozenset(), reason)
