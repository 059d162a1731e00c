"""What all clients together make a node keep: bounded by maxmemory-clients, as in Redis 7.

Redis has no such limit unless one is set. Here it is 1 GiB: what one client may make a node keep by Redis's
client-query-buffer-limit, all of them may. Memory beyond that is the data's, and a node whose clients leave more
unread has become their store; those that keep most are closed first (see https://redis.io/docs/reference/clients/).

Nothing is counted while clients take their replies and send whole requests. What makes a node keep something tells so,
and only when all that was told has grown by as much as there was room for is looked what is really kept. A large value
that several clients wait for is one object in memory, and counts once.
"""

from __future__ import annotations

from leto.clients.connected import ConnectedClient
from leto.reactor.notices import Notices
from leto.reactor.places import place_of

SHARED_BYTES = 256 << 10  # replies of this size are handed on without a copy: several clients may wait for one
LIGHT_BYTES = 4096  # who keeps less is not worth looking at


class ClientMemory:
    """`limit` in bytes, 0 for none. `evicted` counts those that were closed."""

    def __init__(self, limit: int, notices: Notices) -> None:
        self._notices = notices
        self._limit = limit
        self._room = limit  # at least so much more may be kept before the limit is met
        self._heavy: dict[int, ConnectedClient] = {}  # by client id: who told of something since it kept nothing
        self.evicted = 0

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        if limit:
            self._look()

    def keeps_requests(self, client: ConnectedClient) -> None:
        """`client` may keep more of its requests than is known. It may be killed for it."""
        kept = client.request_bytes
        if kept > client.told_requests:
            more = kept - client.told_requests
            client.told_requests = kept
            self.keeps_replies(client, more)

    def keeps_replies(self, client: ConnectedClient, more: int) -> None:
        """`client` keeps that many bytes more of replies."""
        self._heavy[client.identity.id] = client
        self._room -= more
        if self._room < 0 and self._limit:
            self._look()

    def forget(self, client: ConnectedClient) -> None:
        """It is gone."""
        self._heavy.pop(client.identity.id, None)

    def _look(self) -> None:
        """Add up what is really kept, and close those that keep most until an eighth of the limit is free."""
        own: dict[int, int] = {}
        values: dict[int, list[int]] = {}  # by object: its size, and who waits for it
        for number, client in list(self._heavy.items()):
            kept = client.kept_bytes
            client.told_requests = client.request_bytes
            if kept < LIGHT_BYTES:
                del self._heavy[number]
                continue
            for block in client.output.blocks:
                if isinstance(block, memoryview) and (size := memoryview(block.obj).nbytes) >= SHARED_BYTES:
                    kept -= len(block)
                    values.setdefault(id(block.obj), [size]).append(number)
            own[number] = kept
        total = sum(own.values()) + sum(value[0] for value in values.values())
        if total > self._limit:
            total = self._evict(own, values, total)
        self._room = max(self._limit - total, self._limit // 8)

    def _evict(self, own: dict[int, int], values: dict[int, list[int]], total: int) -> int:
        """What is still kept of `total` after it."""
        shares = dict(own)
        waits: dict[int, list[list[int]]] = {}
        for value in values.values():
            size, *holders = value
            for number in holders:
                shares[number] += size // len(holders)
                waits.setdefault(number, []).append(value)
        for number in sorted(shares, key=shares.__getitem__, reverse=True):
            if total <= self._limit - self._limit // 8:
                break
            client = self._heavy[number]
            if client.no_evict or client.closed:
                continue
            self._notices.warn(
                ("evict", place_of(client.identity.peer_host)), "Evicting client: {client}", client=client.describe()
            )
            total -= own[number]
            for value in waits.get(number, ()):
                value.remove(number)
                if len(value) == 1:
                    total -= value[0]
            self.evicted += 1
            del self._heavy[number]
            client.kill()
        return total
