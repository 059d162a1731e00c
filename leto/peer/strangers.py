"""Connections to the peers' port that have not proved yet who they are: bounded, by the address they come from. Pure.

Anybody can open connections and say nothing. So members' addresses and all others have each their own room, and in it
those that have said nothing yet and those that have said who they are: an honest node says so at once, and proves it
with its next words, so that it is in either for a moment only. Where there is no room, the address that has the most
loses its oldest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from leto.peer.origins import plain
from leto.reactor.places import place_of

T = TypeVar("T", bound=Hashable)


class _Room(Generic[T]):
    """At most `bound` connections, at most `share` of them from one place."""

    def __init__(self, bound: int, share: int) -> None:
        self._bound = bound
        self._share = share
        self._places: dict[str, OrderedDict[T, None]] = {}  # each the oldest first
        self._size = 0

    def add(self, connection: T, place: str) -> T | None:
        """Gives the one that must go."""
        own = self._places.setdefault(place, OrderedDict())
        own[connection] = None
        self._size += 1
        if len(own) > self._share:
            return next(iter(own))
        if self._size > self._bound:
            most = max(self._places, key=lambda name: len(self._places[name]))
            return next(iter(self._places[most]))
        return None

    def discard(self, connection: T, place: str) -> None:
        own = self._places[place]
        del own[connection]
        self._size -= 1
        if not own:
            del self._places[place]


class Strangers(Generic[T]):
    """`limit`: how many are kept. `is_known` tells whether a host is one of the members'."""

    def __init__(self, limit: int, is_known: Callable[[str], bool]) -> None:
        bound = max(2, limit // 4)
        self._rooms = {
            (known, spoke): _Room[T](bound, bound if known else bound // 2)
            for known in (False, True)
            for spoke in (False, True)
        }
        self._is_known = is_known
        self._where: dict[T, tuple[bool, bool, str]] = {}

    def __len__(self) -> int:
        return len(self._where)

    def add(self, connection: T, host: str) -> T | None:
        """One more, from there. Gives the one that must go, which is forgotten already."""
        return self._enter(connection, self._is_known(plain(host)), False, place_of(host))

    def spoke(self, connection: T) -> T | None:
        """It has said who it is, proved or not. Gives the one that must go, which is forgotten already."""
        found = self._where.get(connection)
        if found is None or found[1]:
            return None
        self.discard(connection)
        return self._enter(connection, found[0], True, found[2])

    def discard(self, connection: T) -> None:
        """It is gone, or no stranger any more."""
        found = self._where.pop(connection, None)
        if found is not None:
            self._rooms[found[0], found[1]].discard(connection, found[2])

    def _enter(self, connection: T, known: bool, spoke: bool, place: str) -> T | None:
        self._where[connection] = known, spoke, place
        victim = self._rooms[known, spoke].add(connection, place)
        if victim is not None:
            self.discard(victim)
        return victim
