"""Clients' sockets: read in slices, in turns, and not at all while the node is congested.

However many clients have something, peers and timers have their turn after SLICE_SECONDS; the clients that are left
come first in the next slice. The more of them there are, the less is read from each at a time (never less than
LEAST_BYTES), so that a client with one request waits for a bounded part of what the others have sent. While the node
is congested nobody is read from: what clients send then waits with the kernel, and in the end with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from leto.reactor.sockets import SocketReaders

SLICE_SECONDS: Final = 0.008  # how long clients may be read from, and what they sent taken in, before others' turn
ROUND_BYTES: Final = 1 << 20  # about so much is read in one round over all clients that have something
MOST_BYTES: Final = 1 << 16  # read from one client at a time
LEAST_BYTES: Final = 1 << 11
QUICK_SECONDS: Final = 0.0005  # clients that took no longer have sent little: twice as many are served in one go ...
MOST_AT_ONCE: Final = 16  # ... up to so many
REST_SECONDS: Final = 0.002  # between two looks whether the congestion is over


class ClientReaders(SocketReaders):
    """An epoll of its own, which `sockets` sees as one descriptor: only while it has sockets to read from.

    `is_congested` is asked before each client is read from.
    """

    def __init__(self, sockets: SocketReaders, is_congested: Callable[[], bool]) -> None:
        super().__init__(sockets)
        self._sockets = sockets
        self._is_congested = is_congested
        self._ready: Iterator[tuple[int, int]] = iter(())  # those of the round under way that have not had their turn
        self._left = 0  # how many these are
        self._rest: Any = None  # the call that ends a pause
        self._least = 1  # clients that are served between two looks at the clock
        self._is_watched = False
        sockets.dependents.append(self)

    def _watch_self(self) -> None:
        if not self._is_watched and self._rest is None:
            self._is_watched = True
            self._sockets.watch(self.fileno(), self.doRead)

    def _rest_if_idle(self) -> None:
        if self._readers:
            return
        self._left = 0
        self._unwatch_self()
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _unwatch_self(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._sockets.unwatch(self.fileno())

    def doRead(self) -> None:
        """Some clients have sent something, or ended."""
        is_congested, seconds = self._is_congested, self._reactor.seconds
        if not self._left:
            ready = self._poll.poll(0, len(self._readers) or 1)
            self._ready = iter(ready)
            self._left = len(ready)
            self._piece = min(MOST_BYTES, max(LEAST_BYTES, ROUND_BYTES // (len(ready) or 1)))
            self._least = max(1, MOST_BYTES // self._piece)
        group = 1
        began = seconds()
        until = began + SLICE_SECONDS
        while self._left:
            if is_congested():
                self._unwatch_self()
                self._rest = self._reactor.callLater(REST_SECONDS, self._look_again)
                return
            group = min(max(group, self._least), self._left)
            self._left -= group
            self._serve(islice(self._ready, group))
            ended = seconds()
            if ended > until:
                return  # the sockets that are left are readable still: this is called again soon
            group = min(2 * group, MOST_AT_ONCE) if ended - began <= QUICK_SECONDS else 1
            began = ended

    def _look_again(self) -> None:
        self._rest = None
        if self._is_congested():
            self._rest = self._reactor.callLater(REST_SECONDS, self._look_again)
        else:
            self._watch_self()
