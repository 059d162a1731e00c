"""What an entry did, beside what it answered: told to those at the edges of a node who watch, and to nobody else.

Effects are no part of the state: they are in no digest and no snapshot, and what is noted depends on who watches at
this node. What is noted of the same things is the same on every node, in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final

import msgspec

from leto.vocabulary.replies import Reply


class Kind(IntEnum):
    """What can be watched as a whole."""

    CHANGES = 0  # of any key
    READY = 1  # keys that have something for clients that wait
    MESSAGES = 2
    SERVED = 3  # clients that waited


class Effects(msgspec.Struct, frozen=True, gc=False):
    """Of one entry: those of a kind in the order in which they came about."""

    changes: tuple[tuple[bytes, bytes], ...] = ()
    """(event, key), as Redis's keyspace notifications name events: set, del, expire, expired, rename_from ...
    See https://redis.io/docs/manual/keyspace-notifications/."""
    ready: tuple[bytes, ...] = ()
    """Keys, each once."""
    messages: tuple[tuple[bytes, bytes], ...] = ()
    """(channel, message)."""
    served: tuple[tuple[Any, Reply], ...] = ()
    """(who waited, what it is answered)."""
    everything: bool = False
    """Any key may have changed: FLUSHALL, or a snapshot in the place of the state."""
    order: tuple[Kind, ...] = ()
    """The kind of each, in the order of all; () where all are of one."""

    def of(self, kind: Kind) -> tuple[Any, ...]:
        """Those of that kind."""
        return (self.changes, self.ready, self.messages, self.served)[kind]

    def in_order(self) -> Iterator[tuple[Kind, Any]]:
        """All with their kinds, in the order in which they came about."""
        each = [iter(self.of(kind)) for kind in Kind]
        if self.order:
            yield from ((kind, next(each[kind])) for kind in self.order)
        else:
            yield from ((kind, effect) for kind in Kind for effect in each[kind])


NOTHING: Final = Effects()
EVERYTHING: Final = Effects(everything=True)


class Applied(msgspec.Struct, gc=False):
    """What applying an entry gives: a reply for each request of it, and the effects."""

    replies: list[Reply]
    effects: Effects = NOTHING


class Noting:
    """Collects the effects of the entry that is being applied. The database has one only while somebody watches."""

    __slots__ = ("_everything", "_keys", "_kinds", "_noted", "_ready")

    def __init__(self) -> None:
        self._kinds: Counter[Kind] = Counter()
        self._keys: Counter[bytes] = Counter()
        self._clear()

    def _clear(self) -> None:
        self._noted: list[tuple[Kind, Any]] = []
        self._ready: set[bytes] = set()  # keys that are noted already
        self._everything = False

    # who watches ------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        """Whether anybody does."""
        return bool(self._kinds or self._keys)

    def watch(self, what: Kind | bytes) -> None:
        """Note all of that kind, or the changes of that key: until unwatch() was called as often as this."""
        if isinstance(what, Kind):
            self._kinds[what] += 1
        else:
            self._keys[what] += 1

    def unwatch(self, what: Kind | bytes) -> None:
        """See watch(). Raises KeyError for what nobody watches."""
        counts: Counter[Any] = self._kinds if isinstance(what, Kind) else self._keys
        if what not in counts:
            raise KeyError(what)
        counts[what] -= 1
        if not counts[what]:
            del counts[what]

    # what happens ------------------------------------------------------------------------------------

    def changed(self, event: bytes, key: bytes) -> None:
        """The key was changed, or deleted."""
        if Kind.CHANGES in self._kinds or key in self._keys:
            self._noted.append((Kind.CHANGES, (event, key)))

    def stored(self, pairs: list[bytes]) -> None:
        """changed() for SETs of key, value, key, value, ..."""
        for key in pairs[::2]:
            self.changed(b"set", key)

    def cleared(self) -> None:
        """All keys are gone."""
        self._everything = True

    def ready(self, key: bytes) -> None:
        """There is something under the key for clients that wait for it."""
        if Kind.READY in self._kinds and key not in self._ready:
            self._ready.add(key)
            self._noted.append((Kind.READY, key))

    def published(self, channel: bytes, message: bytes) -> None:
        """A message for the channel's subscribers."""
        if Kind.MESSAGES in self._kinds:
            self._noted.append((Kind.MESSAGES, (channel, message)))

    def served(self, waiter: Any, reply: Reply) -> None:
        """A client that waited need not wait any longer."""
        if Kind.SERVED in self._kinds:
            self._noted.append((Kind.SERVED, (waiter, reply)))

    def take(self) -> Effects:
        """What was noted since the last time."""
        if not (self._noted or self._everything):
            return NOTHING
        found: tuple[list[Any], ...] = ([], [], [], [])
        for kind, effect in self._noted:
            found[kind].append(effect)
        order = tuple(kind for kind, _ in self._noted) if sum(map(bool, found)) > 1 else ()
        changes, ready, messages, served = map(tuple, found)
        effects = Effects(changes, ready, messages, served, self._everything, order)
        self._clear()
        return effects
