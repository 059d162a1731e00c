"""LazyTimer: a deadline that moves later costs nothing, one that moves earlier is kept."""

import math

from twisted.internet.task import Clock

from leto.replica.timers import LazyTimer


def test_fires_at_the_deadline_and_not_before():
    clock, fired = Clock(), []
    timer = LazyTimer(clock, lambda: fired.append(clock.seconds()))
    timer.expect(2.0)
    clock.advance(1.9)
    assert fired == []
    clock.advance(0.2)
    assert fired == [2.1]
    clock.advance(10)
    assert len(fired) == 1


def test_a_later_deadline_keeps_the_armed_call():
    clock, fired = Clock(), []
    timer = LazyTimer(clock, lambda: fired.append(clock.seconds()))
    timer.expect(1.0)
    timer.expect(5.0)
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(1.0)
    assert fired == [1.0]  # early: its owner looks what is due and arms it again


def test_an_earlier_deadline_replaces_the_armed_call():
    clock, fired = Clock(), []
    timer = LazyTimer(clock, lambda: fired.append(clock.seconds()))
    timer.expect(5.0)
    timer.expect(1.0)
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(1.0)
    assert fired == [1.0]


def test_infinity_arms_nothing_and_cancel_disarms():
    clock, fired = Clock(), []
    timer = LazyTimer(clock, lambda: fired.append(1))
    timer.expect(math.inf)
    assert clock.getDelayedCalls() == []
    timer.expect(1.0)
    timer.cancel()
    clock.advance(2)
    assert fired == []
    timer.expect(3.0)
    clock.advance(2)
    assert fired == [1]
