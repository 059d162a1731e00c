"""Requests to a replica whose outcome fires a Deferred: one write, one read. The hot path has its own kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred


class DeferredWrite:
    """A leto.interfaces.replica.WriteRequest; `done` fires with its replies."""

    __slots__ = ("count", "done", "payload")
    returns = False

    def __init__(self, payload: bytes, count: int) -> None:
        self.payload = payload
        self.count = count
        self.done: Deferred[list[Any]] = Deferred()

    def applied(self, replies: Sequence[Any], start: int, microseconds: float) -> None:
        self.done.callback(list(replies[start : start + self.count]))

    def refused(self, error: Exception) -> None:
        self.done.errback(error)


class DeferredRead:
    """A leto.interfaces.replica.ReadRequest; `done` fires with clock_ms."""

    __slots__ = ("done",)
    returns = False

    def __init__(self) -> None:
        self.done: Deferred[int] = Deferred()

    def confirmed(self, clock_ms: int) -> None:
        self.done.callback(clock_ms)

    def refused(self, error: Exception) -> None:
        self.done.errback(error)
