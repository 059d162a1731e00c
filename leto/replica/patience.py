"""When what was gathered becomes a log entry. Pure: the caller tells the time.

A log entry costs every node about as much for one request as for fifty: a message, a flush, an answer. Clients that
ask again as soon as they are answered are worth waiting for, then: while an entry is on its way what comes is gathered
for the next (group commit), and those who were answered just now are waited for a moment, or they would form a second
group for ever, and each entry would hold half of what it could. How many they are is learned from how many waited at
once before.

Open-loop clients gain nothing by it, only wait longer. They are known by that few of the requests come from a client
that was answered just now (WriteRequest.returns). Their entries follow each other soon.
"""

from __future__ import annotations

from typing import Final

FLIGHT_SECONDS: Final = 0.005  # for an entry under way; longer is a distant quorum, and the next entry follows it
HASTY_SECONDS: Final = 0.0003  # the same for open-loop clients
RETURN_SECONDS: Final = 0.002  # for the next of the clients that were just answered
HOLD_BYTES: Final = 128 << 10  # so much is an entry worth having: its requests cost more than it does itself
SHARE: Final = 0.9  # of those who are expected; the last few need not be waited for
MANY_RETURN: Final = 0.5  # share of requests: from here on clients are those who ask again at once
MEMORY: Final = 0.9  # weight of what was known of that share before an entry
PROMPT_SECONDS: Final = 0.0005  # a client that was answered alone, and asks again within this time, does so at once
PROMPT_SECONDS_EACH: Final = 0.00002  # more for each one answered with it: replies and requests are handled in turn
PROMPT_SECONDS_MOST: Final = 0.02


def prompt_until(now: float, answered: int) -> float:
    """Until when a client that is answered `now`, as one of so many, would ask again at once."""
    return now + min(PROMPT_SECONDS + PROMPT_SECONDS_EACH * answered, PROMPT_SECONDS_MOST)


class Patience:
    """One leader's. `hold_until` is when the wait at hand ends at the latest, for a timer; `is_worthwhile` while most
    of the clients ask again at once."""

    __slots__ = ("_come", "_expected", "_limit", "_returning", "_seen", "hold_until", "is_worthwhile")

    def __init__(self) -> None:
        self.hold_until = 0.0
        self.is_worthwhile = False
        self._limit = 0.0
        self._come = 0  # when last asked while waiting for those who were answered
        self._expected = 0  # requests that are likely to wait at once
        self._seen = 0  # the most that did since the last entry
        self._returning = 0.0  # share of requests whose clients had just been answered

    def is_over(self, now: float, gathered: int, gathered_bytes: int, waiting: int, elsewhere: int = 0) -> bool:
        """Whether to append what was gathered. `gathered` of the `waiting` requests are in no entry yet; the clients
        of so many others, which wait `elsewhere`, may come next, but not before they are answered."""
        if waiting + elsewhere > self._seen:
            self._seen = waiting + elsewhere
        if now >= self.hold_until or gathered_bytes >= HOLD_BYTES:
            return True
        if gathered < waiting:
            return False  # the entry before is still on its way
        come = gathered + elsewhere
        if not self.is_worthwhile or come >= SHARE * max(self._expected, self._seen):
            return True
        if come > self._come:
            self._come = come
            self.hold_until = min(now + RETURN_SECONDS, self._limit)
        return False

    def sent(self, now: float, gathered: int, returning: int) -> None:
        """They are in an entry now, so many of them from clients that the last one answered."""
        self._returning = MEMORY * self._returning + (1 - MEMORY) * returning / (gathered or 1)
        self.is_worthwhile = self._returning >= MANY_RETURN
        self._expected = self._seen
        self._seen = self._come = 0
        self.hold_until = now + (FLIGHT_SECONDS if self.is_worthwhile else HASTY_SECONDS)

    def answered(self, now: float) -> None:
        """An entry was applied, and its clients have their replies."""
        self.hold_until = now + RETURN_SECONDS
        self._limit = now + FLIGHT_SECONDS
