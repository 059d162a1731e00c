"""What the log says of wall clocks: which one is off, what that means, what to do, and that it is right again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from twisted.logger import Logger

from leto.raft.node import Node

AGAIN_SECONDS: Final = 600.0  # what goes on is said again after so long
SETTLED_SECONDS: Final = 10.0  # what is over must have been over for so long

_OWN: Final = ("own", "")
_CLUSTER: Final = ("cluster", "")
Subject = tuple[str, str]


class _Said:
    __slots__ = ("last_off", "said_at")

    def __init__(self, now: float) -> None:
        self.said_at = self.last_off = now


class ClockWatch:
    """A leader's: look() at each heartbeat. A node that does not lead says nothing."""

    log = Logger()

    def __init__(self, node: Node, now: Callable[[], float]) -> None:
        self._node = node
        self._now = now
        self._said: dict[Subject, _Said] = {}

    def forget(self) -> None:
        """This node leads no more: the next leader looks."""
        self._said.clear()

    def look(self) -> None:
        """Say what is new about the members' wall clocks."""
        now = self._now()
        off = dict(self._off())
        for subject, seconds in off.items():
            said = self._said.get(subject)
            if said is None or now - said.said_at >= AGAIN_SECONDS:
                said = self._said[subject] = _Said(now)
                self._say(subject, seconds)
            said.last_off = now
        for subject in [s for s, said in self._said.items() if now - said.last_off >= SETTLED_SECONDS]:
            del self._said[subject]
            self._say_over(subject)

    def _off(self) -> Iterator[tuple[Subject, float]]:
        """Whose clock is off, and how far, in seconds."""
        node = self._node
        bound = node.max_clock_offset
        if node.clock_ahead > bound and not node.clock_error:
            yield _CLUSTER, node.clock_ahead
        if node.clock_error:
            yield _OWN, node.clock_error
            return  # by such a clock others' cannot be judged
        for member in node.progress:
            known = node.clock_offset(member)
            if known is not None and abs(known[0]) - known[1] > bound:
                yield ("member", member), known[0]

    def _say(self, subject: Subject, seconds: float) -> None:
        how = in_words(seconds)
        if subject == _OWN:
            self.log.warn(
                "the wall clock of this leader is {how} what a majority's stand for, and the cluster's clock does not"
                " follow it: set it right (is chrony or another NTP client running?), or move the leadership until it"
                " is (RAFT TRANSFER)",
                how=how,
            )
        elif subject == _CLUSTER:
            self.log.warn(
                "the cluster's clock is {how} the wall clocks, and goes 1% slower until they meet: times to live are"
                " right, but EXAT and EXPIREAT come early by so much. Some leader's wall clock was wrong",
                how=how,
            )
        else:
            self.log.warn(
                "the wall clock of {member} is {how} this leader's: set it right (is chrony or another NTP client"
                " running there?)",
                member=subject[1],
                how=how,
            )

    def _say_over(self, subject: Subject) -> None:
        if subject == _OWN:
            self.log.info("the wall clock of this leader is what a majority's stand for again")
        elif subject == _CLUSTER:
            self.log.info("the cluster's clock is what the wall clocks show again")
        else:
            self.log.info("the wall clock of {member} is like this leader's again", member=subject[1])


def in_words(seconds: float) -> str:
    """3.2 s ahead of, 3.2 s behind."""
    return f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'}"
