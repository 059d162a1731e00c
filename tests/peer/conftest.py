from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.logger import globalLogPublisher

from tests.peer.peer_fixtures import TcpWorld


@pytest_twisted.async_yield_fixture
async def tcp():
    """A world of real loopback connections; the reactor is as clean afterwards as it was before."""
    before = set(reactor.getReaders()) | set(reactor.getWriters())
    calls = set(reactor.getDelayedCalls())
    world = TcpWorld()
    yield world
    await world.stop()
    await world.until(
        lambda: set(reactor.getReaders()) | set(reactor.getWriters()) <= before, "a reactor without our sockets"
    )
    harness = ("deferLater", "_run_inline_callbacks")  # this fixture's own

    def left():
        later = [call for call in reactor.getDelayedCalls() if call not in calls]
        return [call for call in later if not any(name in str(call) for name in harness)]

    # An aborted connection is told of its end in the next turn.
    await world.until(lambda: not left(), "a reactor without our calls")


@pytest.fixture
def lines():
    """Every log line of the peers' room, formatted."""
    said = []

    def observe(event):
        if str(event.get("log_namespace", "")).startswith("leto.peer"):
            said.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)
    yield said
    globalLogPublisher.removeObserver(observe)
