"""Slows those who guess passwords: by their address, whatever connection they use, and at nobody else's cost.

After a few wrong ones, the next attempts of that address wait before they are looked at. It is the attempt that waits,
not the answer to a wrong one: who need not wait for a right one would not wait at all. So a client that knows the
password waits too where somebody at its own address guesses, for a moment; clients of other addresses and those that
are in already never do. What waits is one timer for a connection, dropped with it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from twisted.internet.defer import Deferred

from leto.reactor.notices import Notices
from leto.reactor.places import place_of

FREE: Final = 5  # wrong passwords from one address until the next attempt waits
FIRST_SECONDS: Final = 0.1  # doubled with each further one ...
LONGEST_SECONDS: Final = 2.0  # ... up to this
AT_ONCE: Final = 32  # attempts of one address that wait so long; more wait a multiple of it
CAP_SECONDS: Final = 10.0
FORGET_SECONDS: Final = 60.0  # without a wrong one
_PLACES: Final = 4096  # addresses that are remembered: those that failed last


class _Place:
    __slots__ = ("failed_at", "failures", "waiting")

    def __init__(self) -> None:
        self.failures = 0
        self.failed_at = 0.0
        self.waiting = 0


class PasswordGuard:
    """One a node. `key` is whatever tells one connection from another."""

    def __init__(self, reactor: Any, notices: Notices) -> None:
        self._reactor = reactor
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._waiting: dict[int, tuple[Any, _Place]] = {}
        self._notices = notices

    def delay(self, host: str) -> float:
        """How long an attempt from there must wait now, in seconds."""
        place = self._places.get(place_of(host)) if self._places else None
        if place is None or place.failures < FREE:
            return 0.0
        if self._reactor.seconds() - place.failed_at > FORGET_SECONDS:
            place.failures = 0
            return 0.0
        each: float = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(place.failures - FREE, 16))
        return min(CAP_SECONDS, each * (1 + place.waiting // AT_ONCE))

    def wait(self, key: int, host: str, seconds: float) -> Deferred[None]:
        """Fires after that time, or never if the connection is gone by then."""
        due: Deferred[None] = Deferred()
        place = self._places[place_of(host)]
        place.waiting += 1
        self._waiting[key] = self._reactor.callLater(seconds, self._over, key, due), place
        return due

    def _over(self, key: int, due: Deferred[None]) -> None:
        _, place = self._waiting.pop(key)
        place.waiting -= 1
        due.callback(None)

    def failed(self, host: str) -> None:
        """A wrong password came from there."""
        name = place_of(host)
        place = self._places.setdefault(name, _Place())
        place.failures += 1
        place.failed_at = self._reactor.seconds()
        self._places.move_to_end(name)
        if len(self._places) > _PLACES:
            self._places.popitem(last=False)
        self._notices.warn(
            ("password", name),
            "wrong password from {address} ({failures} lately)",
            address=host or "a local socket",
            failures=place.failures,
        )

    def gone(self, key: int) -> None:
        """That connection is lost: nothing waits for it."""
        found = self._waiting.pop(key, None)
        if found is not None:
            found[0].cancel()
            found[1].waiting -= 1

    def close(self) -> None:
        """The node stops: no timer stays behind."""
        for key in tuple(self._waiting):
            self.gone(key)
