"""When what was gathered becomes a log entry. Pure: the caller tells the time.

A log entry costs every node about as much for one request as for fifty: a message, a flush, an answer. So while an
entry is on its way, what comes is gathered for the next (group commit); and clients that were answered just now, and
ask again as soon as they were, are worth a moment's wait, or they would form a second group for ever, and each entry
would hold half of what it could. How many they are is learned from how many waited at once before.

Clients that do not wait for each other's replies, or think before they ask, gain nothing by it. They are known by that
the wait ended before they came, or that many more came while the entry was on its way: those who ask again as soon as
they are answered all wait then. After such a wait in vain there is none for a while, twice as long each time.
"""

from __future__ import annotations

from typing import Final

FLIGHT_SECONDS: Final = 0.005  # for an entry under way; longer is a distant quorum, and the next entry follows it
RETURN_SECONDS: Final = 0.002  # for the next of the clients that were just answered
HOLD_BYTES: Final = 128 << 10  # so much is an entry worth having: its requests cost more than it does itself
SHARE: Final = 0.9  # of those who are expected; the last few need not be waited for
OTHERS: Final = 0.3  # of those who are expected: if more come while an entry that was waited for is on its way
FIRST_PAUSE, LONGEST_PAUSE = 8, 512  # entries for which nobody is waited for after a wait in vain


class Patience:
    """One leader's. `hold_until` is when the wait at hand ends at the latest, for a timer."""

    __slots__ = ("_expected", "_gathered", "_limit", "_pause", "_paused", "_seen", "_waited", "hold_until")

    def __init__(self) -> None:
        self.hold_until = 0.0
        self._limit = 0.0
        self._gathered = 0  # when last asked while waiting for those who were answered
        self._waited = False  # for company of the entry on its way, and it came
        self._expected = 0  # requests that are likely to wait at once
        self._seen = 0  # the most that did since the last entry
        self._pause = FIRST_PAUSE  # entries, the next time that a wait is in vain
        self._paused = 0  # entries left

    def is_over(self, now: float, gathered: int, gathered_bytes: int, waiting: int) -> bool:
        """Whether to append what was gathered. `gathered` of the `waiting` requests are in no entry yet."""
        if waiting > self._seen:
            self._seen = waiting
        if now >= self.hold_until or gathered_bytes >= HOLD_BYTES:
            return True
        if gathered < waiting:
            return False  # the entry before is still on its way
        if self._paused or gathered >= SHARE * max(self._expected, self._seen):
            return True
        if gathered > self._gathered:
            self._gathered = gathered
            self.hold_until = min(now + RETURN_SECONDS, self._limit)
        return False

    def sent(self, now: float, gathered: int) -> None:
        """They are in an entry now: the next one's wait begins."""
        if self._paused:
            self._paused -= 1
        elif self._gathered:
            if gathered < SHARE * self._expected:
                self._give_up()
            else:
                self._waited = True
        self._expected = self._seen
        self._seen = self._gathered = 0
        self.hold_until = now + FLIGHT_SECONDS

    def answered(self, now: float, gathered: int) -> None:
        """An entry was applied, and its clients have their replies. `gathered`: requests that came meanwhile."""
        if self._waited:
            self._waited = False
            if gathered > OTHERS * self._expected:
                self._give_up()
            else:
                self._pause = max(self._pause // 2, FIRST_PAUSE)
        self.hold_until = now + RETURN_SECONDS
        self._limit = now + FLIGHT_SECONDS

    def _give_up(self) -> None:
        self._paused = self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
