"""How often a peer is dialled again, after what."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectingCancelledError, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import Logger

from leto.peer.greetings import Refusal, RefusalCode
from leto.peer.links import Link
from leto.reactor.notices import Notices

DELAY_CAP = 0.4


class Nobody:
    """Endpoints where nobody listens; when they were dialled."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.dialled: list[float] = []

    def __call__(self, host: str, port: int, timeout: float) -> Nobody:
        return self

    def connect(self, factory: object) -> Deferred[None]:
        self.dialled.append(self.clock.seconds())
        return fail(ConnectionRefusedError())


@pytest.mark.parametrize("code", list(RefusalCode))
def test_one_that_refused_and_is_gone_is_dialled_as_often_as_any_other_that_is_gone(code: RefusalCode) -> None:
    """Whoever comes up there next may be another: a member whose directory is lost, say, about to found a cluster."""
    clock = Clock()
    nobody = Nobody(clock)
    link = Link(
        clock,
        "b",
        connector=nobody,
        protocol=lambda _: None,  # type: ignore[arg-type,return-value]
        random=lambda: 1.0,
        delay_cap=DELAY_CAP,
        connect_timeout=1.0,
        notices=Notices(Logger(), clock.seconds),
    )
    link.refused(Refusal(int(code), "no", by_peer=True))
    link.move(configured="10.0.0.2:15379")
    for _ in range(400):
        clock.advance(0.05)
    gaps = [after - before for before, after in zip(nobody.dialled, nobody.dialled[1:], strict=False)]
    assert len(gaps) > 40
    assert max(gaps) <= DELAY_CAP + 0.051
    link.close()


def test_a_node_of_another_cluster_is_dialled_as_often_as_ever() -> None:
    """Its directory may be lost next, and it must hear at once that it is a member here."""
    clock = Clock()
    link = Link(
        clock,
        "b",
        connector=Nobody(clock),
        protocol=lambda _: None,  # type: ignore[arg-type,return-value]
        random=lambda: 1.0,
        delay_cap=DELAY_CAP,
        connect_timeout=1.0,
        notices=Notices(Logger(), clock.seconds),
    )
    for _ in range(20):
        link.refused(Refusal(int(RefusalCode.CLUSTER), "no", by_peer=True))
        link._attempts += 1
    link.configured = "10.0.0.2:15379"
    link.redial()
    (call,) = clock.getDelayedCalls()
    assert call.getTime() <= DELAY_CAP
    link.close()


class Slow(Nobody):
    """Endpoints that are still busy when they are given up, and say so in Twisted's way."""

    def connect(self, factory: object) -> Deferred[None]:
        self.dialled.append(self.clock.seconds())
        return Deferred(lambda connecting: connecting.errback(ConnectingCancelledError("10.0.0.2")))


def test_one_that_takes_too_long_to_reach_is_no_fault_of_this_node() -> None:
    clock, log = Clock(), EventLoggingObserver()
    slow = Slow(clock)
    link = Link(
        clock,
        "b",
        connector=slow,
        protocol=lambda _: None,  # type: ignore[arg-type,return-value]
        random=lambda: 1.0,
        delay_cap=DELAY_CAP,
        connect_timeout=1.0,
        notices=Notices(Logger(observer=log), clock.seconds),
    )
    link.move(configured="b.example:15379")
    for _ in range(100):
        clock.advance(0.05)
    assert len(slow.dialled) > 2
    assert [event["reason"] for event in log] == ["no answer"]
    link.close()
