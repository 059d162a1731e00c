"""Who is connected."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

from leto.clients.identity import Identity
from leto.clients.output import Output

_FREEZE_EVERY: Final = 2000  # clients more


class ConnectedClient(Protocol):
    """A client's session, as those see it who look at all of them."""

    identity: Identity
    last_active: float
    told_requests: int  # bytes of its requests that leto.clients.memory knows of
    no_evict: bool

    @property
    def output(self) -> Output: ...
    @property
    def closing(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    @property
    def unanswered(self) -> bool: ...
    @property
    def request_bytes(self) -> int: ...
    @property
    def kept_bytes(self) -> int: ...

    def describe(self) -> str:
        """Its line of CLIENT LIST."""

    def resume(self, reason: str) -> None:
        """What held it back for that reason is over."""

    def close(self) -> None:
        """Send what is answered, then close."""

    def kill(self) -> None:
        """Close at once."""


C = TypeVar("C", bound=ConnectedClient)


class ConnectedClients(Generic[C]):
    """By client id, the oldest first."""

    def __init__(self) -> None:
        self.by_id: dict[int, C] = {}
        self._last_id = 0
        self._frozen = 0

    def __len__(self) -> int:
        return len(self.by_id)

    def __iter__(self) -> Iterator[C]:
        return iter(tuple(self.by_id.values()))

    def next_id(self) -> int:
        """Another one at each call, greater than all before."""
        self._last_id += 1
        return self._last_id

    def welcome(self, client: C) -> None:
        """It has connected. Where there are more than ever, the collector of cyclic garbage is told to leave what
        there is alone: to look at 10,000 sessions takes it 60 ms, and lost ones need no collector."""
        self.by_id[client.identity.id] = client
        if len(self.by_id) >= self._frozen + _FREEZE_EVERY:
            self._frozen = len(self.by_id)
            gc.freeze()

    def forget(self, client: C) -> None:
        """It is gone."""
        self.by_id.pop(client.identity.id, None)
