"""Work that may wait for a disk, beside the reactor's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import deferToThreadPool

Result = TypeVar("Result")


def in_thread(reactor: Any, call: Callable[[], Result]) -> Deferred[Result]:
    """What `call` gives, or raises: made by a thread of the reactor's pool; at once where a reactor has none (a
    clock)."""
    if not hasattr(reactor, "getThreadPool"):
        return maybeDeferred(call)
    made: Deferred[Result] = deferToThreadPool(reactor, reactor.getThreadPool(), call)
    return made
