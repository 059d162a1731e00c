"""Who at the edges of a node is told what its entries did (leto.keyspace.effects)."""

from __future__ import annotations

from collections.abc import Callable

from leto.keyspace.effects import Effects, Kind

Listener = Callable[[int, Effects], None]


class Listeners:
    """What of effects is noted, Machine.watch() says; who of those that listen hears of it is kept here.

    They are called in the reactor's thread, once an entry is applied as a whole, and behind the replies that it has
    here. So whoever hears of a change can read it on this node; reads that wait for the entry are answered later. A
    client's own reply comes before what its write has pushed to it, as in Redis since 7.2. The other way round a client
    that caches what it reads might keep a stale value: an entry may hold its GET and, behind that, another's SET.
    For the same reason one watches before one asks: what is applied in between is told.

    The reply of a write that was forwarded comes from the leader, in no order with these calls.
    """

    __slots__ = ("_listeners",)

    def __init__(self) -> None:
        self._listeners: dict[Listener, tuple[Kind, ...]] = {}

    def subscribe(self, listener: Listener, *kinds: Kind) -> None:
        """Have it called with an entry's index and its effects where there are some of these kinds, once for each
        entry, and where everything may have changed: then with the index of that FLUSHALL, or of the snapshot. It must
        not raise. Raises ValueError for one that is subscribed, or no kind."""
        if not kinds or listener in self._listeners:
            raise ValueError("a listener is subscribed once, to one kind or more")
        self._listeners[listener] = kinds

    def unsubscribe(self, listener: Listener) -> None:
        """Call it no more. Raises KeyError for one that is not subscribed."""
        del self._listeners[listener]

    def tell(self, index: int, effects: Effects) -> None:
        """The entry at `index` did that."""
        for listener, kinds in list(self._listeners.items()):
            if (effects.everything or any(map(effects.of, kinds))) and listener in self._listeners:
                listener(index, effects)
